//! When which group wants to be looked at.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::Notify;

type Entry = (Duration, i32, String);

/// Deadlines of all groups, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: Mutex<BTreeSet<Entry>>,
    earlier: Notify,
}

impl Timers {
    /// Adds a deadline of a group in a partition.
    pub(super) fn add(&self, deadline: Duration, partition: i32, group: &str) {
        let mut entries = self.entries.lock();
        let is_first = entries.first().is_none_or(|(first, ..)| deadline < *first);
        entries.insert((deadline, partition, group.to_owned()));
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Takes the groups whose deadlines have passed.
    pub(super) fn take_due(&self, now: Duration) -> Vec<(i32, String)> {
        let mut entries = self.entries.lock();
        let mut due = Vec::new();
        while entries
            .first()
            .is_some_and(|(deadline, ..)| *deadline <= now)
        {
            if let Some((_, partition, group)) = entries.pop_first() {
                due.push((partition, group));
            }
        }
        due
    }

    /// Waits for the earliest deadline.
    pub(super) async fn wait(&self, now: Duration) {
        let first = self.entries.lock().first().map(|(deadline, ..)| *deadline);
        match first {
            None => self.earlier.notified().await,
            Some(deadline) => {
                let pause = deadline.saturating_sub(now).max(Duration::from_millis(1));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.earlier.notified() => {}
                }
            }
        }
    }
}
