//! The partition log in Kafka's on-disk format: segments, indexes, recovery, retention, producer state
