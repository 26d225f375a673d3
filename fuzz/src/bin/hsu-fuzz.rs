//! The engine around one target, whose name is in `HSU_FUZZ_TARGET`.
//!
//! Started by `cargo xtask fuzz`, which builds it with coverage. With `HSU_FUZZ_WORK`
//! it lists targets, or lays out and packs the kept inputs of one, and ends.
#![no_main]
#![expect(clippy::print_stdout, clippy::exit, reason = "it is a program without a main")]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use hsu_fuzz::{TARGETS, Target, kept, target};

libfuzzer_sys::fuzz_target!(
    init: {
        if let Ok(work) = std::env::var("HSU_FUZZ_WORK") {
            do_and_exit(&work);
        }
    },
    |input: &[u8]| {
        static CHOSEN: OnceLock<&Target> = OnceLock::new();
        (CHOSEN.get_or_init(chosen).run)(input);
    }
);

fn chosen() -> &'static Target {
    let name = std::env::var("HSU_FUZZ_TARGET").unwrap_or_default();
    target(&name).expect("HSU_FUZZ_TARGET names a target")
}

fn do_and_exit(work: &str) -> ! {
    let folder = std::env::var_os("HSU_FUZZ_FOLDER").unwrap_or_default();
    let folder = Path::new(&folder);
    let done = match work {
        "list" => {
            TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.longest));
            Ok(())
        }
        "unpack" => unpack(chosen(), folder),
        "pack" => pack(chosen(), folder),
        _ => Err(io::Error::other("HSU_FUZZ_WORK is list, unpack or pack")),
    };
    done.expect("files can be read and written");
    std::process::exit(0)
}

fn unpack(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in kept::all(target)?.iter().enumerate() {
        fs::write(folder.join(format!("kept-{number:04}")), input)?;
    }
    Ok(())
}

fn pack(target: &Target, folder: &Path) -> io::Result<()> {
    let seeds = (target.seeds)();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.retain(|input| !seeds.contains(input));
    inputs.sort();
    inputs.dedup();
    let bytes = kept::pack(&inputs);
    println!("{}: {} inputs, {} bytes", target.name, inputs.len(), bytes.len());
    let path = kept::path(target);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(path, bytes)
}
