//! Try.
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let t = std::time::Instant::now();
    let source = match hsu_config::read(std::path::Path::new(&path)) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            return;
        }
    };
    let s = hsu_config::Surroundings::of_this_process();
    let read = t.elapsed();
    if let Ok(n) = std::env::var("LOOP") {
        for _ in 0..n.parse::<u32>().unwrap() {
            std::hint::black_box(hsu_config::load(&source, &s, &Default::default()));
        }
    }
    let outcome = hsu_config::load(&source, &s, &Default::default());
    let load = t.elapsed() - read;
    let out = outcome
        .diagnostics
        .render(&source, std::env::args().nth(3).is_some());
    let all = t.elapsed();
    if std::env::args().nth(2).is_some() {
        println!("{out}");
        if let Some(f) = &outcome.fleet {
            println!("{f:#?}");
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let hwm = status
        .lines()
        .find(|l| l.starts_with("VmHWM"))
        .unwrap()
        .to_string();
    eprintln!(
        "{path}: read {read:?} load {load:?} all {all:?} {hwm} errors {} warnings {} text {}",
        outcome.diagnostics.errors().count(),
        outcome.diagnostics.warnings().count(),
        out.len()
    );
}
