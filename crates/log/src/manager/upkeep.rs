//! What happens in the background: checkpoints, so that a crash has little to
//! scan; retention; `flush.ms`; forgetting silent producers.

use super::LogManager;
use crate::buffers;
use crate::error::LogError;
use crate::partition::checkpoint::checkpoint_all;
use crate::partition::{PartitionLog, retain};
use parking_lot::{Condvar, Mutex};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the logs in use are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Bytes after which a partition gets a checkpoint: what recovery has to read
/// of it at most, give or take a tick.
pub(super) const CHECKPOINT_BYTES: u64 = 16 << 20;
/// Bytes after which those partitions that have most of them get one: what
/// recovery has to read of all together at most, give or take a tick.
const CHECKPOINT_BYTES_ALL: u64 = 256 << 20;
/// A partition with anything to read gets one after this time, so that a few
/// records a day do not add up.
const CHECKPOINT_AGE: Duration = Duration::from_secs(300);
/// Logs of one round of checkpoints, which hold off deletions meanwhile.
const CHECKPOINT_LOGS_MAX: usize = 1024;
/// Ticks between two looks at retention and expiry, and at files that nobody
/// uses (`log.retention.check.interval.ms` is 300,000 in Kafka; looking is
/// cheap).
const RETENTION_TICKS: u64 = 30;
/// Logs whose segments are deleted in one go.
const RETENTION_LOGS_MAX: usize = 256;

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
        manager.checkpoint_due();
        if tick % RETENTION_TICKS == 0 {
            manager.enforce_retention();
            manager.shared.files.close_idle();
            buffers::shrink();
        }
    }
}

impl LogManager {
    /// Moves the recovery point of every log that has grown by `bytes_min`
    /// since the last time. Errors are logged; the log that has one stops.
    pub fn checkpoint_logs(&self, bytes_min: u64) {
        let mut touched = self.touched();
        touched.retain(|t| t.bytes >= bytes_min);
        self.checkpoint(&touched);
    }

    /// Moves the recovery points that are due, and asks for the syncs that are
    /// by `flush.ms`. Looks only at logs that were
    /// appended to since their last one.
    pub(super) fn checkpoint_due(&self) {
        let touched = self.touched();
        if touched.is_empty() {
            return;
        }
        let now_ms = self.shared.clock.now_ms();
        for growing in &touched {
            growing.log.flush_overdue(now_ms);
        }
        let now = self.shared.clock.monotonic();
        let due = due(touched, now);
        self.checkpoint(&due);
        if self.shared.files.is_over() {
            // Only a sync lets files be closed that were written without one.
            self.checkpoint(&self.touched());
        }
    }

    /// The logs with bytes beyond their recovery point.
    fn touched(&self) -> Vec<Growing> {
        // An append lists its log with the log's lock held.
        let mut listed = std::mem::take(&mut *self.shared.touched.lock());
        let mut growing = Vec::with_capacity(listed.len());
        listed.retain(|log| {
            let Some(log) = log.upgrade() else {
                return false;
            };
            let touched = log.touched_or_unlisted();
            if let Some((bytes, since)) = touched {
                growing.push(Growing { log, bytes, since });
            }
            touched.is_some()
        });
        self.shared.touched.lock().append(&mut listed);
        growing
    }

    fn checkpoint(&self, logs: &[Growing]) {
        for round in logs.chunks(CHECKPOINT_LOGS_MAX) {
            let _turn = self.changing.lock();
            let logs: Vec<_> = round.iter().map(|g| Arc::clone(&g.log)).collect();
            let mut points = Vec::with_capacity(logs.len());
            for (log, outcome) in logs.iter().zip(checkpoint_all(&logs)) {
                match outcome {
                    Ok(point) => points.push((log.topic_partition().clone(), point)),
                    Err(_) if log.is_ended() => {}
                    Err(error) => report(log, &error),
                }
            }
            if points.is_empty() {
                continue;
            }
            if let Err(error) = self.shared.recovery_points.store(points) {
                // Recovery would read more; nothing is lost.
                tracing::warn!(%error, "cannot write the recovery points");
            }
        }
    }

    /// Deletes what the topics' retention allows, and forgets silent
    /// producers.
    pub fn enforce_retention(&self) {
        let now_ms = self.shared.clock.now_ms();
        let logs = self.all();
        for round in logs.chunks(RETENTION_LOGS_MAX) {
            let mut deletions = Vec::new();
            for log in round.iter().filter(|log| log.failure().is_none()) {
                log.expire_producers(now_ms);
                match log.plan_retention(now_ms) {
                    Ok(planned) => deletions.extend(planned),
                    Err(error) => report(log, &error),
                }
            }
            let done = retain::delete_all(deletions, |log, outcome| {
                match outcome {
                    Ok(()) => {
                        tracing::info!(partition = %log.topic_partition(), "deleted old segments");
                    }
                    Err(error) => report(log, &error),
                }
                Ok::<(), Infallible>(())
            });
            match done {
                Ok(()) => {}
            }
        }
    }
}

/// A log with bytes that a crash now would have to scan.
struct Growing {
    log: Arc<PartitionLog>,
    bytes: u64,
    since: Duration,
}

/// Those that get a checkpoint now.
fn due(mut touched: Vec<Growing>, now: Duration) -> Vec<Growing> {
    let mut all: u64 = touched.iter().map(|t| t.bytes).sum();
    let is_too_much = all > CHECKPOINT_BYTES_ALL;
    touched.sort_unstable_by_key(|t| std::cmp::Reverse(t.bytes));
    touched.retain(|t| {
        // Down to half, so that it is not due again at once.
        let is_one_of_many = is_too_much && all > CHECKPOINT_BYTES_ALL / 2;
        let is_due = t.bytes >= CHECKPOINT_BYTES
            || is_one_of_many
            || now.saturating_sub(t.since) >= CHECKPOINT_AGE;
        if is_due {
            all -= t.bytes;
        }
        is_due
    });
    touched
}

fn report(log: &PartitionLog, error: &LogError) {
    tracing::error!(partition = %log.topic_partition(), %error, "upkeep failed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogConfig;
    use crate::testing::Disk;

    fn growing(bytes: &[u64], age_s: u64) -> Vec<Growing> {
        let (_manager, log) = Disk::new(LogConfig::default()).open();
        let one = |bytes: &u64| Growing {
            log: Arc::clone(&log),
            bytes: *bytes,
            since: Duration::from_secs(1000 - age_s),
        };
        bytes.iter().map(one).collect()
    }

    fn due_of(bytes: &[u64], age_s: u64) -> Vec<u64> {
        let due = due(growing(bytes, age_s), Duration::from_secs(1000));
        due.iter().map(|growing| growing.bytes).collect()
    }

    #[test]
    fn what_a_crash_has_to_read_is_bounded_for_each_and_for_all() {
        const MB: u64 = 1 << 20;
        assert_eq!(due_of(&[1, 15 * MB], 10), []);
        assert_eq!(due_of(&[1, 16 * MB], 10), [16 * MB]);
        assert_eq!(due_of(&[1, 2], 300), [2, 1]);
        let many = due_of(&[MB; 300], 10);
        assert_eq!(many.len(), 300 - 128, "down to half of what is allowed");
        let mut uneven = vec![1; 1000];
        uneven.extend([15 * MB; 20]);
        assert!(due_of(&uneven, 10).iter().all(|bytes| *bytes == 15 * MB));
    }
}
