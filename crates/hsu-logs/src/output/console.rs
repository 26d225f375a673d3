//! A console: the master's standard output or error.
//!
//! A thread of its own writes it, since a console may block for as long as it
//! likes. A bounded queue stands between: when it is full the engine goes on with
//! its files, and skips lines of the console that fell too far behind. A console that
//! is gone takes every line and shows none, so that nobody waits for it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Chunks that may wait for a console: enough that it is never idle, little to lose.
pub(crate) const QUEUE: usize = 4;

/// Lines for a console, and what is done once they are written.
#[derive(Debug)]
struct Chunk {
    lines: Vec<u8>,
    upto: Vec<(String, u64)>,
}

/// The thread that writes a console.
#[derive(Debug)]
pub(crate) struct ConsoleThread {
    queue: Option<SyncSender<Chunk>>,
    thread: Option<JoinHandle<()>>,
}

/// Told by the thread after each chunk: names of inputs, and up to where they are written.
pub(crate) type Written = Box<dyn Fn(Vec<(String, u64)>) + Send>;
/// Told once, when the console is gone.
pub(crate) type Gone = Box<dyn FnOnce(io::Error) + Send>;

impl ConsoleThread {
    pub(crate) fn start(
        out: Box<dyn Write + Send>,
        written: Written,
        gone: Gone,
    ) -> io::Result<Self> {
        let (queue, chunks) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("hsu-console".to_owned())
            .spawn(move || write_all(out, &chunks, &written, gone))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// A console that takes nothing.
    pub(crate) fn nowhere() -> Self {
        Self { queue: None, thread: None }
    }

    /// Hands over lines. Answers whether they were taken: a full queue takes none,
    /// and neither does a console that is gone.
    pub(crate) fn offer(&self, lines: Vec<u8>, upto: Vec<(String, u64)>) -> bool {
        let chunk = Chunk { lines, upto };
        self.queue.as_ref().is_some_and(|queue| queue.try_send(chunk).is_ok())
    }

    /// Ends the thread when it has written what waits, or leaves it behind at
    /// `deadline`: a console that blocks for ever ends with the process.
    pub(crate) fn stop(&mut self, deadline: Instant) {
        self.queue = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // The thread has no way to panic that the process would outlive.
        let _ = thread.join();
    }
}

fn write_all(
    mut out: Box<dyn Write + Send>,
    chunks: &Receiver<Chunk>,
    written: &Written,
    gone: Gone,
) {
    let mut gone = Some(gone);
    for chunk in chunks {
        // The lines of a console that is gone are in their files.
        let done = out.write_all(&chunk.lines).and_then(|()| out.flush());
        if let Err(error) = done {
            out = Box::new(io::sink());
            if let Some(gone) = gone.take() {
                gone(error);
            }
        }
        written(chunk.upto);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A console whose terminal was closed.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_console_that_is_gone_says_so_once_and_holds_up_nobody() {
        let (told, news) = channel();
        let ended = told.clone();
        let written = move |upto: Vec<(String, u64)>| told.send(format!("{upto:?}")).unwrap();
        let gone = move |error: io::Error| ended.send(error.kind().to_string()).unwrap();
        let mut console =
            ConsoleThread::start(Box::new(Closed), Box::new(written), Box::new(gone)).unwrap();
        for offset in 1..=2 {
            assert!(console.offer(b"line\n".to_vec(), vec![("web".to_owned(), offset)]));
        }
        console.stop(Instant::now() + Duration::from_secs(20));
        let news: Vec<_> = news.iter().collect();
        assert_eq!(news, ["broken pipe", "[(\"web\", 1)]", "[(\"web\", 2)]"]);
    }
}
