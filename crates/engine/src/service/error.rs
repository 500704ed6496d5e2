//! What a statement can end with, other than well.

use crate::query::QueryError;
use millstream_cluster::ClusterError;
use millstream_core::ports::BusError;
use millstream_sql::error::{Position, SqlError};

/// Why a statement, or a call of the engine, failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The statement itself: place, message, hint.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A bounded query while it ran.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The log.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The metadata.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A table is queried whose topic is not there.
    #[error("table '{table}' cannot be read: its topic '{topic}' does not exist")]
    NoTopic {
        /// The table.
        table: String,
        /// Its topic.
        topic: String,
        /// Whether a job fills it.
        is_materialized: bool,
    },
    /// No job of this id.
    #[error("there is no job '{0}'")]
    UnknownJob(String),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
    /// The text holds no statement.
    #[error("there is no statement to run")]
    Empty,
}

impl EngineError {
    /// Where in the text, counted from 1, for errors of a statement.
    pub fn position(&self) -> Option<(u64, u64)> {
        match self {
            Self::Sql(error) => Some((error.line, error.column)),
            _ => None,
        }
    }

    /// One line: what.
    pub fn title(&self) -> String {
        match self {
            Self::Sql(error) => error.message.clone(),
            other => other.to_string(),
        }
    }

    /// More about it.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.detail.clone(),
            Self::Query(error) => error.detail(),
            _ => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.hint.clone(),
            Self::Query(error) => error.hint(),
            Self::UnknownJob(_) => Some("SHOW JOBS lists them".to_owned()),
            Self::NoTopic {
                table,
                is_materialized: true,
                ..
            } => Some(format!(
                "it was deleted: DROP MATERIALIZED TABLE {table} and CREATE it again"
            )),
            Self::NoTopic { topic, .. } => Some(format!(
                "write records to it with any Kafka producer, or make it: millstream topic create \
                 {topic}. If it has another name, name it with 'topic' in WITH (...)"
            )),
            _ => None,
        }
    }

    /// Whether the caller can mend it.
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Sql(_) | Self::NoTopic { .. } | Self::UnknownJob(_) | Self::Empty => true,
            Self::Query(error) => error.is_callers(),
            Self::Bus(_) | Self::Cluster(_) | Self::Internal(_) => false,
        }
    }
}

/// An error at a statement's place, with what to do.
pub(super) fn refuse(
    at: impl Into<Position>,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> EngineError {
    EngineError::Sql(SqlError::at(at, message).hint(hint))
}
