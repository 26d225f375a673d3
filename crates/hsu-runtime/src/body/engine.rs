//! The engine of formatted outputs, and the pump's notices that wake it.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_logs::engine::{Console, ConsoleKind, Engine, EngineOptions, Trouble};
use hsu_model::spool::notice::{MAX_DATAGRAM, Notice};
use hsu_sys::datagram::NoticeSocket;
use tracing::{error, warn};

use super::Body;
use super::outputs::{tell_of_output, tell_of_spool};
use crate::request::Requests;

/// How long the outputs may take to write what is left.
pub(super) const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// The engine, and the thread that hears the pump for it.
#[derive(Debug)]
pub(crate) struct Logging {
    /// One thread wakes it at a time; the lock is never waited for. None when no
    /// output is formatted: the pump is heard all the same.
    engine: Option<Arc<Mutex<Engine>>>,
    socket: Arc<NoticeSocket>,
    ear: JoinHandle<()>,
}

impl Logging {
    /// Writes what is left and ends both threads.
    pub(crate) fn stop(self, within: Duration) {
        self.socket.close();
        if self.ear.join().is_err() {
            warn!("the thread that hears the pump had crashed");
        }
        if let Some(engine) = self.engine.and_then(Arc::into_inner) {
            let engine = engine.into_inner().unwrap_or_else(PoisonError::into_inner);
            engine.flush_and_stop(within);
        }
    }
}

impl Body {
    /// Hears the pump, and starts the engine when there is anything for it to write.
    pub(crate) fn start_engine(&mut self) {
        let is_nothing = self.logs.outputs.is_empty() && self.logs.pump.spools.is_empty();
        if is_nothing || self.engine.is_some() {
            return;
        }
        match self.open_logging() {
            Ok(logging) => self.engine = Some(logging),
            Err(reason) => error!("formatted outputs are not written: {reason}"),
        }
    }

    fn open_logging(&self) -> Result<Logging, String> {
        // The socket first: the engine looks at every spool when it starts.
        let socket = NoticeSocket::bind(&self.runtime.join("logs.sock"));
        let socket = Arc::new(socket.map_err(|error| error.to_string())?);
        let engine = match self.logs.outputs.is_empty() {
            true => None,
            false => Some(Arc::new(Mutex::new(self.open_engine()?))),
        };
        let (theirs, heard, told) = (engine.clone(), Arc::clone(&socket), self.told.clone());
        let ear = std::thread::Builder::new()
            .name("hsu-ear".to_owned())
            .stack_size(128 << 10)
            .spawn(move || hear(theirs.as_deref(), &heard, &told))
            .map_err(|error| error.to_string())?;
        Ok(Logging { engine, socket, ear })
    }

    fn open_engine(&self) -> Result<Engine, String> {
        let console = |out: Box<dyn std::io::Write + Send>, is_terminal: bool| Console {
            out,
            kind: if is_terminal { ConsoleKind::Terminal } else { ConsoleKind::Stream },
        };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let told = self.told.clone();
        let options = EngineOptions {
            plan: self.logs.clone(),
            zone: hsu_logs::format::Zone::local(),
            spools: self.folder.join("spools"),
            cursors: self.folder.join("cursors"),
            stdout: console(Box::new(std::io::stdout()), stdout.is_terminal()),
            stderr: console(Box::new(std::io::stderr()), stderr.is_terminal()),
            open: hsu_sys::files::open_own,
            trouble: Trouble::to(move |output, stuck| tell_of_output(&told, output, stuck)),
        };
        Engine::start(options).map_err(|error| error.to_string())
    }
}

fn hear(engine: Option<&Mutex<Engine>>, socket: &NoticeSocket, told: &Requests) {
    let mut buffer = [0; MAX_DATAGRAM];
    while let Some(length) = socket.receive(&mut buffer) {
        let engine = engine.map(|engine| engine.lock().unwrap_or_else(PoisonError::into_inner));
        for notice in Notice::parse_all(buffer.get(..length).unwrap_or_default()) {
            let (Notice::Grew(spool)
            | Notice::Flows(spool)
            | Notice::Stuck { spool, .. }
            | Notice::Dropped { spool, .. }) = &notice;
            if let Some(engine) = &engine {
                engine.wake(spool);
            }
            tell_of_spool(told, notice);
        }
    }
}
