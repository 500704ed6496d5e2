//! What happens in the background: checkpoints, so that a crash has little to
//! scan; retention; forgetting silent producers.

use super::LogManager;
use crate::error::LogError;
use crate::partition::PartitionLog;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often logs are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Bytes after which a partition gets a checkpoint: what recovery has to read
/// of it at most, give or take a tick.
pub(super) const CHECKPOINT_BYTES: u64 = 16 << 20;
/// Ticks between two looks at retention and expiry
/// (`log.retention.check.interval.ms` is 300,000 in Kafka; looking is cheap).
const RETENTION_TICKS: u64 = 30;

#[derive(Default)]
pub(super) struct Upkeep {
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    pub(super) fn stop(&self) {
        *self.stopping.0.lock() = true;
        self.stopping.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic in it was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

pub(super) fn start(manager: &Arc<LogManager>) -> io::Result<()> {
    let mut thread = manager.upkeep.thread.lock();
    if thread.is_some() {
        return Ok(());
    }
    let stopping = Arc::clone(&manager.upkeep.stopping);
    // Weak, so that a manager that was dropped without a shutdown ends.
    let manager = Arc::downgrade(manager);
    let builder = std::thread::Builder::new().name("log-upkeep".to_owned());
    *thread = Some(builder.spawn(move || run(&manager, &stopping))?);
    Ok(())
}

fn run(manager: &Weak<LogManager>, stopping: &(Mutex<bool>, Condvar)) {
    for tick in 1_u64.. {
        {
            let mut stop = stopping.0.lock();
            if !*stop {
                stopping.1.wait_for(&mut stop, TICK);
            }
            if *stop {
                return;
            }
        }
        let Some(manager) = manager.upgrade() else {
            return;
        };
        manager.checkpoint_logs(CHECKPOINT_BYTES);
        if tick % RETENTION_TICKS == 0 {
            manager.enforce_retention();
        }
    }
}

impl LogManager {
    /// Moves the recovery point of every log that has grown by `bytes_min`
    /// since the last time. Errors are logged; the log that has one stops.
    pub fn checkpoint_logs(&self, bytes_min: u64) {
        let _turn = self.changing.lock();
        let mut points = Vec::new();
        for log in self.all() {
            if log.bytes_since_checkpoint() < bytes_min || log.failure().is_some() {
                continue;
            }
            match log.checkpoint() {
                Ok(point) => points.push((log.topic_partition().clone(), point)),
                Err(error) => report(&log, &error),
            }
        }
        if points.is_empty() {
            return;
        }
        if let Err(error) = self.shared.recovery_points.store(points) {
            // Recovery would read more; nothing is lost.
            tracing::warn!(%error, "cannot write the recovery points");
        }
    }

    /// Deletes what the topics' retention allows, and forgets silent
    /// producers.
    pub fn enforce_retention(&self) {
        let now_ms = self.shared.clock.now_ms();
        for log in self.all() {
            if log.failure().is_some() {
                continue;
            }
            log.expire_producers(now_ms);
            match log.enforce_retention(now_ms) {
                Ok(0) => {}
                Ok(segments) => {
                    tracing::info!(partition = %log.topic_partition(), segments, "deleted old segments");
                }
                Err(error) => report(&log, &error),
            }
        }
    }
}

fn report(log: &PartitionLog, error: &LogError) {
    tracing::error!(partition = %log.topic_partition(), %error, "upkeep failed");
}
