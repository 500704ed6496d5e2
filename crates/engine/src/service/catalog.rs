//! The catalog: tables as the cluster's metadata keeps them, by the text of
//! their statements.

use chrono_tz::Tz;
use millstream_cluster::{MetadataImage, SqlObject};
use millstream_core::env::Clock;
use millstream_sql::catalog::{Catalog, TableDef};
use millstream_sql::planner::define;
use millstream_sql::session::Session;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What of a session a stored statement depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSession {
    /// `table.local-time-zone`.
    pub(super) time_zone: String,
}

impl StoredSession {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            time_zone: session.time_zone.name().to_owned(),
        }
    }

    pub(super) fn session(&self, clock: Arc<dyn Clock>) -> Session {
        let mut session = Session::new(clock);
        session.time_zone = self.time_zone.parse().unwrap_or(Tz::UTC);
        session
    }
}

/// Tables read back from their statements, kept until the statement changes.
pub(super) struct TableCache {
    clock: Arc<dyn Clock>,
    tables: Mutex<HashMap<String, ReadBack>>,
}

/// A table and the definition that it was read back from.
type ReadBack = (Arc<SqlObject>, Arc<TableDef>);

impl TableCache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tables: Mutex::new(HashMap::new()),
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
        let object = self.image.sql_object(name)?;
        if let Some((known, table)) = self.cache.tables.lock().get(name)
            && known == object
        {
            return Some(Arc::clone(table));
        }
        // The lock is not held: a materialized table's query asks for others.
        match self.read_back(object) {
            Ok(table) => {
                let table = Arc::new(table);
                let entry = (Arc::clone(object), Arc::clone(&table));
                self.cache.tables.lock().insert(name.to_owned(), entry);
                Some(table)
            }
            Err(reason) => {
                tracing::warn!(table = name, reason, "a stored table cannot be read back");
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
    fn read_back(&self, object: &SqlObject) -> Result<TableDef, String> {
        let stored: StoredSession =
            serde_json::from_str(&object.json).map_err(|e| e.to_string())?;
        let session = stored.session(Arc::clone(&self.cache.clock));
        let statements =
            millstream_sql::parser::parse(&object.definition).map_err(|e| e.to_string())?;
        let statement = statements.first().ok_or("the definition is empty")?;
        define(statement, self, &session).map_err(|e| e.to_string())
    }
}
