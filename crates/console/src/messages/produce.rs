//! One record, written.

use super::{bus_problem, partitions};
use crate::problem::Problem;
use bytes::Bytes;
use millstream_core::ids::TopicPartition;
use millstream_core::ports::{Bus, ProduceRecord, RecordHeader};
use serde::{Deserialize, Serialize};

/// A record to write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceBody {
    /// Chosen by the key, or 0, when absent.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<String>,
    /// Value; null is a tombstone.
    pub value: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<ProduceHeader>,
}

/// A header to write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceHeader {
    /// Name.
    pub key: String,
    /// Value.
    pub value: Option<String>,
}

/// Where a record was written.
#[derive(Debug, Serialize)]
pub struct Produced {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// What the names of internal topics begin with: groups, transactions, and the
/// state of jobs. Nobody writes or makes them by hand; the bus would let us,
/// as it does the engine.
const INTERNAL_PREFIX: &str = "__";

/// Refuses what is not for people to write or to make.
pub(crate) fn refuse_internal(topic: &str) -> Result<(), Problem> {
    if topic.starts_with(INTERNAL_PREFIX) {
        let title = format!("topic {topic} is internal: names that begin with __ are");
        return Err(Problem::bad_request(title).hint("use a topic of another name"));
    }
    Ok(())
}

/// Writes one record.
pub async fn produce(bus: &dyn Bus, topic: &str, body: ProduceBody) -> Result<Produced, Problem> {
    refuse_internal(topic)?;
    let all = partitions(bus, topic, body.partition).await?;
    let partition = match (&body.partition, &body.key) {
        (None, Some(key)) => {
            let count = i32::try_from(all.len()).unwrap_or(1);
            millstream_core::partitioner::partition_for_key(key.as_bytes(), count).0
        }
        _ => all.first().map_or(0, |p| p.partition.0),
    };
    let record = ProduceRecord {
        timestamp_ms: None,
        key: body.key.map(Bytes::from),
        value: body.value.map(Bytes::from),
        headers: body
            .headers
            .into_iter()
            .map(|h| RecordHeader {
                key: h.key,
                value: h.value.map(Bytes::from),
            })
            .collect(),
    };
    let mut writer = bus.writer().await.map_err(bus_problem)?;
    let offset = writer
        .send(&TopicPartition::new(topic, partition), vec![record])
        .await
        .map_err(bus_problem)?;
    Ok(Produced {
        partition,
        offset: offset.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ports::memory_bus::MemoryBus;

    #[tokio::test]
    async fn nobody_writes_to_an_internal_topic_by_hand() {
        let bus = MemoryBus::default();
        for topic in ["__millstream_a_changelog", "__consumer_offsets"] {
            let body: ProduceBody = serde_json::from_str(r#"{"value": "foreign"}"#).unwrap();
            let refused = produce(&bus, topic, body).await.unwrap_err();
            assert!(refused.title.contains("internal"), "{refused:?}");
        }
    }
}
