//! Random schedules: whatever the order of events, the promises hold.
//!
//! The quick form runs with every test; `PROPTEST_CASES=100000` makes it long.

use std::time::Duration;

use hsu_core::input::{Command, Input, Severity, ShutdownMode};
use hsu_core::record::Resume;
use hsu_model::event::Actor;
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::restart::{Breaker, RestartContext, RestartPolicy, StartRate};
use hsu_model::worker::WorkerSpec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::keeper::{Outcome, Temper};
use crate::world::specs::{STEADY, restart, worker};
use crate::world::{Loss, Pace, World, settings};

/// Schedules of the quick form.
const QUICK: u32 = 2048;
const NAMES: [&str; 3] = ["api", "job", "web"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    Command(&'static str, Command),
    /// The keeper reads an order.
    Order,
    /// A spawn under way ends.
    Spawn(usize, Outcome),
    /// The master reads a message.
    Deliver,
    /// A kill is done and reported.
    Kill,
    Sync,
    /// A process ends by itself.
    Exit(usize, Exit),
    Advance(Duration),
    /// The master reads a message that it was sent before.
    Repeat(usize),
    Finding(u64, Severity),
    /// The keeper tells its inventory again.
    Inventory,
    Crash(Loss),
    Shutdown(ShutdownMode),
    ForceShutdown,
    /// Everything that can happen does.
    Rush,
}

fn commands() -> impl Strategy<Value = Command> {
    select(vec![
        Command::Start,
        Command::Start,
        Command::Stop { force: false },
        Command::Stop { force: true },
        Command::Restart { force: false },
        Command::Restart { force: true },
        Command::Signal(19),
        Command::Remove,
        Command::Enable,
        Command::Disable,
        Command::ResetBreaker,
    ])
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    select(vec![
        Outcome::Process(Temper::Obedient),
        Outcome::Process(Temper::Obedient),
        Outcome::Process(Temper::Messy),
        Outcome::Process(Temper::Stubborn),
        Outcome::Process(Temper::Stuck),
        Outcome::Fails { transient: true },
        Outcome::Fails { transient: false },
    ])
}

fn exits() -> impl Strategy<Value = Exit> {
    select(vec![Exit::Code(0), Exit::Code(1), Exit::Signal { number: 11, core: true }])
}

fn happenings() -> impl Strategy<Value = Happening> {
    let spans = select(vec![0, 1, 400, 5_000, 10_000, 31_000, 70_000]);
    let losses = select(vec![Loss::Orders, Loss::Nothing]);
    let severities = select(vec![Severity::Warning, Severity::Emergency]);
    let modes = select(vec![ShutdownMode::StopWorkers, ShutdownMode::KeepWorkers]);
    prop_oneof![
        8 => (select(NAMES.to_vec()), commands()).prop_map(|(of, it)| Happening::Command(of, it)),
        8 => Just(Happening::Order),
        8 => (any::<usize>(), outcomes()).prop_map(|(which, how)| Happening::Spawn(which, how)),
        10 => Just(Happening::Deliver),
        5 => Just(Happening::Kill),
        6 => Just(Happening::Sync),
        6 => (any::<usize>(), exits()).prop_map(|(which, how)| Happening::Exit(which, how)),
        6 => spans.prop_map(|millis| Happening::Advance(Duration::from_millis(millis))),
        2 => any::<usize>().prop_map(Happening::Repeat),
        2 => (1..20_u64, severities).prop_map(|(run, how)| Happening::Finding(run, how)),
        1 => Just(Happening::Inventory),
        3 => losses.prop_map(Happening::Crash),
        1 => modes.prop_map(Happening::Shutdown),
        1 => Just(Happening::ForceShutdown),
        6 => Just(Happening::Rush),
    ]
}

/// What differs between the workers of schedules.
#[derive(Clone, Copy, Debug)]
struct Nature {
    policy: RestartPolicy,
    retries: u32,
    /// In seconds.
    delay: u64,
    /// In seconds.
    trial: Option<u64>,
    enabled: bool,
}

impl Nature {
    fn spec(self, name: &str) -> WorkerSpec {
        let retry_delay = Duration::from_secs(self.delay);
        let context = RestartContext { max_retries: self.retries, retry_delay, ..STEADY };
        let mut restart = restart(self.policy);
        restart.default = context;
        restart.health_failures = context;
        restart.breaker = Breaker { half_open_after: self.trial.map(Duration::from_secs) };
        let mut spec = worker(name, restart);
        spec.enabled = self.enabled;
        spec
    }
}

fn natures() -> impl Strategy<Value = Nature> {
    let policies = select(vec![
        RestartPolicy::Never,
        RestartPolicy::OnFailure,
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
    ]);
    let delays = select(vec![0, 5]);
    let trials = select(vec![None, Some(20), Some(0)]);
    let enabled = select(vec![true, true, false]);
    (policies, 0..3_u32, delays, trials, enabled).prop_map(
        |(policy, retries, delay, trial, enabled)| Nature {
            policy,
            retries,
            delay,
            trial,
            enabled,
        },
    )
}

fn happen(world: &mut World, happening: Happening) {
    match happening {
        Happening::Command(worker, command) => drop(world.command(worker, command)),
        Happening::Order => drop(world.keeper.obey(world.now)),
        Happening::Spawn(which, outcome) => {
            world.keeper.outcomes.push_front(outcome);
            if !world.keeper.finish_spawn(which, world.now) {
                world.keeper.outcomes.clear();
            }
        }
        Happening::Deliver => drop(world.deliver()),
        Happening::Kill => drop(world.kill()),
        Happening::Sync => world.sync(),
        Happening::Exit(which, exit) => {
            let runs: Vec<_> = world.keeper.processes.keys().copied().collect();
            if let Some(run) = runs.get(which % runs.len().max(1)) {
                world.keeper.end(*run, exit, world.now);
            }
        }
        Happening::Advance(span) => world.advance(span),
        Happening::Repeat(which) => world.repeat(which),
        Happening::Finding(run, severity) => {
            world.step(Input::HealthFailed { run: RunId(run), severity });
        }
        Happening::Inventory => world.keeper.tell_inventory(),
        Happening::Crash(loss) => world.replace(loss, Resume::Continue),
        Happening::Shutdown(mode) => {
            if !world.witness.is_ending() {
                world.step(Input::Shutdown { mode, actor: Actor::Signal(15) });
            }
        }
        Happening::ForceShutdown => drop(world.step(Input::ForceShutdown)),
        Happening::Rush => world.rush(),
    }
}

fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return config;
    }
    ProptestConfig { cases: QUICK, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_schedule_keeps_the_promises_and_ends_at_rest(
        natures in prop::array::uniform3(natures()),
        entropy in any::<u64>(),
        happenings in prop::collection::vec(happenings(), 1..80),
    ) {
        let rate = StartRate { per_second: 1.0, burst: 2 };
        let settings = hsu_core::fleet::Settings { start_rate: rate, ..settings() };
        let specs = NAMES.into_iter().zip(natures);
        let specs = specs.map(|(name, nature)| nature.spec(name)).collect();
        let mut world = World::unsettled(settings, specs, Pace::Patient);
        world.entropy = entropy;
        for happening in happenings {
            happen(&mut world, happening);
        }
        world.converge();
    }
}
