//! What the commands that talk to a Kafka listener share.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use std::time::Duration;

/// Longest wait for an answer from the cluster.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the cluster is.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// Address of the Kafka listener: Millstream's or any Kafka cluster's.
    #[arg(
        long,
        global = true,
        env = "MILLSTREAM_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    pub bootstrap: String,
}

impl Connection {
    /// librdkafka's configuration for this cluster. Its own log goes to
    /// standard error from warnings on.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "millstream-cli")
            .set_log_level(RDKafkaLogLevel::Critical);
        config
    }

    /// The error of a cluster that does not answer, with what to do.
    pub fn unreachable(&self, error: impl std::fmt::Display) -> anyhow::Error {
        anyhow::anyhow!(
            "no answer from the Kafka listener at {}: {error}. Is the server running there \
             (millstream start, or millstream demo)? Another address: --bootstrap HOST:PORT",
            self.bootstrap
        )
    }
}
