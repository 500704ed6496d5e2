//! One runtime a role: a query that hogs its threads takes none of the log's.

use anyhow::{Context, Result};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long tasks may take to end when the server stops.
const END_MAX: Duration = Duration::from_secs(2);

/// The runtimes.
pub struct Runtimes {
    /// Connections, log, coordinators, metadata.
    pub broker: Runtime,
    /// Jobs and queries.
    pub engine: Runtime,
    /// HTTP, WebSockets, the monitor.
    pub console: Runtime,
}

impl Runtimes {
    /// Starts them: the engine with a thread a core, the broker with
    /// `broker_threads`; 0 is half the cores.
    ///
    /// Why half: what a small request costs is mostly the waking of threads.
    /// Syncs, and reads from disk, have threads of their own.
    pub fn new(broker_threads: usize) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let broker_threads = match broker_threads {
            0 => cores.div_ceil(2),
            threads => threads,
        };
        Ok(Self {
            broker: runtime("broker", broker_threads)?,
            engine: runtime("engine", cores)?,
            console: runtime("console", cores.min(2))?,
        })
    }

    /// Ends them.
    pub fn shutdown(self) {
        self.console.shutdown_timeout(END_MAX);
        self.engine.shutdown_timeout(END_MAX);
        self.broker.shutdown_timeout(END_MAX);
    }
}

fn runtime(name: &'static str, threads: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("cannot start the {name}'s threads"))
}
