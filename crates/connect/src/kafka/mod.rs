//! The bus on any Kafka cluster, through librdkafka.
//!
//! | module | what |
//! |---|---|
//! | `admin` | topics, offsets, deletions |
//! | `reader` | assigned partitions, without a group |
//! | `writer` | idempotent and transactional writers |
//! | `errors` | librdkafka's errors as the bus's |
//!
//! Every reader and writer is a librdkafka client of its own with its own
//! threads. Calls that block run on tokio's blocking threads.
//!
//! One difference to the embedded broker: Apache Kafka answers EndTxn before
//! the markers are in every partition, so a committed record may become
//! readable some milliseconds after `commit` has returned.

mod admin;
mod errors;
mod reader;
mod writer;

use admin::Admin;
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, BusReader, Isolation, OffsetAt, TopicInfo, TopicSpec, TransactionWriter, Writer,
};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a request to the cluster may take.
pub(crate) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where the cluster is and how to talk to it.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// `bootstrap.servers`: `HOST:PORT,...`.
    pub bootstrap: String,
    /// Any of librdkafka's client settings by its names: `security.protocol`,
    /// `sasl.mechanism`, ... They win over our own.
    pub client: BTreeMap<String, String>,
}

/// A Kafka cluster as a bus.
pub struct KafkaBus {
    options: KafkaOptions,
    admin: Arc<Admin>,
}

impl KafkaBus {
    /// Connects; fails when no broker answers.
    pub async fn connect(options: KafkaOptions) -> Result<Arc<Self>, BusError> {
        if options.bootstrap.is_empty() {
            return Err(BusError::Invalid("bus.bootstrap names no broker".into()));
        }
        let admin = Arc::new(Admin::new(&options)?);
        let bus = Arc::new(Self { options, admin });
        bus.topics().await?;
        Ok(bus)
    }
}

impl KafkaOptions {
    /// A client's settings: ours for its purpose, then the user's.
    fn config(&self, purpose: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("client.id", "millstream-engine");
        for (key, value) in purpose {
            config.set(*key, *value);
        }
        for (key, value) in &self.client {
            config.set(key, value);
        }
        config
    }
}

/// Runs a call of librdkafka that blocks.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or_else(|error| Err(BusError::Fatal(error.to_string())))
}

#[async_trait]
impl Bus for KafkaBus {
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        let admin = Arc::clone(&self.admin);
        blocking(move || admin.topics()).await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        let (admin, name) = (Arc::clone(&self.admin), name.to_owned());
        blocking(move || admin.topic(&name)).await
    }

    async fn batch_bytes_max(&self, topic: &str) -> Result<usize, BusError> {
        Ok(self.admin.batch_bytes_max(topic).await)
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError> {
        self.admin.create_topic(spec).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        self.admin.delete_topic(name).await
    }

    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError> {
        self.admin.delete_records(before).await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        let (admin, partitions) = (Arc::clone(&self.admin), partitions.to_vec());
        blocking(move || admin.offsets(&partitions, at)).await
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        let (admin, group) = (Arc::clone(&self.admin), group.to_owned());
        let partitions = partitions.to_vec();
        blocking(move || admin.committed(&group, &partitions)).await
    }

    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError> {
        let reader =
            reader::KafkaReader::new(&self.options, Arc::clone(&self.admin), start, isolation)
                .await?;
        Ok(Box::new(reader))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        Ok(Box::new(writer::KafkaWriter::new(
            &self.options,
            Arc::clone(&self.admin),
        )?))
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        let writer = writer::KafkaTransactionWriter::new(
            &self.options,
            Arc::clone(&self.admin),
            transactional_id,
            timeout,
        )
        .await?;
        Ok(Box::new(writer))
    }
}
