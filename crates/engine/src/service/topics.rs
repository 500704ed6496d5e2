//! The topics behind tables: which a job may write, and whose they are.
//!
//! A materialized table's topic is its own where CREATE made it: the metadata
//! remembers the topic's name and id, and DROP deletes that topic and no
//! other. Definitions of versions that did not remember it, and topics that
//! were there before, stay: records that somebody else wrote are never
//! deleted.

use super::Inner;
use super::catalog::{ImageCatalog, OwnTopic};
use super::dependencies::{is_materialized, uses_of};
use super::error::{EngineError, refuse};
use crate::job::JobNames;
use crate::query::QueryResult;
use millstream_core::ids::check_topic_name;
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{BusError, OffsetAt, TopicInfo, TopicSpec};
use millstream_sql::catalog::{Catalog, TableDef, TableKind};
use millstream_sql::error::Position;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the names of internal topics begin with, here and with Kafka.
const INTERNAL_PREFIX: &str = "__";

/// A name that no topic can have is found when the table is made.
pub(super) fn check_name(table: &TableDef, at: Position) -> Result<(), EngineError> {
    check_topic_name(&table.connector.topic).map_err(|e| {
        let hint = match table.kind {
            TableKind::Table => "write another 'topic' in WITH (...)",
            TableKind::MaterializedTable => {
                "write WITH ('topic' = '...'), or a name that a topic can have"
            }
        };
        refuse(at, e.to_string(), hint)
    })
}

/// Whether the job `id` may write the table's topic, and may have the topics
/// that it needs for itself.
pub(super) fn check_written(
    catalog: &ImageCatalog<'_>,
    id: &str,
    sink: &TableDef,
    at: Position,
) -> Result<(), EngineError> {
    check_name(sink, at)?;
    let topic = &sink.connector.topic;
    if topic.starts_with(INTERNAL_PREFIX) {
        return Err(refuse(
            at,
            format!("topic '{topic}' is internal, a job cannot write it"),
            "name another 'topic' in WITH (...); names that begin with '__' are internal",
        ));
    }
    let other = "name another 'topic' in WITH (...)";
    let own = JobNames::new(id);
    if let Some(what) = kept_in(&own, topic) {
        return Err(refuse(
            at,
            format!("topic '{topic}' is for the {what} of this very job"),
            other,
        ));
    }
    for job in catalog.image.jobs() {
        if let Some(what) = kept_in(&JobNames::new(&job.id), topic) {
            return Err(refuse(
                at,
                format!("topic '{topic}' is for the {what} of job '{}'", job.id),
                other,
            ));
        }
        let Some(uses) = uses_of(&job.statement) else {
            continue;
        };
        let Some(written) = catalog.table(&uses.writes) else {
            continue;
        };
        let written = &written.connector.topic;
        if let Some(what) = kept_in(&own, written) {
            return Err(refuse(
                at,
                format!(
                    "job '{id}' would put {what} into topic '{written}', which job '{}' writes",
                    job.id
                ),
                "give the table or, with SET 'pipeline.name' = '...', the job another name",
            ));
        }
        let is_result = is_materialized(&catalog.image, &job.id);
        if written == topic && (is_result || sink.kind == TableKind::MaterializedTable) {
            let whose = if is_result {
                "materialized table"
            } else {
                "job"
            };
            return Err(refuse(
                at,
                format!("topic '{topic}' is written by {whose} '{}'", job.id),
                other,
            ));
        }
    }
    Ok(())
}

/// What of a job's a topic holds.
fn kept_in(names: &JobNames, topic: &str) -> Option<&'static str> {
    [
        (&names.dead_letters, "dead letters"),
        (&names.late, "late rows"),
        (&names.changelog, "state"),
    ]
    .into_iter()
    .find_map(|(name, what)| (name == topic).then_some(what))
}

impl Inner {
    /// The topic of a table that a job will write, there when this returns.
    /// `Some` where this call made it.
    ///
    /// A materialized table holds what its query gives and nothing else: over
    /// a topic with records it is refused, an empty one is taken as it is.
    pub(super) async fn make_topic(
        &self,
        table: &TableDef,
        at: Position,
    ) -> Result<Option<OwnTopic>, EngineError> {
        let connector = &table.connector;
        let spec = TopicSpec {
            name: connector.topic.clone(),
            partitions: connector
                .partitions
                .unwrap_or(self.options.job.partitions_default),
            configs: BTreeMap::new(),
        };
        let there = match self.bus.topic(&connector.topic).await {
            Err(BusError::UnknownTopic(_)) => match self.bus.create_topic(spec).await {
                Ok(made) => {
                    return Ok(Some(OwnTopic {
                        name: made.name,
                        id: made.id,
                    }));
                }
                // Someone else was faster.
                Err(BusError::TopicExists(_)) => self.bus.topic(&connector.topic).await?,
                Err(error) => return Err(error.into()),
            },
            known => known?,
        };
        if table.kind == TableKind::MaterializedTable {
            self.check_empty(&there, at).await?;
        }
        Ok(None)
    }

    /// A query over a topic that is not there is an error, as it is in Flink;
    /// an answer without rows would hide a wrong name.
    pub(super) async fn check_topics(&self, tables: &[Arc<TableDef>]) -> Result<(), EngineError> {
        for table in tables {
            let topic = &table.connector.topic;
            match self.bus.topic(topic).await {
                Ok(_) => {}
                Err(BusError::UnknownTopic(_)) => {
                    return Err(EngineError::NoTopic {
                        table: table.name.clone(),
                        topic: topic.clone(),
                        is_materialized: table.kind == TableKind::MaterializedTable,
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn check_empty(&self, topic: &TopicInfo, at: Position) -> Result<(), EngineError> {
        let all = all_partitions(&topic.name, topic.partitions);
        let starts = self.bus.offsets(&all, OffsetAt::Earliest).await?;
        let ends = self.bus.offsets(&all, OffsetAt::Latest).await?;
        if starts == ends {
            return Ok(());
        }
        let name = &topic.name;
        Err(refuse(
            at,
            format!("topic '{name}' is there already and has records"),
            format!(
                "a materialized table holds only what its query gives: write WITH ('topic' = '...') \
                 with another name, or delete the topic first, or INSERT INTO a CREATE TABLE over \
                 '{name}' to add to what is there"
            ),
        ))
    }

    /// Deletes the topic that a table made. The answer says what stays.
    pub(super) async fn release_topic(
        &self,
        topic: Option<&str>,
        own: Option<&OwnTopic>,
    ) -> Result<QueryResult, EngineError> {
        let Some(name) = own.map(|own| own.name.as_str()).or(topic) else {
            return Ok(QueryResult::ok());
        };
        let there = match self.bus.topic(name).await {
            Ok(there) => there,
            Err(BusError::UnknownTopic(_)) => return Ok(QueryResult::ok()),
            Err(error) => return Err(error.into()),
        };
        if own.is_some_and(|own| own.id == there.id) {
            self.delete_topic(name).await?;
            return Ok(QueryResult::ok());
        }
        tracing::info!(topic = name, "stays: the dropped table did not make it");
        let text = format!("OK; topic '{name}' stays with its records: the table did not make it");
        Ok(QueryResult::text(
            &["result"],
            vec![vec![Value::from(text)]],
        ))
    }

    pub(super) async fn delete_topic(&self, name: &str) -> Result<(), EngineError> {
        match self.bus.delete_topic(name).await {
            Ok(()) | Err(BusError::UnknownTopic(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
