//! The bus on any Kafka cluster, through librdkafka.
//!
//! | module | what |
//! |---|---|
//! | `admin` | topics, offsets, deletions |
//! | `reader` | assigned partitions, without a group |
//! | `writer` | idempotent and transactional writers |
//! | `offsets` | the group offsets of transactions |
//! | `errors` | librdkafka's errors as the bus's |
//! | `brokers` | the cluster's brokers, and what is told of them |
//!
//! Every reader and writer is a librdkafka client of its own with its own
//! threads. Calls that block run on tokio's blocking threads.
//!
//! Two differences to the embedded broker. One: Apache Kafka answers EndTxn before
//! the markers are in every partition, so a committed record may become
//! readable some milliseconds after `commit` has returned. Another: group
//! offsets follow their transaction, they are not part of it (`offsets`).

mod admin;
mod brokers;
mod errors;
mod offsets;
mod reader;
mod writer;

use admin::Admin;
use async_trait::async_trait;
use brokers::{Brokers, Observer};
use errors::bus_error;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, BusReader, ENGINE_CLIENT_ID, Isolation, OffsetAt, TopicInfo, TopicSpec,
    TransactionWriter, Writer,
};
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a request to the cluster may take, over all its attempts.
pub(crate) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(30);
/// What stays unavailable longer than this ends a reader or a writer: nobody
/// would notice otherwise. A broker that is lost takes a cluster 10 to 20
/// seconds.
pub(crate) const UNAVAILABLE_MAX: Duration = Duration::from_secs(60);

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
    clients: Clients,
    admin: Arc<Admin>,
}

/// What every client of one bus is made with.
#[derive(Clone)]
struct Clients {
    options: Arc<KafkaOptions>,
    brokers: Arc<Brokers>,
}

impl KafkaBus {
    /// Connects; fails when no broker answers.
    pub async fn connect(options: KafkaOptions) -> Result<Arc<Self>, BusError> {
        if options.bootstrap.is_empty() {
            return Err(BusError::Invalid("bus.bootstrap names no broker".into()));
        }
        let clients = Clients {
            options: Arc::new(options),
            brokers: Brokers::new(tokio::runtime::Handle::try_current().ok()),
        };
        let admin = Arc::new(Admin::new(&clients)?);
        let bus = Arc::new(Self { clients, admin });
        bus.topics().await?;
        Ok(bus)
    }
}

impl Clients {
    /// A client for a purpose. `subject` is what an error is about.
    fn create<T: FromClientConfigAndContext<Observer>>(
        &self,
        purpose: &[(&str, &str)],
        subject: &str,
    ) -> Result<T, BusError> {
        self.config(purpose)
            .create_with_context(Observer::new(&self.brokers))
            .map_err(|error| bus_error(error, subject))
    }

    /// A client's settings: ours, those of its purpose, then the user's.
    fn config(&self, purpose: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let bootstrap = self.brokers.bootstrap(&self.options.bootstrap);
        config.set("bootstrap.servers", bootstrap);
        config.set("client.id", ENGINE_CLIENT_ID);
        // A broker that is back is used within a second, not within ten.
        config.set("reconnect.backoff.max.ms", "1000");
        // Whether lines are shown is decided where they arrive.
        config.set_log_level(RDKafkaLogLevel::Info);
        for (key, value) in purpose {
            config.set(*key, *value);
        }
        for (key, value) in &self.options.client {
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
            reader::KafkaReader::new(&self.clients, Arc::clone(&self.admin), start, isolation)
                .await?;
        Ok(Box::new(reader))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        Ok(Box::new(writer::KafkaWriter::new(
            &self.clients,
            Arc::clone(&self.admin),
        )?))
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        let writer = writer::KafkaTransactionWriter::new(
            &self.clients,
            Arc::clone(&self.admin),
            transactional_id,
            timeout,
        )
        .await?;
        Ok(Box::new(writer))
    }
}
