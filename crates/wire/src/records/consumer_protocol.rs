//! What the members of a classic group of consumers say to each other through
//! the coordinator, which does not read it.

use bytes::Bytes;

crate::message! {
    /// What a consumer says when it joins a group.
    pub struct ConsumerProtocolSubscription(0-3) {
        /// Topics that the member wants.
        topics: Vec<String> [0+],
        /// Bytes of the assignor itself, or null.
        user_data: Option<Bytes> [0+, nullable(0+)],
        /// Partitions that the member owns, by topic (KIP-429).
        owned_partitions: Vec<TopicPartitions> [1+, ignorable],
        /// Generation in which it owned them; -1 is unknown (KIP-792).
        generation_id: i32 [2+, default(-1), ignorable],
        /// Rack of the member, or null.
        rack_id: Option<String> [3+, nullable(3+), ignorable],
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        /// Topic name.
        topic: String [0+],
        /// Partition numbers.
        partitions: Vec<i32> [0+],
    }
}

crate::message! {
    /// What the leader of a group gives a consumer.
    pub struct ConsumerProtocolAssignment(0-3) {
        /// Partitions to own, by topic.
        assigned_partitions: Vec<TopicPartitions> [0+],
        /// Bytes of the assignor itself, or null.
        user_data: Option<Bytes> [0+, nullable(0+)],
    }
}
