//! `millstream topic`

use super::client::{Connection, TIMEOUT};
use crate::table::Table;
use anyhow::{Result, bail};
use clap::Subcommand;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// List, create, describe and delete topics.
#[derive(Debug, clap::Args)]
pub struct Topic {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All topics with their partitions and how many offsets they have:
    /// records, and the markers of transactions.
    List {
        /// Internal topics (`__*`) too.
        #[arg(long)]
        internal: bool,
    },
    /// Create a topic.
    Create {
        /// Topic name.
        name: String,
        /// Number of partitions.
        #[arg(long, default_value_t = 1)]
        partitions: i32,
        /// A setting by Kafka's name, e.g. retention.ms=3600000; repeatable.
        #[arg(long = "config", value_name = "KEY=VALUE")]
        configs: Vec<String>,
    },
    /// Partitions, offsets and settings of a topic.
    Describe {
        /// Topic name.
        name: String,
    },
    /// Delete a topic and its records.
    Delete {
        /// Topic name.
        name: String,
    },
}

impl Topic {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        match &self.action {
            Action::List { internal } => self.list(*internal),
            Action::Create {
                name,
                partitions,
                configs,
            } => self.create(name, *partitions, configs),
            Action::Describe { name } => self.describe(name),
            Action::Delete { name } => self.delete(name),
        }
    }

    fn list(&self, internal: bool) -> Result<()> {
        let consumer: BaseConsumer = self.connection.client_config().create()?;
        let metadata = consumer
            .fetch_metadata(None, TIMEOUT)
            .map_err(|e| self.connection.unreachable(e))?;
        let mut table = Table::new(&["topic", "partitions", "offsets"]).right(&[1, 2]);
        let mut topics: Vec<_> = metadata.topics().iter().collect();
        topics.sort_by_key(|t| t.name());
        for topic in topics
            .into_iter()
            .filter(|t| internal || !t.name().starts_with("__"))
        {
            let mut records = 0;
            for partition in topic.partitions() {
                let (low, high) = consumer
                    .fetch_watermarks(topic.name(), partition.id(), TIMEOUT)
                    .map_err(|e| self.connection.unreachable(e))?;
                records += high - low;
            }
            table.row([
                topic.name().into(),
                topic.partitions().len().to_string(),
                records.to_string(),
            ]);
        }
        table.print();
        Ok(())
    }

    fn create(&self, name: &str, partitions: i32, configs: &[String]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for config in configs {
            match config.split_once('=') {
                Some((key, value)) => topic = topic.set(key, value),
                None => bail!("--config {config}: write KEY=VALUE"),
            }
        }
        let results = self.block_on(|admin, options| async move {
            admin.create_topics([&topic], &options).await
        })?;
        self.report(results, "created")
    }

    fn delete(&self, name: &str) -> Result<()> {
        let results =
            self.block_on(
                |admin, options| async move { admin.delete_topics(&[name], &options).await },
            )?;
        self.report(results, "deleted")
    }

    fn describe(&self, name: &str) -> Result<()> {
        let consumer: BaseConsumer = self.connection.client_config().create()?;
        let metadata = consumer
            .fetch_metadata(Some(name), TIMEOUT)
            .map_err(|e| self.connection.unreachable(e))?;
        let Some(topic) = metadata
            .topics()
            .iter()
            .find(|t| t.name() == name && t.error().is_none())
        else {
            bail!("topic {name} does not exist: `millstream topic list` shows those that do");
        };
        let mut table = Table::new(&["partition", "leader", "first offset", "next offset"])
            .right(&[0, 1, 2, 3]);
        for partition in topic.partitions() {
            let (low, high) = consumer
                .fetch_watermarks(name, partition.id(), TIMEOUT)
                .map_err(|e| self.connection.unreachable(e))?;
            table.row([
                partition.id().to_string(),
                partition.leader().to_string(),
                low.to_string(),
                high.to_string(),
            ]);
        }
        table.print();
        println!();
        self.describe_configs(name)
    }

    fn describe_configs(&self, name: &str) -> Result<()> {
        let results = self.block_on(|admin, options| async move {
            admin
                .describe_configs(&[ResourceSpecifier::Topic(name)], &options)
                .await
        })?;
        let mut table = Table::new(&["setting", "value", "from"]);
        for resource in results.into_iter().flatten() {
            for entry in resource.entries {
                table.row([
                    entry.name.clone(),
                    entry.value.clone().unwrap_or_else(|| "—".into()),
                    format!("{:?}", entry.source).to_lowercase(),
                ]);
            }
        }
        table.print();
        Ok(())
    }

    fn report(&self, results: Vec<TopicResult>, done: &str) -> Result<()> {
        for result in results {
            match result {
                Ok(name) => println!("{done} {name}"),
                Err((name, code)) => bail!("topic {name} was not {done}: {code}"),
            }
        }
        Ok(())
    }

    /// Runs one admin call to its end.
    fn block_on<T, F>(
        &self,
        call: impl FnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> F,
    ) -> Result<T>
    where
        F: Future<Output = rdkafka::error::KafkaResult<T>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let admin: AdminClient<_> = self.connection.client_config().create()?;
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        runtime
            .block_on(call(admin, options))
            .map_err(|e| self.connection.unreachable(e))
    }
}
