//! The catalog: tables as the cluster's metadata keeps them, by the text of
//! their statements.

use super::dependencies;
use chrono_tz::Tz;
use millstream_cluster::{MetadataImage, SqlObject};
use millstream_core::env::Clock;
use millstream_core::ids::TopicId;
use millstream_sql::catalog::{Catalog, TableDef};
use millstream_sql::planner::define;
use millstream_sql::session::Session;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What is kept beside a stored statement: what of the session it depends
/// on, and what of the log is its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// `table.local-time-zone`.
    pub(super) time_zone: String,
    /// The topic that a materialized table's creation made. Absent where the
    /// topic was there before, and in definitions older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) own_topic: Option<OwnTopic>,
    /// `table.exec.source.idle-timeout`, for the job of a materialized table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) idle_timeout_ms: Option<u64>,
}

/// A topic that the engine made for a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnTopic {
    pub(super) name: String,
    /// Another topic of the same name is not the table's.
    pub(super) id: TopicId,
}

impl Stored {
    pub(super) fn of(session: &Session, own_topic: Option<OwnTopic>) -> Self {
        Self {
            time_zone: session.time_zone.name().to_owned(),
            idle_timeout_ms: session
                .idle_timeout
                .and_then(|timeout| u64::try_from(timeout.as_millis()).ok()),
            own_topic,
        }
    }

    /// What an object's definition keeps; nothing where it cannot be read.
    pub(super) fn with(object: &SqlObject) -> Self {
        serde_json::from_str(&object.json).unwrap_or_default()
    }

    pub(super) fn session(&self, clock: Arc<dyn Clock>) -> Session {
        let mut session = Session::new(clock);
        session.time_zone = self.time_zone.parse().unwrap_or(Tz::UTC);
        session.idle_timeout = self.idle_timeout_ms.map(Duration::from_millis);
        session
    }
}

/// Tables read back from their statements, kept until the statement changes.
pub(super) struct TableCache {
    clock: Arc<dyn Clock>,
    tables: Mutex<HashMap<String, ReadBack>>,
    /// Why others could not be read back, so that the log has each reason once.
    unreadable: Mutex<HashMap<String, String>>,
}

/// A table and the definition that it was read back from.
type ReadBack = (Arc<SqlObject>, Arc<TableDef>);

impl TableCache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tables: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }
}

/// The tables of one metadata image.
pub(super) struct ImageCatalog<'a> {
    pub(super) image: Arc<MetadataImage>,
    pub(super) cache: &'a TableCache,
}

impl Catalog for ImageCatalog<'_> {
    fn table(&self, name: &str) -> Option<Arc<TableDef>> {
        match self.resolve(name)? {
            Ok(table) => Some(table),
            Err(reason) => {
                let mut unreadable = self.cache.unreadable.lock();
                if unreadable.get(name) != Some(&reason) {
                    tracing::warn!(table = name, reason, "a stored table cannot be read back");
                    unreadable.insert(name.to_owned(), reason);
                }
                None
            }
        }
    }

    fn table_names(&self) -> Vec<String> {
        self.image
            .sql_objects()
            .map(|object| object.name.clone())
            .collect()
    }
}

impl ImageCatalog<'_> {
    /// A table, or why its definition cannot be read back; `None` where there
    /// is no such definition.
    ///
    /// What it reads is read back before it: planning asks for tables from
    /// within, and would nest for each of them.
    pub(super) fn resolve(&self, name: &str) -> Option<Result<Arc<TableDef>, String>> {
        let object = self.image.sql_object(name)?;
        if let Some(table) = self.cached(object) {
            return Some(Ok(table));
        }
        let is_cached = |name: &str| {
            let object = self.image.sql_object(name);
            object.is_some_and(|object| self.cached(object).is_some())
        };
        let order = match dependencies::bottom_up(&self.image, name, is_cached) {
            Ok(order) => order,
            Err(circle) => {
                let reason = format!("it reads itself: {}", circle.join(" reads "));
                return Some(Err(reason));
            }
        };
        let mut last = None;
        for next in &order {
            let Some(object) = self.image.sql_object(next) else {
                continue;
            };
            match self.read_back(object) {
                Ok(table) => {
                    let table = Arc::new(table);
                    let entry = (Arc::clone(object), Arc::clone(&table));
                    self.cache.tables.lock().insert(next.clone(), entry);
                    last = Some(table);
                }
                Err(reason) if next == name => return Some(Err(reason)),
                Err(reason) => return Some(Err(format!("table '{next}': {reason}"))),
            }
        }
        last.map(Ok)
    }

    fn cached(&self, object: &Arc<SqlObject>) -> Option<Arc<TableDef>> {
        let tables = self.cache.tables.lock();
        let (known, table) = tables.get(&object.name)?;
        (known == object).then(|| Arc::clone(table))
    }

    fn read_back(&self, object: &SqlObject) -> Result<TableDef, String> {
        let stored: Stored = serde_json::from_str(&object.json).map_err(|e| e.to_string())?;
        let session = stored.session(Arc::clone(&self.cache.clock));
        let statements =
            millstream_sql::parser::parse(&object.definition).map_err(|e| e.to_string())?;
        let statement = statements.first().ok_or("the definition is empty")?;
        define(statement, self, &session).map_err(|e| e.to_string())
    }
}
