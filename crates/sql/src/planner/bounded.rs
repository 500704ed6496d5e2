//! Bounded queries: a logical plan whose scans the engine binds to what the
//! tables hold.

use crate::catalog::TableDef;
use datafusion::catalog::TableProvider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use std::collections::HashMap;
use std::sync::Arc;

/// A planned `SELECT`.
#[derive(Debug, Clone)]
pub struct BoundedPlan {
    /// The tables it reads, each once.
    pub tables: Vec<Arc<TableDef>>,
    /// The plan. Scans are by table name over the table's full schema.
    pub plan: LogicalPlan,
    /// The result's columns.
    pub columns: Vec<ResultColumn>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Name; names may repeat.
    pub name: String,
    /// Flink's name of its type.
    pub type_name: String,
}

impl BoundedPlan {
    /// The plan with every scan reading from the provider of its table's
    /// name; the provider's schema is the table's full schema.
    pub fn bind(
        &self,
        _providers: &HashMap<String, Arc<dyn TableProvider>>,
    ) -> Result<LogicalPlan> {
        Err(DataFusionError::NotImplemented("not there yet".to_owned()))
    }
}

/// A context that executes bound plans:
/// `context.execute_logical_plan(plan).await?.execute_stream().await`. It has
/// our optimiser rules and spends at most `memory_bytes_max` on them.
pub fn session_context(_memory_bytes_max: usize) -> Result<SessionContext> {
    Err(DataFusionError::NotImplemented("not there yet".to_owned()))
}
