//! The signals that end a server: SIGTERM and Ctrl-C.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both, held for who asks for the next one.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they are kept instead of ending the process. Needs a
    /// runtime around it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one, unless one came already.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
