//! The writing thread: everything that waits becomes one transaction.

use std::time::Duration;

use crate::database::{Database, Fault};
use crate::queue::{Next, Queue};

/// The first rest after a failed write, doubled up to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_millis(50);
/// A disk that has room again is written to within this time.
const LONGEST_REST: Duration = Duration::from_millis(800);

/// Writes until the queue is closed.
///
/// # Errors
/// The fault of the last attempt, when something could not be written by then.
pub(crate) fn run(
    mut database: Database,
    queue: &Queue,
    on_durable: &(dyn Fn() + Send),
) -> Result<(), Fault> {
    let mut rest = FIRST_REST;
    loop {
        let (number, batch) = match queue.take() {
            Next::Write(number, batch) => (number, batch),
            Next::End => {
                database.close();
                return Ok(());
            }
        };
        let written = database.write(&batch);
        if let Some(reason) = database.take_renewed() {
            queue.renewed(reason);
        }
        match written {
            Ok(()) => {
                rest = FIRST_REST;
                queue.confirm(number);
                on_durable();
            }
            Err(fault) => {
                // Whoever waits for this batch learns why it does not come.
                queue.lacks_room(fault.is_full());
                if !queue.fail(number, batch, &fault.to_string(), on_durable, rest) {
                    return last_attempt(database, queue, fault);
                }
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

fn last_attempt(mut database: Database, queue: &Queue, fault: Fault) -> Result<(), Fault> {
    let Next::Write(number, batch) = queue.take() else {
        return Err(fault);
    };
    database.write(&batch)?;
    queue.confirm(number);
    database.close();
    Ok(())
}
