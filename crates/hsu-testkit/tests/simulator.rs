//! The simulator: it finds no broken promise, and every bug of the museum.

use hsu_testkit::simulator::{Bug, Campaign, Scope, replay, run_campaign};

/// Far from what `cargo xtask simulate` begins with.
const SEED: u64 = 1 << 40;

fn campaign(schedules: u64, bug: Option<Bug>) -> Campaign {
    Campaign { schedules, seed: SEED, jobs: 1, bug, survey: false, scope: Scope::Everything }
}

#[test]
fn no_promise_breaks_in_some_thousand_lives() {
    let report = run_campaign(&campaign(20_000, None));
    assert_eq!(report.broken, None);
    assert_eq!(report.schedules, 20_000);
    assert_eq!(report.coverage.misjudged(), Vec::<String>::new(), "hit, and named out of reach");
}

#[test]
fn a_host_whose_pids_all_were_taken_starts_its_workers_once_it_is_healed() {
    let report = run_campaign(&Campaign { seed: 21_241_309, ..campaign(1, None) });
    assert_eq!(report.broken, None);
}

#[test]
fn what_a_look_told_when_the_master_ended_is_not_missed_when_the_run_ends() {
    let report = run_campaign(&Campaign { seed: 50_007_280, ..campaign(1, None) });
    assert_eq!(report.broken, None);
}

#[test]
fn every_bug_of_the_museum_is_found() {
    let missed: Vec<_> = Bug::ALL
        .iter()
        .filter(|exhibit| run_campaign(&campaign(150_000, Some(exhibit.bug))).broken.is_none())
        .map(|exhibit| exhibit.name)
        .collect();
    assert_eq!(missed, Vec::<&str>::new());
    assert!(Bug::ALL.len() >= 30);
}

#[test]
fn a_seed_replays_and_a_finding_is_cut_down_to_what_it_needs() {
    let bug = Some(Bug::RestartsTwice);
    let found = run_campaign(&campaign(150_000, bug)).broken;
    let (seed, findings) = found.expect("it is found");
    let story = replay(seed, bug, Scope::Everything).expect("it is found again");
    assert_eq!(story.findings.first().map(|f| f.invariant), Some(findings[0].invariant));
    assert!(story.lengths.1 <= story.lengths.0, "{:?}", story.lengths);
    assert_eq!(replay(seed, bug, Scope::Everything).map(|again| again.text), Some(story.text));
    assert!(replay(seed, None, Scope::Everything).is_none());
}

#[test]
fn no_byte_of_a_river_is_lost() {
    let rivers = Campaign { scope: Scope::Rivers, ..campaign(1_000, None) };
    let report = run_campaign(&rivers);
    assert!(report.broken.is_none(), "{:?}", report.broken);
    assert!(report.rivers == 1_000 && report.kills > 100, "{report:?}");
    assert_eq!(run_campaign(&rivers).calls, report.calls, "a seed lives the same life again");
}
