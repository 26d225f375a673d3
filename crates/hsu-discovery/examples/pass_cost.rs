//! What a pass costs: starts processes, looks for workers, and prints CPU time by pass.
//!
//! `cargo run --release -p hsu-discovery --example pass_cost -- [PROCESSES] [WORKERS]`
#![expect(clippy::print_stdout, reason = "an example tells what it measured")]
#![expect(clippy::unwrap_used, reason = "a failed step ends the measurement")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hsu_discovery::{Kin, Searcher};
use hsu_model::discovery::{Combine, Discovery, Matches, Protocol, Search, Text};
use hsu_model::id::WorkerId;

struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn cpu() -> Duration {
    let own = hsu_sys::process::identify(std::process::id()).unwrap();
    hsu_sys::usage::sample(own).unwrap().cpu
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().unwrap());
    let (processes, workers) = (numbers.next().unwrap_or(5000), numbers.next().unwrap_or(20));
    let mut crowd = Crowd(Vec::new());
    for _ in 0..processes {
        let child = Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn();
        crowd.0.push(child.unwrap());
    }
    // Nobody is young any more.
    std::thread::sleep(Duration::from_secs(6));
    for (title, port) in [("by name", None), ("by port", Some(1_u16))] {
        let mut searcher = Searcher::new(Kin::default());
        let names: Vec<_> =
            (0..workers).map(|n| WorkerId::new(&format!("w{n}")).unwrap()).collect();
        for (place, worker) in names.iter().enumerate() {
            let search = match port {
                Some(port) => Search::Port { port, protocol: Protocol::Tcp },
                None => Search::Name {
                    name: Text::Pattern(format!("^server-{place}$")),
                    args: Vec::new(),
                },
            };
            let what = Discovery {
                searches: vec![search],
                combine: Combine::All,
                include: Vec::new(),
                exclude: Vec::new(),
                validation: Vec::new(),
                check_interval: Discovery::DEFAULT_INTERVAL,
                matches: Matches::One,
            };
            searcher.look_for(worker.clone(), &what).unwrap();
        }
        let begin = (Instant::now(), cpu());
        drop(searcher.pass(&names));
        let (wall, used) = (begin.0.elapsed(), cpu() - begin.1);
        println!(
            "{title}: first pass over {} processes: {used:?} CPU, {wall:?}",
            searcher.population()
        );
        // A full pass of a searcher that knows everybody: somebody was started.
        let begin = cpu();
        for _ in 0..20 {
            let mut stranger = Command::new("true").spawn().unwrap();
            stranger.wait().unwrap();
            drop(searcher.pass(&names));
        }
        println!("{title}: full pass, 1 started since: {:?} CPU", (cpu() - begin) / 20);
        let begin = Instant::now();
        for _ in 0..8 {
            drop(searcher.pass(&names));
        }
        println!("{title}: pass when nothing changed: {:?}", begin.elapsed() / 8);
    }
}
