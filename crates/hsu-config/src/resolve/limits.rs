//! Limits: each number that is written becomes one rule.

use std::sync::Arc;
use std::time::Duration;

use hsu_model::discovery::Matches;
use hsu_model::execution::Execution;
use hsu_model::limits::{
    Action, Alert, Brake, Hold, LimitKind, Limits, Raise, Rule, Shares, Step, UsageHistory,
};
use hsu_model::logs::{LogTarget, WorkerLogs};
use hsu_model::restart::Restart;
use hsu_model::units::ByteSize;

use super::{Context, one_of};
use crate::findings::{At, Place, shown};
use crate::schema::flat::FlatLimits;
use crate::schema::limits::{
    Alerts, Common, CpuLimits, IoLimits, LimitPolicy, Limited, Limits as Raw, MemoryLimits,
    Monitoring, NetworkLimits, ProcessLimits, StorageLimits,
};
use crate::schema::types::{Count, CpuPercent, Factor};

/// The documented time between two looks.
const CHECK: Duration = Duration::from_secs(10);
/// Looking more often than this would cost more than it tells.
const SHORTEST: Duration = Duration::from_millis(100);
const HISTORY: UsageHistory =
    UsageHistory { interval: Duration::from_secs(30), retention: Duration::from_secs(24 * 3600) };
/// So many records are kept of a worker at most: 4 MB.
const MOST_RECORDS: u128 = 100_000;
const WARNING: f64 = 80.0;
const HYSTERESIS: f64 = 5.0;
const ALERT: Duration = Duration::from_secs(10);
const MEGABYTE: u64 = 1 << 20;

/// The rest of the worker, as far as limits depend on it.
#[derive(Clone, Copy)]
pub(super) struct Worker<'w> {
    pub(super) restart: &'w Restart,
    /// None when somebody else starts it.
    pub(super) execution: Option<&'w Execution>,
    pub(super) logs: Option<&'w WorkerLogs>,
}

/// What a worker may use; none when nothing is written.
pub(super) fn resolve(
    written: Option<&At<Raw>>,
    worker: Worker<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<Limits>> {
    let written = written?;
    let raw = &written.value;
    let mut rules = Rules { worker, context, rules: Vec::new() };
    memory(raw, &mut rules);
    cpu(raw, &mut rules);
    io(raw.io.as_deref(), &mut rules);
    process(raw, &mut rules);
    network(raw.network.as_deref(), &mut rules);
    storage(raw.storage.as_deref(), &mut rules);
    let rules = rules.rules;
    let mut shares = shares(raw, context);
    shares.nice = shares.nice.or_else(|| worker.execution.and_then(|execution| execution.nice));
    let monitoring = raw.monitoring.as_deref().map(|section| &section.value);
    Some(Arc::new(Limits {
        rules,
        shares,
        check_interval: check_interval(raw, monitoring, context),
        hysteresis: hysteresis(monitoring, context),
        history: history(monitoring, context),
        alert: alert(raw.alerts.as_deref(), monitoring, context),
    }))
}

/// What a worker that somebody else starts may use: what would have to be set before its
/// start, and what only a worker of our own has, is refused.
pub(super) fn of_others(
    written: Option<&At<Raw>>,
    restart: &Restart,
    matches: Matches,
    context: &mut Context<'_>,
) -> Option<Arc<Limits>> {
    let raw = &written?.value;
    if let Some(nice) = raw.nice.as_deref() {
        context
            .findings
            .error("conflict", nice.place, "a nice value is set before a program starts")
            .hint("somebody else starts this one: set it there, or write `cpu: { weight: ... }`");
    }
    let cpu = raw.cpu.as_deref().and_then(|cpu| cpu.value.full());
    let brake = cpu.and_then(|cpu| cpu.throttle_by.as_deref());
    if let Some(brake) = brake.filter(|brake| brake.value == Brake::Nice) {
        context
            .findings
            .error("conflict", brake.place, "which nice value it shall get back is not known")
            .hint("somebody else starts this one: write `throttle_by: quota`");
    }
    let worker = Worker { restart, execution: None, logs: None };
    let limits = resolve(written, worker, context)?;
    if matches == Matches::One {
        return Some(limits);
    }
    // Of several processes, each with its own usage, there is no one history.
    Some(Arc::new(Limits { history: None, ..Limits::clone(&limits) }))
}

/// What the flat form can say.
pub(super) fn flat(
    written: Option<&At<FlatLimits>>,
    worker: Worker<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<Limits>> {
    let raw = &written?.value;
    let mut rules = Rules { worker, context, rules: Vec::new() };
    let common = Common::default();
    let memory = raw.max_memory_mb.as_deref().map(|limit| megabytes(limit.value.0));
    rules.add(LimitKind::Resident, memory, common);
    let cpu = raw.max_cpu_percent.as_deref().map(|limit| thousandths(limit.value.0 / 100.0));
    rules.add(LimitKind::Cpu, cpu, common);
    let files = raw.max_file_descriptors.as_deref();
    let files = files.and_then(|limit| u64::try_from(limit.value.0).ok());
    rules.add(LimitKind::OpenFiles, files, common);
    Some(Arc::new(Limits {
        rules: rules.rules,
        shares: Shares::default(),
        check_interval: Some(CHECK),
        hysteresis: percent(HYSTERESIS),
        history: Some(HISTORY),
        alert: Alert::default(),
    }))
}

/// The rules so far.
struct Rules<'r, 'c, 'w> {
    worker: Worker<'w>,
    context: &'r mut Context<'c>,
    rules: Vec<Rule>,
}

impl Rules<'_, '_, '_> {
    fn add(&mut self, kind: LimitKind, most: Option<u64>, common: Common<'_>) {
        if let Some(most) = most {
            self.add_paths(kind, Vec::new(), most, common);
        }
    }

    fn add_paths(&mut self, kind: LimitKind, paths: Vec<String>, most: u64, common: Common<'_>) {
        let share = |share: Option<f64>, default: f64| of(most, share.unwrap_or(default));
        let ladder = self.ladder(common);
        let by_policy = if ladder.is_empty() { Hold::Kernel } else { Hold::Watch };
        let restart = self.worker.restart;
        let raise = self.raise(most, common);
        self.rules.push(Rule {
            kind,
            paths,
            most,
            warning: share(common.warning.map(|share| share.value.0), WARNING),
            critical: share(common.critical.map(|share| share.value.0), 100.0),
            hold: common.enforce.map_or(by_policy, |hold| hold.value),
            spike_tolerance: common.spike.map_or(restart.spike_tolerance, |time| time.value),
            ladder,
            raise,
            brake: Brake::Hold,
        });
    }

    /// What is done, and when.
    fn ladder(&mut self, common: Common<'_>) -> Vec<Step> {
        let sustained = common.sustained.map(|time| time.value);
        let sustained = sustained.unwrap_or(self.worker.restart.sustained_violation);
        let policy = common.policy.map_or(LimitPolicy::None, |policy| policy.value);
        match policy {
            LimitPolicy::None => Vec::new(),
            LimitPolicy::Do(action) => {
                let after = if action.restarts() { sustained } else { Duration::ZERO };
                vec![Step { after, action }]
            }
            LimitPolicy::Escalate => self.escalation(common),
        }
    }

    fn escalation(&mut self, common: Common<'_>) -> Vec<Step> {
        let Some(written) = common.escalation else { return Vec::new() };
        let mut steps: Vec<Step> = Vec::with_capacity(written.value.len());
        for step in &written.value {
            let after = step.value.after.as_deref().map_or(Duration::ZERO, |after| after.value);
            if let Some(LimitPolicy::Do(action)) = step.value.policy.as_deref().map(|p| p.value) {
                steps.push(Step { after, action });
            }
        }
        steps
    }

    fn raise(&self, most: u64, common: Common<'_>) -> Raise {
        let written = common.adjustment.map(|adjustment| &adjustment.value);
        let factor = written.and_then(|raise| raise.factor.as_deref());
        let cap = written.and_then(|raise| raise.max.as_deref());
        Raise {
            percent: percent(factor.map_or(1.5, |factor| factor.value.0) * 100.0),
            cap: of(most, cap.map_or(4.0, |cap| cap.value.0) * 100.0),
        }
    }

    /// What contradicts itself in a section, said once.
    fn check(&mut self, place: Place, common: Common<'_>, has_limit: bool) {
        let findings = &mut self.context.findings;
        let policy = common.policy.filter(|policy| policy.value != LimitPolicy::None);
        if let (Some(policy), false) = (policy, has_limit) {
            findings
                .warning("no-limit", policy.place, "a policy without a limit")
                .hint("write the limit that it is for, or remove the policy");
        }
        if let (Some(warning), Some(critical)) = (common.warning, common.critical)
            && warning.value.0 > critical.value.0
        {
            findings
                .error("range", warning.place, "`warning_threshold` is above `critical_threshold`")
                .see(critical.place, "`critical_threshold` is set here");
        }
        let escalates = common.policy.is_some_and(|p| p.value == LimitPolicy::Escalate);
        match (escalates, common.escalation) {
            (true, None) => {
                let place = common.policy.map_or(place, |policy| policy.place);
                findings
                    .error("missing-key", place, "`escalation` is missing")
                    .hint("list the steps: `escalation: [{ policy: log }, { after: 1m, policy: restart }]`");
            }
            (false, Some(steps)) => {
                findings
                    .error("conflict", steps.place, "steps that the policy does not take")
                    .hint("write `policy: escalate`");
            }
            (_, Some(steps)) => check_steps(steps, self.context),
            (false, None) => {}
        }
        check_raise(common, self.context);
    }
}

fn check_steps(
    steps: &At<Vec<At<crate::schema::limits::EscalationStep>>>,
    context: &mut Context<'_>,
) {
    let mut latest = Duration::ZERO;
    if steps.value.is_empty() {
        context.findings.error("range", steps.place, "an escalation without steps");
    }
    for (number, step) in steps.value.iter().enumerate() {
        let after = step.value.after.as_deref().map_or(Duration::ZERO, |after| after.value);
        if after < latest {
            context
                .findings
                .error(
                    "range",
                    step.place,
                    "this step is taken before the one that stands before it",
                )
                .hint("put the steps in the order of `after`");
        }
        latest = latest.max(after);
        let policy = step.value.policy.as_deref();
        let refused = &step.value.refused;
        super::worker::required("policy", policy, refused, step.place, context);
        let Some(policy) = policy else { continue };
        match policy.value {
            LimitPolicy::None | LimitPolicy::Escalate => {
                context
                    .findings
                    .error("value", policy.place, "this is no step of an escalation")
                    .hint("write `log`, `alert`, `throttle`, `restart` or another policy that does something");
            }
            LimitPolicy::Do(action) if action.ends_the_run() && number + 1 < steps.value.len() => {
                context
                    .findings
                    .error(
                        "conflict",
                        policy.place,
                        "the run is over after this step, and others follow",
                    )
                    .hint("make it the last one");
            }
            LimitPolicy::Do(_) => {}
        }
    }
}

fn check_raise(common: Common<'_>, context: &mut Context<'_>) {
    let Some(written) = common.adjustment else { return };
    let adjusts = |policy: LimitPolicy| policy == LimitPolicy::Do(Action::RestartAdjusted);
    let steps = common.escalation.map(|steps| steps.value.as_slice()).unwrap_or_default();
    let in_steps = steps
        .iter()
        .filter_map(|step| step.value.policy.as_deref())
        .any(|policy| adjusts(policy.value));
    if !in_steps && !common.policy.is_some_and(|policy| adjusts(policy.value)) {
        context
            .findings
            .error("conflict", written.place, "nothing raises the limit")
            .hint("write `policy: restart_adjusted`, or remove `adjustment`");
    }
    if let Some(factor) = written.value.factor.as_deref().filter(|f| f.value.0 <= 1.0) {
        context.findings.error("range", factor.place, "this factor does not raise the limit");
    }
    if let Some(most) = written.value.max.as_deref().filter(|most| most.value.0 < 1.0) {
        context.findings.error("range", most.place, "this is below the limit itself");
    }
}

fn memory(raw: &Raw, rules: &mut Rules<'_, '_, '_>) {
    let Some(written) = raw.memory.as_deref() else { return };
    if let Some(alone) = written.value.alone() {
        return rules.add(LimitKind::Resident, Some(alone.0), Common::default());
    }
    let Some(section) = written.value.full() else { return };
    let common = section.common();
    let size = |written: Option<&At<ByteSize>>| written.map(|size| size.value.0);
    let in_megabytes = section.limit_mb.as_deref().map(|limit| megabytes(limit.value.0));
    let all = [
        (LimitKind::Resident, in_megabytes.or_else(|| size(section.max_rss.as_deref()))),
        (LimitKind::Virtual, size(section.max_virtual.as_deref())),
        (LimitKind::Swap, size(section.max_swap.as_deref())),
        (LimitKind::Heap, size(section.max_heap.as_deref())),
    ];
    rules.check(written.place, common, all.iter().any(|(_, most)| most.is_some()));
    for (kind, most) in all {
        // Nothing at all would be refused by the kernel; no swap is a limit that makes sense.
        if most == Some(0) && kind != LimitKind::Swap {
            let limit = format!("`{}` is 0, with which nothing runs", kind.as_str());
            rules.context.findings.error("range", written.place, limit);
        }
        rules.add(kind, most, common);
    }
}

fn cpu(raw: &Raw, rules: &mut Rules<'_, '_, '_>) {
    let Some(written) = raw.cpu.as_deref() else { return };
    if let Some(alone) = written.value.alone() {
        return rules.add(LimitKind::Cpu, Some(thousandths(alone.0)), Common::default());
    }
    let Some(section) = written.value.full() else { return };
    let common = section.common();
    let cores = |written: &At<Factor>| thousandths(written.value.0);
    let percents = |written: &At<CpuPercent>| thousandths(written.value.0 / 100.0);
    let cores = section.max_cores.as_deref().map(cores);
    let percents = section.max_percent.as_deref().map(percents);
    let most = cores.into_iter().chain(percents).min();
    let time = section.max_time.as_deref();
    let time = time.map(|time| u64::try_from(time.value.as_millis()).unwrap_or(u64::MAX));
    rules.check(written.place, common, most.is_some() || time.is_some());
    let before = rules.rules.len();
    rules.add(LimitKind::Cpu, most, common);
    rules.add(LimitKind::CpuTime, time, common);
    if let Some(brake) = section.throttle_by.as_deref() {
        let all = rules.rules.iter_mut().skip(before);
        let slowed = all.filter(|rule| rule.ladder.iter().any(|s| s.action == Action::Throttle));
        let count = slowed.map(|rule| rule.brake = brake.value).count();
        if count == 0 {
            rules
                .context
                .findings
                .error("conflict", brake.place, "nothing slows the worker down")
                .hint("write `policy: throttle` and a limit, or remove `throttle_by`");
        }
    }
}

fn io(written: Option<&At<IoLimits>>, rules: &mut Rules<'_, '_, '_>) {
    let Some(written) = written else { return };
    let (section, common) = (&written.value, written.value.common());
    let size = |written: Option<&At<ByteSize>>| written.map(|size| size.value.0);
    let all = [
        (LimitKind::ReadBytes, size(section.max_read_bps.as_deref())),
        (LimitKind::WriteBytes, size(section.max_write_bps.as_deref())),
        (LimitKind::ReadOperations, count(section.max_read_ops.as_deref())),
        (LimitKind::WriteOperations, count(section.max_write_ops.as_deref())),
    ];
    rules.check(written.place, common, all.iter().any(|(_, most)| most.is_some()));
    for (kind, most) in all {
        if most == Some(0) {
            let limit = format!("`{}` is 0, with which nothing goes on", kind.as_str());
            rules.context.findings.error("range", written.place, limit);
        }
        rules.add(kind, most, common);
    }
}

fn process(raw: &Raw, rules: &mut Rules<'_, '_, '_>) {
    let written = raw.process.as_deref();
    let section = written.map(|written| &written.value);
    let inside = section.and_then(|section| section.max_processes.as_deref());
    let processes = one_of("max_processes", inside, raw.max_processes.as_deref(), rules.context);
    let inside = section.and_then(|section| section.max_file_descriptors.as_deref());
    let files =
        one_of("max_file_descriptors", inside, raw.max_open_files.as_deref(), rules.context);
    let all = [
        (LimitKind::Processes, count(processes)),
        (LimitKind::Threads, count(section.and_then(|section| section.max_threads.as_deref()))),
        (
            LimitKind::Children,
            count(section.and_then(|section| section.max_child_processes.as_deref())),
        ),
        (LimitKind::OpenFiles, count(files)),
    ];
    let common = section.map(ProcessLimits::common).unwrap_or_default();
    if let Some(written) = written {
        rules.check(written.place, common, all.iter().any(|(_, most)| most.is_some()));
    }
    for (kind, most) in all {
        if most == Some(0) && kind != LimitKind::Children {
            let place =
                written.map(|written| written.place).or_else(|| processes.map(|at| at.place));
            let limit = format!("`{}` is 0, with which nothing runs", kind.as_str());
            rules.context.findings.error("range", place, limit);
        }
        rules.add(kind, most, common);
    }
}

fn network(written: Option<&At<NetworkLimits>>, rules: &mut Rules<'_, '_, '_>) {
    let Some(written) = written else { return };
    let (section, common) = (&written.value, written.value.common());
    let refused = [section.max_receive_bps.as_deref(), section.max_send_bps.as_deref()];
    for refused in refused.into_iter().flatten() {
        let message = "bandwidth cannot be limited by this version";
        rules
            .context
            .findings
            .error("unsupported", refused.place, message)
            .hint("limit `max_connections`, or shape the traffic outside; `capabilities` says why");
    }
    let most = count(section.max_connections.as_deref());
    rules.check(written.place, common, most.is_some());
    rules.add(LimitKind::Connections, most, common);
}

fn storage(written: Option<&At<StorageLimits>>, rules: &mut Rules<'_, '_, '_>) {
    let Some(written) = written else { return };
    let (section, common) = (&written.value, written.value.common());
    let folders = section.directories.as_deref();
    let has_limit =
        section.max_temporary.is_some() || section.max_logs.is_some() || folders.is_some();
    rules.check(written.place, common, has_limit);
    if let Some(most) = section.max_temporary.as_deref() {
        let environment = rules.worker.execution.iter().flat_map(|one| one.environment.iter());
        let mut named = environment.filter(|(name, _)| name == "TMPDIR");
        match named.next_back() {
            Some((_, folder)) if rules.context.paths().is_absolute(folder) => {
                let paths = vec![folder.clone()];
                rules.add_paths(LimitKind::Temporary, paths, most.value.0, common);
            }
            Some(_) | None => {
                rules
                    .context
                    .findings
                    .error(
                        "missing-key",
                        most.place,
                        "which folder holds its temporary files is not known",
                    )
                    .hint("set `TMPDIR` to an absolute path of its own in `execution.environment`");
            }
        }
    }
    if let Some(most) = section.max_logs.as_deref() {
        let paths = rules.worker.logs.map(log_files).unwrap_or_default();
        if paths.is_empty() {
            rules
                .context
                .findings
                .error("conflict", most.place, "the worker has no log files of its own")
                .hint("collect its output, or limit a folder with `directories`");
        } else {
            rules.add_paths(LimitKind::Logs, paths, most.value.0, common);
        }
    }
    for (folder, most) in folders.map(|folders| folders.value.0.as_slice()).unwrap_or_default() {
        if rules.context.paths().is_absolute(&folder.value) {
            let paths = vec![folder.value.clone()];
            rules.add_paths(LimitKind::Directory, paths, most.value.0, common);
        } else {
            let message = format!("`{}` is no absolute path", shown(&folder.value));
            rules.context.findings.error("value", folder.place, message);
        }
    }
}

fn log_files(logs: &WorkerLogs) -> Vec<String> {
    let outputs = [&logs.stdout, &logs.stderr].into_iter().flat_map(|stream| &stream.outputs);
    let path = |target: &LogTarget| match target {
        LogTarget::File { path, .. } => Some(path.clone()),
        LogTarget::MasterStdout | LogTarget::MasterStderr | _ => None,
    };
    let mut paths: Vec<_> = outputs.filter_map(|output| path(&output.target)).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn shares(raw: &Raw, context: &mut Context<'_>) -> Shares {
    let cpu = raw.cpu.as_deref().and_then(|written| written.value.full());
    let weight = cpu.and_then(|cpu: &CpuLimits| cpu.weight.as_deref());
    let older = raw.cpu_shares.as_deref();
    if let (Some(weight), Some(older)) = (weight, older) {
        context
            .findings
            .error("duplicate-key", older.place, "`cpu.weight` and `cpu_shares` say the same")
            .see(weight.place, "the first one");
    }
    // 1024 shares were what a weight of 100 is.
    let of_shares = |shares: i64| u32::try_from(shares.saturating_mul(100) / 1024).unwrap_or(1);
    let cpu_weight = weight
        .and_then(|weight| u32::try_from(weight.value.0).ok())
        .or_else(|| older.map(|shares| of_shares(shares.value.0).clamp(1, 10_000)));
    let io = raw.io.as_deref().and_then(|io| io.value.weight.as_deref());
    let older = raw.priority.as_deref().map(|priority| priority.value.0);
    let older = older.filter(|priority| (-20..=19).contains(priority));
    let nice = raw.nice.as_deref().map(|nice| nice.value.0).or(older);
    Shares {
        cpu_weight,
        io_weight: io.and_then(|weight| u32::try_from(weight.value.0).ok()),
        nice: nice.and_then(|nice| i32::try_from(nice).ok()),
    }
}

fn check_interval(
    raw: &Raw,
    monitoring: Option<&Monitoring>,
    context: &mut Context<'_>,
) -> Option<Duration> {
    let is_on = monitoring.and_then(|section| section.enabled.as_deref());
    if is_on.is_some_and(|switch| !switch.value) {
        return None;
    }
    let memory = raw.memory.as_deref().and_then(|written| written.value.full());
    let cpu = raw.cpu.as_deref().and_then(|written| written.value.full());
    let written = [
        monitoring.and_then(|section| section.check_interval.as_deref()),
        memory.and_then(|section: &MemoryLimits| section.check_interval.as_deref()),
        cpu.and_then(|section| section.check_interval.as_deref()),
    ];
    let mut shortest = None;
    for time in written.into_iter().flatten() {
        if time.value < SHORTEST {
            context
                .findings
                .error("range", time.place, "this is too often to look")
                .hint("write `100ms` or longer");
        }
        shortest = Some(shortest.map_or(time.value, |other: Duration| other.min(time.value)));
    }
    Some(shortest.unwrap_or(CHECK))
}

fn hysteresis(monitoring: Option<&Monitoring>, context: &mut Context<'_>) -> u32 {
    let written = monitoring.and_then(|section| section.hysteresis.as_deref());
    if let Some(written) = written.filter(|written| written.value.0 > 50.0) {
        context
            .findings
            .error("range", written.place, "this is more than half of the threshold")
            .hint("write at most `50`");
    }
    percent(written.map_or(HYSTERESIS, |written| written.value.0))
}

fn history(monitoring: Option<&Monitoring>, context: &mut Context<'_>) -> Option<UsageHistory> {
    let Some(section) = monitoring else { return Some(HISTORY) };
    let is_on = section.enabled.as_deref().is_none_or(|switch| switch.value);
    let interval = section.interval.as_deref();
    let retention = section.history_retention.as_deref();
    let history = UsageHistory {
        interval: interval.map_or(HISTORY.interval, |time| time.value),
        retention: retention.map_or(HISTORY.retention, |time| time.value),
    };
    if let Some(interval) = interval.filter(|time| time.value < Duration::from_secs(1)) {
        context
            .findings
            .error("range", interval.place, "this is too often to remember")
            .hint("write `1s` or longer");
        return None;
    }
    if history.retention.as_nanos() / history.interval.as_nanos().max(1) > MOST_RECORDS {
        let place = retention.or(interval).map(|time| time.place);
        context
            .findings
            .error("range", place, "this would be more than 100,000 records of one worker")
            .hint("write a longer `interval` or a shorter `history_retention`");
        return None;
    }
    Some(history).filter(|history| is_on && !history.retention.is_zero())
}

fn alert(
    written: Option<&At<Alerts>>,
    monitoring: Option<&Monitoring>,
    context: &mut Context<'_>,
) -> Alert {
    let is_off = monitoring
        .and_then(|section| section.alerting_enabled.as_deref())
        .is_some_and(|switch| !switch.value);
    let Some(section) = written.map(|written| &written.value) else {
        return Alert { timeout: ALERT, ..Alert::default() };
    };
    let webhook = section.webhook.as_deref();
    if let Some(webhook) = webhook.filter(|webhook| !is_address(&webhook.value.0)) {
        context
            .findings
            .error("value", webhook.place, "this is no address that can be posted to")
            .hint("write `http://HOST:PORT/PATH`; for TLS, let `command` run a client");
    }
    let command = section.command.as_deref();
    let command = command.map(|command| command.value.iter().map(|word| word.value.0.clone()));
    let timeout = section.timeout.as_deref().map_or(ALERT, |time| time.value);
    if is_off {
        return Alert { timeout, ..Alert::default() };
    }
    Alert {
        command: command.map(Iterator::collect).unwrap_or_default(),
        webhook: webhook.map(|webhook| webhook.value.0.clone()),
        timeout: if timeout.is_zero() { ALERT } else { timeout },
    }
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("http://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty() && !host.contains('@') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn count(written: Option<&At<Count>>) -> Option<u64> {
    written.map(|count| u64::from(count.value.get()))
}

fn megabytes(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0).saturating_mul(MEGABYTE)
}

/// CPUs in thousandths, at least one of them.
fn thousandths(cores: f64) -> u64 {
    round(cores * 1000.0).max(1)
}

fn percent(share: f64) -> u32 {
    u32::try_from(round(share)).unwrap_or(u32::MAX)
}

/// A share of an amount, in percent.
#[expect(clippy::cast_precision_loss, reason = "a share of petabytes need not be exact")]
fn of(most: u64, percent: f64) -> u64 {
    if percent == 100.0 { most } else { round(most as f64 * percent / 100.0) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn round(number: f64) -> u64 {
    number.round() as u64
}
