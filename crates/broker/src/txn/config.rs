//! Settings and bounds of the transaction coordinator.

use std::time::Duration;

/// Longest transactional id, in bytes. Kafka has no bound but the 32,767
/// bytes of a string on the wire.
pub const TRANSACTIONAL_ID_BYTES_MAX: usize = 4096;

/// Longest pause between two tries of a marker.
pub const MARKER_RETRY_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Settings of the transaction coordinator; Kafka's name, default and unit
/// beside each.
#[derive(Debug, Clone)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`, 15 min.
    pub timeout_max: Duration,
    /// `transactional.id.expiration.ms`, 7 days: an id that nobody used for
    /// so long is forgotten.
    pub id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`, 1 h.
    pub id_expiration_check_interval: Duration,
    /// How often open transactions are checked against their timeouts.
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`, 10 s in
    /// Kafka; a forgotten transaction holds back every reader of committed
    /// records, so we look each second.
    pub timeout_check_interval: Duration,
    /// `transaction.state.log.num.partitions`, 50: partitions of
    /// `__transaction_state` when it is created.
    pub state_topic_partitions: i32,
    /// Transactional ids that one coordinator keeps. Unbounded in Kafka.
    pub ids_max: usize,
    /// Partitions in one transaction. Unbounded in Kafka, but the record that
    /// lists them must fit a batch.
    pub partitions_max: usize,
    /// Pause before a marker that could not be written is tried again; it
    /// doubles each time, up to [`MARKER_RETRY_BACKOFF_MAX`].
    pub marker_retry_backoff: Duration,
    /// How long a request may be held while an earlier transaction of the
    /// same id is being finished, before it is told to come again
    /// (`CONCURRENT_TRANSACTIONS`). Kafka answers at once; a client then
    /// sleeps 20 to 100 ms for what usually takes one.
    pub concurrent_wait_max: Duration,
    /// Bytes that a partition of `__transaction_state` may hold before its
    /// living records are written anew and the rest is dropped. Kafka has a
    /// cleaner for that.
    pub rewrite_bytes_min: u64,
}

impl Default for TxnConfig {
    fn default() -> Self {
        Self {
            timeout_max: Duration::from_secs(15 * 60),
            id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            id_expiration_check_interval: Duration::from_secs(60 * 60),
            timeout_check_interval: Duration::from_secs(1),
            state_topic_partitions: 50,
            ids_max: 100_000,
            partitions_max: 20_000,
            marker_retry_backoff: Duration::from_millis(50),
            concurrent_wait_max: Duration::from_millis(500),
            rewrite_bytes_min: 8 * 1024 * 1024,
        }
    }
}
