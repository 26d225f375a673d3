//! The exhibits: each bug by name, with who had it.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An exit is acknowledged before it is durable, and lost with the master.
    ForgetsEarly,
    /// A command is answered before it is durable.
    AnswersEarly,
    /// What was wished for is begun before the wish is durable.
    StartsEarly,
    /// A wish is written and not synced.
    SkipsTheSync,
    /// A write that failed counts as durable.
    TrustsAFailedSync,
    /// What could not be written is thrown away.
    DropsAFailedBatch,
    /// What waits for a full disk grows for ever.
    QueuesWithoutBound,
    /// An exit that nobody saw is told as code 1.
    InventsExits,
    /// An exit is forgotten when no master is there to hear it.
    DropsExits,
    /// A live process is taken for gone, and started again.
    CallsTheLivingLeaked,
    /// Workers are started before it is known what runs.
    StartsBeforeLooking,
    /// A signal goes to whoever has the PID now.
    SignalsByNumber,
    /// A PID is believed to be the worker without a look at its start time.
    BelievesNumbers,
    /// A child whose start was withdrawn runs all the same.
    StartsUnrecorded,
    /// A start under way is taken for nothing, and its place given away.
    ReusesHalfStarts,
    /// The kill of a tree hits its first process only.
    KillsTheParentOnly,
    /// The next run does not wait for the kill of what the last one left.
    StartsBesideTheKill,
    /// Whoever ignores the signal to end is left alone.
    NeverKills,
    /// The grace is not given.
    KillsAtOnce,
    /// Attempts are not counted, 40,000 restarts.
    NeverGivesUp,
    /// There is no rest between attempts.
    NeverRests,
    /// Rests grow beyond their cap.
    RestsWithoutCap,
    /// An open breaker never allows its trial.
    NeverTriesAgain,
    /// A run that ended as it should is started again.
    RestartsTheFinished,
    /// Failures in a row are forgotten with the master.
    RestoresNoAttempts,
    /// That a worker was given up is forgotten with the master.
    RestoresNoBreaker,
    /// An exit is accounted once more by the next master.
    RestoresNoAccounts,
    /// What an operator stopped is started by the next master.
    RestoresNoStop,
    /// What an operator disabled is enabled by the next master.
    RestoresNoDisable,
    /// The next master does not wait for the rest to be over.
    RestoresNoRest,
    /// An order that may have been carried out is sent again.
    RepeatsOrders,
    /// One exit is followed by two starts.
    RestartsTwice,
    /// A stop is done as soon as it is asked for.
    AnswersStopsAtOnce,
    /// Who was overtaken by another command waits for ever.
    LeavesTheSuperseded,
    /// Run numbers begin anew with each master.
    ReusesRuns,
    /// Event numbers begin anew with each master.
    ReusesEvents,
    /// A check of an earlier run restarts the present one.
    BelievesOldChecks,
    /// A limit that an earlier run exceeded restarts the present one.
    BelievesOldLimits,
    /// A command that was refused is in the books as carried out.
    TellsTheRefused,
    /// A command leaves no trace in the journal.
    ActsUntold,
    /// The environment is told in an error.
    LeaksSecrets,
    /// Workers that shall go on are stopped with the master.
    StopsTheKept,
    /// The end is told while workers still run.
    EndsTooSoon,
    /// A lost master is not started again.
    LeavesTheMasterLost,
    /// A lost keeper is not replaced.
    LeavesTheKeeperLost,
    /// Children are not reaped.
    LeavesZombies,
    /// The end of a kill is not told.
    LosesReports,
    /// What left the configuration goes on unseen.
    ForgetsTheDeparted,
    /// Timers follow the wall clock.
    LivesByTheWallClock,
    /// An exit is acknowledged, and the record does not know of it.
    ForgetsToPersist,
    /// What was to be stopped and was adopted goes on.
    StopsOnce,
    /// A probe kills a worker that is still starting.
    ProbesTheStarting,
    /// One failed look counts as all that it takes.
    ActsOnTheFirstFailure,
    /// A look begins while the one before is not over.
    OverlapsChecks,
    /// One violation of a limit is acted on twice.
    ActsTwice,
    /// What hovers at a limit is another violation each time.
    ForgetsHysteresis,
    /// A spike that may be counts as a violation.
    ActsOnSpikes,
    /// A worker is stopped for its silence within its time.
    BarksTooEarly,
    /// Whoever has the PID now is attached.
    AttachesByNumber,
    /// A process of ours is taken for somebody else's.
    AttachesToOurOwn,
    /// A candidate takes the state before the other master has let go of it.
    TakesWhatIsHeld,
    /// A master that was fenced writes once more.
    WritesWhenFenced,
    /// A master that gave way goes on before the candidate is dead.
    ResumesTooSoon,
    /// A master that gave way goes on with what it knew, whatever was written meanwhile.
    TrustsItsMemory,
    /// A master that ended by itself is started again at once.
    RelaunchesAtOnce,
    /// The end of a process is the end of its run, although it had said who goes on.
    MissesLastWords,
    /// Whoever is named counts, of whomever it is a process.
    BelievesAnyName,
    /// Output is read first and written then, and lost with whoever is killed between.
    ReadsThenWrites,
    /// What has no room is taken and nowhere told.
    LosesOnAFullDisk,
    /// A log file is emptied when the next pump opens it.
    EmptiesOnStart,
    /// A file is rotated by a copy, and what came meanwhile is cut off with it.
    CopiesAndTruncates,
    /// A file that was moved away is written to for ever.
    WritesToTheMoved,
    /// What is too much is deleted before it was read.
    RetiresTheUnread,
    /// Numbers of segments come back.
    ReusesSegments,
    /// A check that flaps is well after one good look.
    ForgetsFlapping,
    /// A rate is reckoned with the interval that should have passed.
    AssumesIntervals,
}

/// A bug, who had it, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// The bug.
    pub bug: Bug,
    /// Its name.
    pub name: &'static str,
    /// Where it was met.
    pub source: &'static str,
    /// What it does.
    pub what: &'static str,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Exhibit; 76] = [
        Exhibit {
            bug: Self::ForgetsEarly,
            name: "ForgetsEarly",
            source: "containerd/containerd#10603",
            what: "an exit is acknowledged before it is durable, and lost with the master",
        },
        Exhibit {
            bug: Self::AnswersEarly,
            name: "AnswersEarly",
            source: "etcd-io/etcd#14370",
            what: "a command is answered before it is durable",
        },
        Exhibit {
            bug: Self::StartsEarly,
            name: "StartsEarly",
            source: "etcd-io/etcd#14370, the other half",
            what: "what was wished for is begun before the wish is durable",
        },
        Exhibit {
            bug: Self::SkipsTheSync,
            name: "SkipsTheSync",
            source: "vectordotdev/vector#25570",
            what: "a wish is written and not synced",
        },
        Exhibit {
            bug: Self::TrustsAFailedSync,
            name: "TrustsAFailedSync",
            source: "Rebello et al., USENIX ATC 2020 (fsyncgate)",
            what: "a write that failed counts as durable",
        },
        Exhibit {
            bug: Self::DropsAFailedBatch,
            name: "DropsAFailedBatch",
            source: "vectordotdev/vector#18336",
            what: "what could not be written is thrown away",
        },
        Exhibit {
            bug: Self::QueuesWithoutBound,
            name: "QueuesWithoutBound",
            source: "skarnet s6-log -b, Unitech/pm2#6113",
            what: "what waits for a full disk grows for ever",
        },
        Exhibit {
            bug: Self::InventsExits,
            name: "InventsExits",
            source: "hashicorp/nomad drivers/shared/executor wait()",
            what: "an exit that nobody saw is told as code 1",
        },
        Exhibit {
            bug: Self::DropsExits,
            name: "DropsExits",
            source: "containerd/containerd#6771",
            what: "an exit is forgotten when no master is there to hear it",
        },
        Exhibit {
            bug: Self::CallsTheLivingLeaked,
            name: "CallsTheLivingLeaked",
            source: "containerd/containerd#13784",
            what: "a live process is taken for gone, and started again",
        },
        Exhibit {
            bug: Self::StartsBeforeLooking,
            name: "StartsBeforeLooking",
            source: "hashicorp/nomad#16922, jdx/pitchfork#887",
            what: "workers are started before it is known what runs",
        },
        Exhibit {
            bug: Self::SignalsByNumber,
            name: "SignalsByNumber",
            source: "hashicorp/nomad#23969, winsw/winsw#123",
            what: "a signal goes to whoever has the PID now",
        },
        Exhibit {
            bug: Self::BelievesNumbers,
            name: "BelievesNumbers",
            source: "systemd CVE-2018-16888, Nukesor/pueue#311",
            what: "a PID is believed to be the worker without a look at its start time",
        },
        Exhibit {
            bug: Self::StartsUnrecorded,
            name: "StartsUnrecorded",
            source: "systemd/systemd#31209",
            what: "a child whose start was withdrawn runs all the same",
        },
        Exhibit {
            bug: Self::ReusesHalfStarts,
            name: "ReusesHalfStarts",
            source: "containerd/containerd#6860",
            what: "a start under way is taken for nothing, and its place given away",
        },
        Exhibit {
            bug: Self::KillsTheParentOnly,
            name: "KillsTheParentOnly",
            source: "Supervisor/supervisor#1101, F1bonacc1/process-compose#520",
            what: "the kill of a tree hits its first process only",
        },
        Exhibit {
            bug: Self::StartsBesideTheKill,
            name: "StartsBesideTheKill",
            source: "Unitech/pm2#5104",
            what: "the next run does not wait for the kill of what the last one left",
        },
        Exhibit {
            bug: Self::NeverKills,
            name: "NeverKills",
            source: "Supervisor/supervisor stopwaitsecs, F1bonacc1/process-compose#354",
            what: "whoever ignores the signal to end is left alone",
        },
        Exhibit {
            bug: Self::KillsAtOnce,
            name: "KillsAtOnce",
            source: "hashicorp/nomad#10731",
            what: "the grace is not given",
        },
        Exhibit {
            bug: Self::NeverGivesUp,
            name: "NeverGivesUp",
            source: "Unitech/pm2#2584, FedericoPonzi/Horust#318",
            what: "attempts are not counted, 40,000 restarts",
        },
        Exhibit {
            bug: Self::NeverRests,
            name: "NeverRests",
            source: "circus-tent/circus#1157",
            what: "there is no rest between attempts",
        },
        Exhibit {
            bug: Self::RestsWithoutCap,
            name: "RestsWithoutCap",
            source: "kubernetes/kubernetes#57291",
            what: "rests grow beyond their cap",
        },
        Exhibit {
            bug: Self::NeverTriesAgain,
            name: "NeverTriesAgain",
            source: "systemd/systemd#43813",
            what: "an open breaker never allows its trial",
        },
        Exhibit {
            bug: Self::RestartsTheFinished,
            name: "RestartsTheFinished",
            source: "servy-community/servy#5584",
            what: "a run that ended as it should is started again",
        },
        Exhibit {
            bug: Self::RestoresNoAttempts,
            name: "RestoresNoAttempts",
            source: "hashicorp/nomad#5593",
            what: "failures in a row are forgotten with the master",
        },
        Exhibit {
            bug: Self::RestoresNoBreaker,
            name: "RestoresNoBreaker",
            source: "erlang/otp#1287, R10",
            what: "that a worker was given up is forgotten with the master",
        },
        Exhibit {
            bug: Self::RestoresNoAccounts,
            name: "RestoresNoAccounts",
            source: "containerd/containerd#6771, the other half",
            what: "an exit is accounted once more by the next master",
        },
        Exhibit {
            bug: Self::RestoresNoStop,
            name: "RestoresNoStop",
            source: "Supervisor/supervisor#1411, circus-tent/circus#965",
            what: "what an operator stopped is started by the next master",
        },
        Exhibit {
            bug: Self::RestoresNoDisable,
            name: "RestoresNoDisable",
            source: "Supervisor/supervisor#591",
            what: "what an operator disabled is enabled by the next master",
        },
        Exhibit {
            bug: Self::RestoresNoRest,
            name: "RestoresNoRest",
            source: "Unitech/pm2#718",
            what: "the next master does not wait for the rest to be over",
        },
        Exhibit {
            bug: Self::RepeatsOrders,
            name: "RepeatsOrders",
            source: "F1bonacc1/process-compose#530",
            what: "an order that may have been carried out is sent again",
        },
        Exhibit {
            bug: Self::RestartsTwice,
            name: "RestartsTwice",
            source: "F1bonacc1/process-compose#347",
            what: "one exit is followed by two starts",
        },
        Exhibit {
            bug: Self::AnswersStopsAtOnce,
            name: "AnswersStopsAtOnce",
            source: "containerd/containerd#12600",
            what: "a stop is done as soon as it is asked for",
        },
        Exhibit {
            bug: Self::LeavesTheSuperseded,
            name: "LeavesTheSuperseded",
            source: "jetify-com/devbox#2915",
            what: "who was overtaken by another command waits for ever",
        },
        Exhibit {
            bug: Self::ReusesRuns,
            name: "ReusesRuns",
            source: "vectordotdev/vector#19759",
            what: "run numbers begin anew with each master",
        },
        Exhibit {
            bug: Self::ReusesEvents,
            name: "ReusesEvents",
            source: "etcd-io/etcd#13766",
            what: "event numbers begin anew with each master",
        },
        Exhibit {
            bug: Self::BelievesOldChecks,
            name: "BelievesOldChecks",
            source: "kubernetes/kubernetes#27114, F1bonacc1/process-compose#544",
            what: "a check of an earlier run restarts the present one",
        },
        Exhibit {
            bug: Self::BelievesOldLimits,
            name: "BelievesOldLimits",
            source: "Unitech/pm2#5104",
            what: "a limit that an earlier run exceeded restarts the present one",
        },
        Exhibit {
            bug: Self::TellsTheRefused,
            name: "TellsTheRefused",
            source: "hashicorp/nomad CVE-2025-4922",
            what: "a command that was refused is in the books as carried out",
        },
        Exhibit {
            bug: Self::ActsUntold,
            name: "ActsUntold",
            source: "hashicorp/vault audit devices",
            what: "a command leaves no trace in the journal",
        },
        Exhibit {
            bug: Self::LeaksSecrets,
            name: "LeaksSecrets",
            source: "Unitech/pm2#6089",
            what: "the environment is told in an error",
        },
        Exhibit {
            bug: Self::StopsTheKept,
            name: "StopsTheKept",
            source: "Unitech/pm2#2653, pm2 update",
            what: "workers that shall go on are stopped with the master",
        },
        Exhibit {
            bug: Self::EndsTooSoon,
            name: "EndsTooSoon",
            source: "hashicorp/nomad#17134",
            what: "the end is told while workers still run",
        },
        Exhibit {
            bug: Self::LeavesTheMasterLost,
            name: "LeavesTheMasterLost",
            source: "systemd/systemd#20647",
            what: "a lost master is not started again",
        },
        Exhibit {
            bug: Self::LeavesTheKeeperLost,
            name: "LeavesTheKeeperLost",
            source: "skarnet runit, why.html",
            what: "a lost keeper is not replaced",
        },
        Exhibit {
            bug: Self::LeavesZombies,
            name: "LeavesZombies",
            source: "kubernetes/kubernetes#81042, tilt-dev/tilt-extensions#570",
            what: "children are not reaped",
        },
        Exhibit {
            bug: Self::LosesReports,
            name: "LosesReports",
            source: "F1bonacc1/process-compose#258",
            what: "the end of a kill is not told",
        },
        Exhibit {
            bug: Self::ForgetsTheDeparted,
            name: "ForgetsTheDeparted",
            source: "systemd/systemd#38802, Supervisor/supervisor#1154",
            what: "what left the configuration goes on unseen",
        },
        Exhibit {
            bug: Self::LivesByTheWallClock,
            name: "LivesByTheWallClock",
            source: "Supervisor/supervisor 3.4.0, CHANGES",
            what: "timers follow the wall clock",
        },
        Exhibit {
            bug: Self::ForgetsToPersist,
            name: "ForgetsToPersist",
            source: "hashicorp/nomad#632",
            what: "an exit is acknowledged, and the record does not know of it",
        },
        Exhibit {
            bug: Self::StopsOnce,
            name: "StopsOnce",
            source: "jdx/pitchfork#632",
            what: "what was to be stopped and was adopted goes on",
        },
        Exhibit {
            bug: Self::ProbesTheStarting,
            name: "ProbesTheStarting",
            source: "kubernetes/kubernetes#27114 (why there are startup probes)",
            what: "a probe kills a worker that is still starting",
        },
        Exhibit {
            bug: Self::ActsOnTheFirstFailure,
            name: "ActsOnTheFirstFailure",
            source: "F1bonacc1/process-compose#403",
            what: "one failed look counts as all that it takes",
        },
        Exhibit {
            bug: Self::OverlapsChecks,
            name: "OverlapsChecks",
            source: "kubernetes/kubernetes#110070, #124226",
            what: "a look begins while the one before is not over",
        },
        Exhibit {
            bug: Self::ActsTwice,
            name: "ActsTwice",
            source: "Core-Tools/hsu-master-go pkg/resourcelimits, AppScale/gts#2615",
            what: "one violation of a limit is acted on twice",
        },
        Exhibit {
            bug: Self::ForgetsHysteresis,
            name: "ForgetsHysteresis",
            source: "Core-Tools/hsu-master-go pkg/resourcelimits",
            what: "what hovers at a limit is another violation each time",
        },
        Exhibit {
            bug: Self::ActsOnSpikes,
            name: "ActsOnSpikes",
            source: "Unitech/pm2#5670, #4119",
            what: "a spike that may be counts as a violation",
        },
        Exhibit {
            bug: Self::BarksTooEarly,
            name: "BarksTooEarly",
            source: "systemd/systemd#9467, puma/puma#3675",
            what: "a worker is stopped for its silence within its time",
        },
        Exhibit {
            bug: Self::AttachesByNumber,
            name: "AttachesByNumber",
            source: "hashicorp/nomad#23969, Core-Tools/hsu-master-go pkg/process/attach.go",
            what: "whoever has the PID now is attached",
        },
        Exhibit {
            bug: Self::AttachesToOurOwn,
            name: "AttachesToOurOwn",
            source: "rcbops/chef-cookbooks#603 (monit), uutils/procps#339",
            what: "a process of ours is taken for somebody else's",
        },
        Exhibit {
            bug: Self::TakesWhatIsHeld,
            name: "TakesWhatIsHeld",
            source: "Jepsen, etcd 3.4.3 (locks), kubernetes client-go leaderelection, package doc",
            what: "a candidate takes the state before the other master has let go of it",
        },
        Exhibit {
            bug: Self::WritesWhenFenced,
            name: "WritesWhenFenced",
            source: "Kleppmann, How to do distributed locking, 2016 (HBase)",
            what: "a master that was fenced writes once more",
        },
        Exhibit {
            bug: Self::ResumesTooSoon,
            name: "ResumesTooSoon",
            source: "kubernetes client-go leaderelection, package doc: it does not fence",
            what: "a master that gave way goes on before the candidate is dead",
        },
        Exhibit {
            bug: Self::TrustsItsMemory,
            name: "TrustsItsMemory",
            source: "elastic/cloud-on-k8s#5274, instaclustr/cassandra-operator#404",
            what: "a master that gave way goes on with what it knew, and another has written",
        },
        Exhibit {
            bug: Self::RelaunchesAtOnce,
            name: "RelaunchesAtOnce",
            source: "circus-tent/circus#1157, Unitech/pm2#2584",
            what: "a master that ended by itself is started again at once",
        },
        Exhibit {
            bug: Self::MissesLastWords,
            name: "MissesLastWords",
            source: "systemd/systemd#2737",
            what: "the end of a process is the end of its run, although it had said who goes on",
        },
        Exhibit {
            bug: Self::BelievesAnyName,
            name: "BelievesAnyName",
            source: "systemd/systemd#6632",
            what: "whoever is named counts, of whomever it is a process",
        },
        Exhibit {
            bug: Self::ReadsThenWrites,
            name: "ReadsThenWrites",
            source: "hashicorp/nomad#17076, jdx/pitchfork#540",
            what: "output is read first and written then, and lost with whoever is killed between",
        },
        Exhibit {
            bug: Self::LosesOnAFullDisk,
            name: "LosesOnAFullDisk",
            source: "telefonicaid/perseo-fe#27",
            what: "what has no room is taken and nowhere told",
        },
        Exhibit {
            bug: Self::EmptiesOnStart,
            name: "EmptiesOnStart",
            source: "palantir/atlasdb#1481, davmac314/dinit#315",
            what: "a log file is emptied when the next pump opens it",
        },
        Exhibit {
            bug: Self::CopiesAndTruncates,
            name: "CopiesAndTruncates",
            source: "logrotate/logrotate#34",
            what: "a file is rotated by a copy, and what came meanwhile is cut off with it",
        },
        Exhibit {
            bug: Self::WritesToTheMoved,
            name: "WritesToTheMoved",
            source: "ralphlange/procServ#73, Supervisor/supervisor#240",
            what: "a file that was moved away is written to for ever",
        },
        Exhibit {
            bug: Self::RetiresTheUnread,
            name: "RetiresTheUnread",
            source: "fluent/fluentd#1428",
            what: "what is too much is deleted before it was read",
        },
        Exhibit {
            bug: Self::ReusesSegments,
            name: "ReusesSegments",
            source: "vectordotdev/vector#19759",
            what: "numbers of segments come back",
        },
        Exhibit {
            bug: Self::ForgetsFlapping,
            name: "ForgetsFlapping",
            source: "sensu/sensu#964",
            what: "a check that flaps is well after one good look",
        },
        Exhibit {
            bug: Self::AssumesIntervals,
            name: "AssumesIntervals",
            source: "BrightcoveOS/Diamond#443",
            what: "a rate is reckoned with the interval that should have passed",
        },
    ];

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|exhibit| exhibit.name.eq_ignore_ascii_case(name));
        found.map(|exhibit| exhibit.bug)
    }
}
