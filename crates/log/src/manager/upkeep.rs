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
/// Ticks between two looks at silent producers, and at files that nobody
/// uses.
const EXPIRY_TICKS: u64 = 30;
/// Default of `log.retention.check.interval.ms`, Kafka's. Not shorter, although
/// looking is cheap: clients write records of long ago and read them at once,
/// from topics whose retention they have outlived.
const RETENTION_CHECK_DEFAULT: Duration = Duration::from_secs(300);
/// Longest wait for the first look after a start, Kafka's as well.
const RETENTION_CHECK_FIRST_MAX: Duration = Duration::from_secs(30);
/// Logs whose segments are deleted in one go.
const RETENTION_LOGS_MAX: usize = 256;

pub(super) struct Upkeep {
    retention_check: Mutex<Duration>,
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            retention_check: Mutex::new(RETENTION_CHECK_DEFAULT),
            stopping: Arc::default(),
            thread: Mutex::default(),
        }
    }
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
    let mut pace = RetentionPace::from(manager.shared.clock.monotonic());
    // Weak, so that a manager that was dropped without a shutdown ends.
    let manager = Arc::downgrade(manager);
    let builder = std::thread::Builder::new().name("log-upkeep".to_owned());
    *thread = Some(builder.spawn(move || run(&manager, &mut pace, &stopping))?);
    Ok(())
}

/// When retention was last looked at.
struct RetentionPace {
    start: Duration,
    last: Option<Duration>,
}

impl RetentionPace {
    fn from(start: Duration) -> Self {
        Self { start, last: None }
    }

    fn is_due(&self, now: Duration, interval: Duration) -> bool {
        let next = match self.last {
            Some(last) => last.saturating_add(interval),
            None => self.start + interval.min(RETENTION_CHECK_FIRST_MAX),
        };
        now >= next
    }
}

fn run(manager: &Weak<LogManager>, pace: &mut RetentionPace, stopping: &(Mutex<bool>, Condvar)) {
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
        manager.enforce_retention_when_due(pace);
        if tick % EXPIRY_TICKS == 0 {
            manager.expire_producers();
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

    /// Puts another `log.retention.check.interval.ms` in force, give or take a
    /// tick.
    pub fn set_retention_check(&self, interval: Duration) {
        *self.upkeep.retention_check.lock() = interval;
    }

    fn enforce_retention_when_due(&self, pace: &mut RetentionPace) {
        let now = self.shared.clock.monotonic();
        let interval = *self.upkeep.retention_check.lock();
        if pace.is_due(now, interval) {
            pace.last = Some(now);
            self.enforce_retention();
        }
    }

    /// Forgets silent producers.
    fn expire_producers(&self) {
        let now_ms = self.shared.clock.now_ms();
        for log in self.all().iter().filter(|log| log.failure().is_none()) {
            log.expire_producers(now_ms);
        }
    }

    /// Deletes what the topics' retention allows.
    pub fn enforce_retention(&self) {
        let now_ms = self.shared.clock.now_ms();
        let logs = self.all();
        for round in logs.chunks(RETENTION_LOGS_MAX) {
            let mut deletions = Vec::new();
            for log in round.iter().filter(|log| log.failure().is_none()) {
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
    use crate::partition::UpTo;
    use crate::testing::{Disk, NOBODY, append, batch_of, read_values};
    use millstream_core::env::Clock as _;

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

    #[test]
    fn records_older_than_the_retention_live_until_the_next_look_at_it() {
        let disk = Disk::new(LogConfig::default());
        let (manager, log) = disk.open();
        let mut pace = RetentionPace::from(disk.clock.monotonic());
        let mut value = 0_u8;
        let mut write_old = || {
            value += 1;
            append(&log, batch_of(NOBODY, 1_000, &[&[value]]));
            log.flush().unwrap();
        };
        let mut readable_after_ms = |ms| {
            disk.clock.advance_ms(ms);
            manager.enforce_retention_when_due(&mut pace);
            let records = read_values(&log, UpTo::HighWatermark);
            records.iter().map(|(_, v)| v[0]).collect::<Vec<_>>()
        };
        write_old();
        assert_eq!(readable_after_ms(29_999), [1]);
        assert_eq!(readable_after_ms(1), [], "the first look after a start");
        write_old();
        assert_eq!(readable_after_ms(299_999), [2]);
        assert_eq!(readable_after_ms(1), []);

        manager.set_retention_check(Duration::from_secs(10));
        write_old();
        assert_eq!(readable_after_ms(9_999), [3]);
        assert_eq!(readable_after_ms(1), []);
    }

    #[test]
    fn a_short_interval_holds_for_the_first_look_too() {
        let start = Duration::from_secs(7);
        let pace = RetentionPace::from(start);
        let interval = Duration::from_millis(50);
        assert!(!pace.is_due(start, interval));
        assert!(pace.is_due(start + interval, interval));
    }
}
