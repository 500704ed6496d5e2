//! `millstream consume`

use super::client::{Connection, TIMEOUT};
use crate::terminal::{json_line, printable};
use anyhow::{Context, Result, bail};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Offset, TopicPartitionList};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Print a topic's records, oldest first, as they become readable.
///
/// On a terminal, control characters of values are written out (`\x1b`): a
/// record could otherwise make the terminal do things. Into a file or a pipe,
/// or with --raw, values go byte for byte.
#[derive(Debug, clap::Args)]
pub struct Consume {
    /// Topic name.
    topic: String,
    /// Begin with the oldest record; else with what comes next.
    #[arg(long)]
    from_beginning: bool,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Stop at the end of what is there now.
    #[arg(long)]
    until_end: bool,
    /// Read as a member of this consumer group and commit its offsets.
    #[arg(long)]
    group: Option<String>,
    /// Print one JSON object a record: partition, offset, timestamp, key,
    /// value, headers.
    #[arg(long)]
    json: bool,
    /// Print values byte for byte on a terminal too.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Consume {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let consumer = self.consumer()?;
        let mut left_partitions = self.start(&consumer)?;
        let mut printed = 0;
        let mut out = std::io::stdout().lock();
        while self.max.is_none_or(|max| printed < max) {
            if self.until_end && left_partitions == 0 {
                break;
            }
            match consumer.poll(Duration::from_millis(500)) {
                None => {}
                Some(Ok(message)) => {
                    if self.print(&mut out, &message).is_err() {
                        // The reader of our output has gone, as with `| head`.
                        return Ok(());
                    }
                    printed += 1;
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => {
                    left_partitions = left_partitions.saturating_sub(1);
                }
                Some(Err(error)) => return Err(self.connection.unreachable(error)),
            }
        }
        Ok(())
    }

    fn consumer(&self) -> Result<BaseConsumer> {
        let mut config = self.connection.client_config();
        config
            .set(
                "group.id",
                self.group.as_deref().unwrap_or("millstream-cli"),
            )
            .set(
                "enable.auto.commit",
                if self.group.is_some() {
                    "true"
                } else {
                    "false"
                },
            )
            .set(
                "auto.offset.reset",
                if self.from_beginning {
                    "earliest"
                } else {
                    "latest"
                },
            )
            .set(
                "enable.partition.eof",
                if self.until_end { "true" } else { "false" },
            )
            .set("isolation.level", "read_committed");
        config.create().context("cannot make a consumer")
    }

    /// Subscribes with a group, assigns all partitions without one. Returns
    /// how many partitions there are.
    fn start(&self, consumer: &BaseConsumer) -> Result<usize> {
        let metadata = consumer
            .fetch_metadata(Some(&self.topic), TIMEOUT)
            .map_err(|e| self.connection.unreachable(e))?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|t| t.name() == self.topic && t.error().is_none())
            .flat_map(|t| t.partitions().iter().map(|p| p.id()))
            .collect();
        if partitions.is_empty() {
            bail!(
                "topic {} does not exist: `millstream topic list` shows those that do",
                self.topic
            );
        }
        if self.group.is_some() {
            consumer.subscribe(&[&self.topic])?;
        } else {
            let start = if self.from_beginning {
                Offset::Beginning
            } else {
                Offset::End
            };
            let mut assignment = TopicPartitionList::new();
            for partition in &partitions {
                assignment.add_partition_offset(&self.topic, *partition, start)?;
            }
            consumer.assign(&assignment)?;
        }
        Ok(partitions.len())
    }

    fn print(&self, out: &mut impl Write, message: &BorrowedMessage<'_>) -> std::io::Result<()> {
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        if self.json {
            let headers: Vec<_> = message
                .headers()
                .map(|h| {
                    h.iter()
                        .map(|h| (h.key.to_owned(), text(h.value)))
                        .collect()
                })
                .unwrap_or_default();
            let record = serde_json::json!({
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp_ms": message.timestamp().to_millis(),
                "key": text(message.key()),
                "value": text(message.payload()),
                "headers": headers,
            });
            writeln!(out, "{}", json_line(&record))
        } else {
            let value = message.payload().unwrap_or(b"null");
            if !self.raw && std::io::stdout().is_terminal() {
                let text = String::from_utf8_lossy(value);
                writeln!(out, "{}", printable(&text))
            } else {
                out.write_all(value)?;
                out.write_all(b"\n")
            }
        }
    }
}
