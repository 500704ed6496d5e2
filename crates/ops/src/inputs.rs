//! What the monitor is fed once a second: plain readings, no handles.

use millstream_log::LogCounts;
use serde::Serialize;

/// Everything read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// When, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// All topics, internal ones included.
    pub topics: Vec<TopicInput>,
    /// All consumer groups.
    pub groups: Vec<GroupInput>,
    /// All jobs.
    pub jobs: Vec<JobView>,
    /// Clients that produced, by client id and topic.
    pub producers: Vec<ClientInput>,
    /// The process and its host.
    pub process: ProcessInput,
    /// The logs of all partitions together.
    pub logs: LogsInput,
    /// Live subscriptions of dashboards and pages, by topic read.
    pub live_reads: Vec<String>,
}

/// One topic's readings. Counters only grow while the process lives.
#[derive(Debug, Clone, Default)]
pub struct TopicInput {
    /// Name.
    pub name: String,
    /// Topic id as text.
    pub id: String,
    /// Replicas of each partition.
    pub replicas: usize,
    /// `cleanup.policy`.
    pub cleanup_policy: String,
    /// `retention.ms`; -1 is for ever.
    pub retention_ms: i64,
    /// Partitions by number.
    pub partitions: Vec<PartitionInput>,
    /// Records appended.
    pub in_records: u64,
    /// Bytes appended.
    pub in_bytes: u64,
    /// Records fetched.
    pub out_records: u64,
    /// Bytes fetched.
    pub out_bytes: u64,
}

/// Whether a partition can be written and read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Both.
    #[default]
    Online,
    /// Its log has stopped after an error of the disk.
    ReadOnly,
    /// Its log could not be opened.
    Offline,
}

/// One partition's readings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PartitionInput {
    /// Number.
    pub partition: i32,
    /// Whether it is served.
    pub state: PartitionState,
    /// Broker id of the leader; -1 when there is none.
    pub leader: i32,
    /// Leader epoch.
    pub leader_epoch: i32,
    /// First offset there.
    pub log_start_offset: i64,
    /// End of what may be read.
    pub high_watermark: i64,
    /// End of what read_committed may read.
    pub last_stable_offset: i64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Timestamp of the newest record; `None` when empty.
    pub last_timestamp_ms: Option<i64>,
}

/// One consumer group's readings.
#[derive(Debug, Clone, Default)]
pub struct GroupInput {
    /// Group id.
    pub group: String,
    /// Kafka's state: `Stable`, `Empty`, `PreparingRebalance`, ...
    pub kafka_state: String,
    /// Chosen assignor.
    pub protocol: String,
    /// Members.
    pub members: Vec<MemberView>,
    /// Committed offsets.
    pub offsets: Vec<CommittedInput>,
}

/// A committed offset.
#[derive(Debug, Clone, Default)]
pub struct CommittedInput {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next offset to read.
    pub committed: i64,
    /// When it was committed.
    pub commit_timestamp_ms: i64,
    /// Timestamp of the record at `committed`; `None` when there is none
    /// yet.
    pub oldest_unread_ms: Option<i64>,
    /// Nothing past `committed` is for a reader: transaction markers and
    /// aborted records at most.
    pub is_caught_up: bool,
}

/// A group member as pages show it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MemberView {
    /// Member id.
    pub id: String,
    /// Client id.
    pub client_id: String,
    /// Address.
    pub host: String,
    /// What it owns.
    pub assignments: Vec<AssignmentView>,
}

/// Partitions of one topic that a member owns.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AssignmentView {
    /// Topic.
    pub topic: String,
    /// Partition numbers.
    pub partitions: Vec<i32>,
}

/// A producing client.
#[derive(Debug, Clone, Default)]
pub struct ClientInput {
    /// Client id.
    pub client_id: String,
    /// Topic.
    pub topic: String,
    /// Records so far.
    pub records: u64,
}

/// The process and its host.
#[derive(Debug, Clone, Default)]
pub struct ProcessInput {
    /// CPU time used so far, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes used on the data folder's file system.
    pub disk_used_bytes: u64,
    /// Bytes of the data folder's file system.
    pub disk_total_bytes: u64,
    /// Open Kafka connections.
    pub connections: u64,
    /// Bytes of Kafka requests that have not been answered.
    pub request_bytes: u64,
    /// Bytes of responses that have not been taken, without fetched records.
    pub unsent_bytes: u64,
    /// Bytes of fetched records that have not been sent.
    pub fetched_bytes: u64,
    /// Partitions of all fetch sessions.
    pub fetch_session_partitions: u64,
}

/// The logs of all partitions together.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogsInput {
    /// What was appended, synced and cleaned since the start.
    pub counts: LogCounts,
    /// Partitions that could not be opened.
    pub offline_partitions: usize,
    /// Partitions that the cleaner has set aside after an error.
    pub uncleanable_partitions: usize,
}

/// A job as pages show it; see the HTTP API's Job document.
#[derive(Debug, Clone, Default, Serialize)]
pub struct JobView {
    /// Name.
    pub id: String,
    /// `starting`, `running`, `restarting`, `failed`, `finished`, `stopped`.
    pub state: String,
    /// Topics read.
    pub source_topics: Vec<String>,
    /// Topic written.
    pub sink_topic: String,
    /// Records read a second.
    pub in_records_per_s: f64,
    /// Records written a second.
    pub out_records_per_s: f64,
    /// Records read.
    pub in_records: u64,
    /// Records written.
    pub out_records: u64,
    /// Late rows.
    pub late_records: u64,
    /// Undecodable records.
    pub dead_letters: u64,
    /// Records not read yet; `None` while nobody looks, in a job that is not
    /// running.
    pub lag_records: Option<i64>,
    /// Watermark's distance from now.
    pub watermark_lag_ms: Option<i64>,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Epochs committed.
    pub epoch: u64,
    /// Commit time, 99th percentile.
    pub epoch_commit_p99_ms: Option<f64>,
    /// Times restarted.
    pub restarts: u64,
    /// Why it failed or restarts.
    pub error: Option<String>,
}
