//! Which log the cleaner takes up, and when; what a round is lives in
//! [`crate::cleaner`].
//!
//! One thread. It takes the log with the largest dirty part first, and rests
//! when none is due. A log that cannot be cleaned is set aside with the reason,
//! and tried again after a pause that doubles; the others go on.

use super::LogManager;
use crate::cleaner::{self, CleanError, CleanPlan, Cleaned, CleanerConfig, Control};
use crate::partition::PartitionLog;
use millstream_core::ids::TopicPartition;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// First pause of a log that was set aside; doubled with each failure.
const SET_ASIDE_MIN: Duration = Duration::from_secs(60);
/// Longest pause.
const SET_ASIDE_MAX: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(super) struct Cleaning {
    config: Mutex<CleanerConfig>,
    set_aside: Mutex<BTreeMap<TopicPartition, SetAside>>,
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Clone)]
struct SetAside {
    reason: String,
    pause: Duration,
    /// By the monotonic clock.
    until: Duration,
}

impl Cleaning {
    pub(super) fn stop(&self) {
        *self.stopping.0.lock() = true;
        self.stopping.1.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic in it was reported by the panic hook already.
            let _ = thread.join();
        }
    }

    pub(super) fn forget(&self, topic_partition: &TopicPartition) {
        self.set_aside.lock().remove(topic_partition);
    }

    /// Waits; true when the server stops.
    fn pause(&self, wait: Duration) -> bool {
        pause(&self.stopping, wait)
    }
}

fn pause(stopping: &(Mutex<bool>, Condvar), wait: Duration) -> bool {
    let mut stop = stopping.0.lock();
    if !*stop && !wait.is_zero() {
        stopping.1.wait_for(&mut stop, wait);
    }
    *stop
}

pub(super) fn start(manager: &Arc<LogManager>) -> io::Result<()> {
    let mut thread = manager.cleaning.thread.lock();
    if thread.is_some() {
        return Ok(());
    }
    let stopping = Arc::clone(&manager.cleaning.stopping);
    // Weak, so that a manager that was dropped without a shutdown ends.
    let manager = Arc::downgrade(manager);
    let builder = std::thread::Builder::new().name("log-cleaner".to_owned());
    *thread = Some(builder.spawn(move || run(&manager, &stopping))?);
    Ok(())
}

fn run(manager: &Weak<LogManager>, stopping: &(Mutex<bool>, Condvar)) {
    loop {
        let Some(manager) = manager.upgrade() else {
            return;
        };
        let rest = if manager.clean_next() {
            Duration::ZERO
        } else {
            Duration::from_millis(manager.cleaning.config.lock().backoff_ms)
        };
        drop(manager);
        if pause(stopping, rest) {
            return;
        }
    }
}

impl LogManager {
    /// Puts other settings of the cleaner in force, from its next round on.
    pub fn set_cleaner_config(&self, config: CleanerConfig) {
        let before = std::mem::replace(&mut *self.cleaning.config.lock(), config);
        if before.backoff_ms != config.backoff_ms {
            // A longer rest may be going on.
            self.cleaning.stopping.1.notify_all();
        }
    }

    /// The logs that the cleaner has set aside, and why.
    pub fn uncleanable(&self) -> Vec<(TopicPartition, String)> {
        let set_aside = self.cleaning.set_aside.lock();
        let listed = set_aside
            .iter()
            .map(|(tp, s)| (tp.clone(), s.reason.clone()));
        listed.collect()
    }

    /// Where the cleaner's last round over a partition ended.
    pub fn cleaned_to(
        &self,
        topic_partition: &TopicPartition,
    ) -> Option<millstream_core::ids::Offset> {
        self.shared.cleaned_to.get(topic_partition)
    }

    /// Cleans the log that needs it most, if one does; true when there was
    /// one. The cleaner's thread calls it; tests do too.
    pub fn clean_next(&self) -> bool {
        let Some((log, plan)) = self.filthiest() else {
            return false;
        };
        match self.clean_log(&log, &plan) {
            Ok(cleaned) => {
                self.cleaning.forget(log.topic_partition());
                self.shared
                    .metrics
                    .cleaned(cleaned.bytes_before, cleaned.bytes_after);
                tracing::info!(
                    partition = %log.topic_partition(), to = %cleaned.end,
                    bytes_before = cleaned.bytes_before, bytes_after = cleaned.bytes_after, "compacted"
                );
            }
            // The next round finds out what is there now.
            Err(CleanError::Stopped | CleanError::Overtaken) => {}
            // One that has stopped or is deleted is not cleaned again.
            Err(_) if log.failure().is_some() => {}
            Err(error) => self.set_aside(&log, &error),
        }
        true
    }

    fn filthiest(&self) -> Option<(Arc<PartitionLog>, CleanPlan)> {
        let now_ms = self.shared.clock.now_ms();
        let mut filthiest: Option<(Arc<PartitionLog>, CleanPlan)> = None;
        for log in self.all() {
            if !log.config().compacts() || self.is_set_aside(log.topic_partition()) {
                continue;
            }
            let cleaned_to = self.shared.cleaned_to.get(log.topic_partition());
            match log.clean_plan(cleaned_to, now_ms) {
                Ok(Some(plan)) if plan.is_due(&log.config()) => {
                    let is_filthier = filthiest
                        .as_ref()
                        .is_none_or(|(_, most)| plan.dirty_ppm() > most.dirty_ppm());
                    if is_filthier {
                        filthiest = Some((log, plan));
                    }
                }
                Ok(_) => {}
                Err(error) => self.set_aside(&log, &error.into()),
            }
        }
        filthiest
    }

    fn clean_log(&self, log: &PartitionLog, plan: &CleanPlan) -> Result<Cleaned, CleanError> {
        // A start after a crash neither scans nor replays what is below the
        // recovery point, so nothing above it is written anew.
        self.settle(log, plan.end)?;
        let pause = |wait| self.cleaning.pause(wait);
        let config = *self.cleaning.config.lock();
        let control = Control::new(config, self.shared.clock.as_ref(), &pause);
        let cleaned = cleaner::clean(log, plan, &control)?;
        // A topic of the same name may have taken its place.
        let _turn = self.changing.lock();
        let hosted = self.get(log.topic_partition());
        if !hosted.is_some_and(|hosted| std::ptr::eq(&*hosted, log)) {
            return Err(CleanError::Overtaken);
        }
        self.shared
            .cleaned_to
            .store([(log.topic_partition().clone(), cleaned.end)])
            .map_err(|source| CleanError::Write {
                path: self.data_dir.join(crate::names::CLEANED_TO),
                source,
            })?;
        Ok(cleaned)
    }

    /// Makes sure that the recovery point is at or above `end`, durably.
    fn settle(&self, log: &PartitionLog, end: i64) -> Result<(), CleanError> {
        let _turn = self.changing.lock();
        let stored = self.shared.recovery_points.durable(log.topic_partition());
        if stored.is_some_and(|point| point.0 >= end) && log.recovery_point().0 >= end {
            return Ok(());
        }
        let point = log.checkpoint()?;
        self.shared
            .recovery_points
            .store([(log.topic_partition().clone(), point)])
            .map_err(|source| CleanError::Write {
                path: self.data_dir.join(crate::names::RECOVERY_POINTS),
                source,
            })
    }

    fn is_set_aside(&self, topic_partition: &TopicPartition) -> bool {
        let set_aside = self.cleaning.set_aside.lock();
        let now = self.shared.clock.monotonic();
        set_aside
            .get(topic_partition)
            .is_some_and(|s| now < s.until)
    }

    fn set_aside(&self, log: &PartitionLog, error: &CleanError) {
        let mut set_aside = self.cleaning.set_aside.lock();
        let before = set_aside.get(log.topic_partition());
        let pause = before.map_or(SET_ASIDE_MIN, |s| (s.pause * 2).min(SET_ASIDE_MAX));
        tracing::error!(partition = %log.topic_partition(), %error, ?pause, "cannot be compacted, set aside");
        let entry = SetAside {
            reason: error.to_string(),
            pause,
            until: self.shared.clock.monotonic().saturating_add(pause),
        };
        set_aside.insert(log.topic_partition().clone(), entry);
        self.shared.metrics.set_aside();
    }
}
