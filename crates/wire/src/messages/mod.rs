//! The messages, one file for each API, and the one list of them.
//!
//! A new API is a file with its two declarations and a line in the list at
//! the end of this file; [`ApiKey`], its versions, the [`Request`] and
//! [`Response`] implementations and every test over all messages follow.
//!
//! What is listed can be decoded and encoded. Which APIs a broker serves, and
//! in which versions, is the broker's to say.

use crate::api::{AnyMessage, ApiInfo, Request, Response};
use crate::codec::Message;

macro_rules! apis {
    ($($api:ident = $key:literal, $module:ident::{$request:ident, $response:ident};)*) => {
        $(
            pub mod $module;
            pub use $module::{$request, $response};

            impl Request for $request {
                const KEY: ApiKey = ApiKey::$api;
                type Response = $response;
            }

            impl Response for $response {
                const KEY: ApiKey = ApiKey::$api;
            }
        )*

        /// The APIs whose messages are known, by their numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {$(
            #[doc = concat!("See [`", stringify!($module), "`].")]
            $api = $key,
        )*}

        impl ApiKey {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$api),*];

            /// The API of a number.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$api),)*
                    _ => None,
                }
            }

            /// Its number.
            #[must_use]
            pub fn code(self) -> i16 {
                self as i16
            }

            /// Its name and versions.
            #[must_use]
            pub fn info(self) -> ApiInfo {
                match self {$(
                    Self::$api => ApiInfo {
                        key: self,
                        name: stringify!($api),
                        versions: $request::VERSIONS,
                        flexible_from: $request::FLEXIBLE_FROM,
                    },
                )*}
            }

            /// Its request and its response, without their types.
            #[must_use]
            pub fn messages(self) -> (AnyMessage, AnyMessage) {
                match self {$(
                    Self::$api => (AnyMessage::of::<$request>(), AnyMessage::of::<$response>()),
                )*}
            }
        }
    };
}

apis! {
    Produce = 0, produce::{ProduceRequest, ProduceResponse};
    Fetch = 1, fetch::{FetchRequest, FetchResponse};
    ListOffsets = 2, list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
    Metadata = 3, metadata::{MetadataRequest, MetadataResponse};
    OffsetCommit = 8, offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
    OffsetFetch = 9, offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
    FindCoordinator = 10, find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
    JoinGroup = 11, join_group::{JoinGroupRequest, JoinGroupResponse};
    Heartbeat = 12, heartbeat::{HeartbeatRequest, HeartbeatResponse};
    LeaveGroup = 13, leave_group::{LeaveGroupRequest, LeaveGroupResponse};
    SyncGroup = 14, sync_group::{SyncGroupRequest, SyncGroupResponse};
    DescribeGroups = 15, describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
    ListGroups = 16, list_groups::{ListGroupsRequest, ListGroupsResponse};
    SaslHandshake = 17, sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
    ApiVersions = 18, api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    CreateTopics = 19, create_topics::{CreateTopicsRequest, CreateTopicsResponse};
    DeleteTopics = 20, delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
    DeleteRecords = 21, delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
    InitProducerId = 22, init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
    OffsetForLeaderEpoch = 23, offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
    AddPartitionsToTxn = 24, add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
    AddOffsetsToTxn = 25, add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
    EndTxn = 26, end_txn::{EndTxnRequest, EndTxnResponse};
    WriteTxnMarkers = 27, write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
    TxnOffsetCommit = 28, txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
    DescribeConfigs = 32, describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
    AlterConfigs = 33, alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
    AlterReplicaLogDirs = 34, alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
    DescribeLogDirs = 35, describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
    SaslAuthenticate = 36, sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
    CreatePartitions = 37, create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
    DeleteGroups = 42, delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
    ElectLeaders = 43, elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
    IncrementalAlterConfigs = 44, incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
    AlterPartitionReassignments = 45, alter_partition_reassignments::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
    ListPartitionReassignments = 46, list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
    OffsetDelete = 47, offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
    DescribeQuorum = 55, describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
    DescribeCluster = 60, describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
    DescribeProducers = 61, describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
    DescribeTransactions = 65, describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
    ListTransactions = 66, list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
    ConsumerGroupHeartbeat = 68, consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
    ConsumerGroupDescribe = 69, consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
    ListConfigResources = 74, list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
    DescribeTopicPartitions = 75, describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
}
