//! What the process of the worker uses, as a number for a judgement.

use hsu_model::health::probe::Used;

use crate::look::{Looked, Seen, Trouble};
use crate::prober::Subject;

pub(crate) fn look(used: Used, subject: &Subject) -> Looked {
    let Some(process) = subject.process else {
        return Err(Trouble::bad("it has no process"));
    };
    let Some(usage) = hsu_sys::usage::sample(process) else {
        return Err(Trouble::Bad(format!("process {} is gone", process.pid)));
    };
    let (value, note) = match used {
        Used::Cpu => {
            let seconds = usage.cpu.as_secs_f64();
            (seconds, format!("{seconds:.2} s of CPU so far"))
        }
        Used::Memory => {
            #[expect(clippy::cast_precision_loss, reason = "memory is less than 2^53 bytes")]
            let bytes = usage.resident.0 as f64;
            (bytes, format!("{} resident", usage.resident))
        }
    };
    Ok(Seen { value: Some(value), ..Seen::note(note) })
}
