//! The writing thread: everything that waits becomes one transaction.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use crate::{Batch, Durability, Shared, database, lock};

/// The first rest after a failed write, doubled up to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(1);

pub(crate) fn run(mut connection: Connection, shared: &Shared, on_durable: &(dyn Fn() + Send)) {
    let mut rest = FIRST_REST;
    loop {
        let (batches, closing) = take(shared);
        let Some(last) = batches.last().map(|(number, _)| *number) else {
            if closing {
                // A checkpoint that fails is made by the next master.
                drop(connection.close());
                return;
            }
            continue;
        };
        match write(&mut connection, &batches) {
            Ok(()) => {
                rest = FIRST_REST;
                *lock(&shared.health) = None;
                shared.durable.store(last, Ordering::Release);
                on_durable();
            }
            Err(error) => {
                *lock(&shared.health) = Some(format!("the state cannot be written: {error}"));
                on_durable();
                if closing {
                    return;
                }
                give_back(shared, batches);
                std::thread::sleep(rest);
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

/// Waits for batches; none only when the store is closing.
fn take(shared: &Shared) -> (Vec<(u64, Batch)>, bool) {
    let mut queue = lock(&shared.queue);
    while queue.waiting.is_empty() && !queue.closing {
        queue = shared.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    (queue.waiting.drain(..).collect(), queue.closing)
}

fn give_back(shared: &Shared, batches: Vec<(u64, Batch)>) {
    let mut queue = lock(&shared.queue);
    for batch in batches.into_iter().rev() {
        queue.waiting.push_front(batch);
    }
}

fn write(connection: &mut Connection, batches: &[(u64, Batch)]) -> rusqlite::Result<()> {
    let synced = batches.iter().any(|(_, batch)| batch.durability == Durability::Synced);
    // FULL syncs the log of the database at the commit, NORMAL leaves it to the kernel.
    let level = if synced { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", level)?;
    let transaction = connection.transaction()?;
    for (_, batch) in batches {
        database::write(&transaction, batch)?;
    }
    transaction.commit()
}
