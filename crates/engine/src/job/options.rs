//! How a job runs.

use crate::operators::ErrorPolicy;
use std::time::Duration;

/// Settings of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOptions {
    /// Length of an epoch, and so about the latency of what a read_committed
    /// consumer sees. Default 100 ms; shorter costs more commits.
    pub epoch: Duration,
    /// Bytes of input or of output after which an epoch ends early.
    pub epoch_bytes_max: usize,
    /// Bytes taken from the log at a time.
    pub poll_bytes_max: usize,
    /// Memory that the state may take; beyond it the job fails.
    pub state_bytes_max: usize,
    /// Changelog bytes after which the whole state is written anew and what
    /// was before it is removed; twice the state's size where that is more.
    pub changelog_bytes_max: u64,
    /// After this long without a commit the log aborts the transaction.
    pub transaction_timeout: Duration,
    /// Pause after a failure: random up to this, doubled each time ...
    pub backoff_min: Duration,
    /// ... up to this.
    pub backoff_max: Duration,
    /// What to do with a row on which an expression fails.
    pub error_policy: ErrorPolicy,
    /// Partitions of a topic that the job has to create and whose table says
    /// nothing (`millstream.partitions`).
    pub partitions_default: i32,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            epoch: Duration::from_millis(100),
            epoch_bytes_max: 16 * 1024 * 1024,
            poll_bytes_max: 1024 * 1024,
            state_bytes_max: 256 * 1024 * 1024,
            changelog_bytes_max: 4 * 1024 * 1024,
            transaction_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            error_policy: ErrorPolicy::DeadLetter,
            partitions_default: 1,
        }
    }
}
