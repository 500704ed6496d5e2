//! One file per Kafka API, and the one list of them.
//!
//! To add an API: write `api/<name>.rs` with a type that implements
//! [`Handler`], and add one line to [`APIS`]. ApiVersions, dispatch, metrics
//! and documentation follow from the list.
//!
//! Order on one connection: [`Handler::handle`] of a request has returned
//! before that of the next one starts, so effects happen in the order of the
//! requests, as Kafka promises. What a handler only waits for (a sync, more
//! records, other members of a group) belongs into [`Answer::Later`]: it goes
//! on while later requests of the connection are handled, and the responses
//! still leave in request order.
//!
//! A request's byte fields are slices of its frame: copy what is kept for
//! longer than the request, or it keeps the whole frame in memory.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
pub(crate) mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod features;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod items;
mod join_group;
mod leader_hints;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod registry;
mod serving;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

pub(crate) use api_versions::unsupported_version as unsupported_api_versions;
pub use registry::{Api, Handler};
pub(crate) use registry::{CallError, RawAnswer};

use futures::future::BoxFuture;
use millstream_wire::ApiKey;
use registry::api;

/// Every API that this broker serves, by number.
pub static APIS: &[Api] = &[
    api::<produce::Produce>(),                                           // 0
    api::<fetch::Fetch>(),                                               // 1
    api::<list_offsets::ListOffsets>(),                                  // 2
    api::<metadata::Metadata>(),                                         // 3
    api::<offset_commit::OffsetCommit>(),                                // 8
    api::<offset_fetch::OffsetFetch>(),                                  // 9
    api::<find_coordinator::FindCoordinator>(),                          // 10
    api::<join_group::JoinGroup>(),                                      // 11
    api::<heartbeat::Heartbeat>(),                                       // 12
    api::<leave_group::LeaveGroup>(),                                    // 13
    api::<sync_group::SyncGroup>(),                                      // 14
    api::<describe_groups::DescribeGroups>(),                            // 15
    api::<list_groups::ListGroups>(),                                    // 16
    api::<api_versions::ApiVersions>(),                                  // 18
    api::<create_topics::CreateTopics>(),                                // 19
    api::<delete_topics::DeleteTopics>(),                                // 20
    api::<delete_records::DeleteRecords>(),                              // 21
    api::<init_producer_id::InitProducerId>(),                           // 22
    api::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),              // 23
    api::<add_partitions_to_txn::AddPartitionsToTxn>(),                  // 24
    api::<add_offsets_to_txn::AddOffsetsToTxn>(),                        // 25
    api::<end_txn::EndTxn>(),                                            // 26
    api::<write_txn_markers::WriteTxnMarkers>(),                         // 27
    api::<txn_offset_commit::TxnOffsetCommit>(),                         // 28
    api::<describe_configs::DescribeConfigs>(),                          // 32
    api::<alter_configs::AlterConfigs>(),                                // 33
    api::<alter_replica_log_dirs::AlterReplicaLogDirs>(),                // 34
    api::<describe_log_dirs::DescribeLogDirs>(),                         // 35
    api::<create_partitions::CreatePartitions>(),                        // 37
    api::<delete_groups::DeleteGroups>(),                                // 42
    api::<elect_leaders::ElectLeaders>(),                                // 43
    api::<incremental_alter_configs::IncrementalAlterConfigs>(),         // 44
    api::<alter_partition_reassignments::AlterPartitionReassignments>(), // 45
    api::<list_partition_reassignments::ListPartitionReassignments>(),   // 46
    api::<offset_delete::OffsetDelete>(),                                // 47
    api::<describe_quorum::DescribeQuorum>(),                            // 55
    api::<describe_cluster::DescribeCluster>(),                          // 60
    api::<describe_producers::DescribeProducers>(),                      // 61
    api::<describe_transactions::DescribeTransactions>(),                // 65
    api::<list_transactions::ListTransactions>(),                        // 66
    api::<consumer_group_heartbeat::ConsumerGroupHeartbeat>(),           // 68
    api::<consumer_group_describe::ConsumerGroupDescribe>(),             // 69
    api::<list_config_resources::ListConfigResources>(),                 // 74
    api::<describe_topic_partitions::DescribeTopicPartitions>(),         // 75
];

/// The API of this number, if it is served.
pub fn find(key: ApiKey) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

/// All that can be done to a topic, as bits (KIP-430): there are no
/// permissions yet, so everyone may do everything.
const ALL_TOPIC_OPERATIONS: i32 = operations(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// All that can be done to the cluster, as bits.
const ALL_CLUSTER_OPERATIONS: i32 = operations(&[5, 7, 8, 9, 10, 11, 12]);

const fn operations(codes: &[u8]) -> i32 {
    let (mut bits, mut i) = (0, 0);
    while i < codes.len() {
        bits |= 1 << codes[i];
        i += 1;
    }
    bits
}

/// What a handler gives back.
pub enum Answer<R> {
    /// The response.
    Now(R),
    /// The response, when something that was waited for has happened. All
    /// effects whose order matters have been started. Is dropped, not
    /// finished, when the connection ends; is first polled when all earlier
    /// responses of the connection have left.
    Later(BoxFuture<'static, R>),
    /// No response is expected (Produce with acks=0).
    None,
    /// The request cannot be answered: the connection is closed, for this
    /// reason.
    Close(String),
}

impl<R> Answer<R> {
    /// An answer that is waited for.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<R> From<R> for Answer<R> {
    fn from(response: R) -> Self {
        Self::Now(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_asks_only_for_versions_that_wire_has() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in APIS {
            let versions = api.key.info().versions;
            assert!(versions.contains(&api.version_min), "{}", api.key);
            assert!(versions.contains(&api.version_max), "{}", api.key);
            assert!(api.announced_from <= api.version_min && api.version_min <= api.version_max);
        }
    }
}
