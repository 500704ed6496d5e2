//! A live query's table, as DataFusion reads it: all columns by name, those
//! that are kept by content.

use super::window::Snapshot;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::Arc;

/// Holds the rows of the query's next run, so that all its scans of the table
/// see the same.
#[derive(Debug)]
pub(super) struct LiveTable {
    /// The table's full schema.
    schema: SchemaRef,
    /// Which of its columns the snapshots have, ascending.
    columns: Vec<usize>,
    snapshot: Mutex<Option<Snapshot>>,
}

impl LiveTable {
    pub(super) fn new(schema: SchemaRef, columns: Vec<usize>) -> Self {
        Self {
            schema,
            columns,
            snapshot: Mutex::default(),
        }
    }

    pub(super) fn set(&self, snapshot: Option<Snapshot>) {
        *self.snapshot.lock() = snapshot;
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let missing = || DataFusionError::Internal("a live table lacks a column".to_owned());
        let wanted = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let kept = wanted
            .iter()
            .map(|column| self.columns.binary_search(column).map_err(|_| missing()))
            .collect::<Result<Vec<usize>>>()?;
        let snapshot = self.snapshot.lock();
        let snapshot = snapshot
            .as_ref()
            .ok_or_else(|| DataFusionError::Internal("a live table without rows".to_owned()))?;
        let partitions = [snapshot.batches.clone()];
        let rows =
            MemorySourceConfig::try_new_exec(&partitions, snapshot.schema.clone(), Some(kept))?;
        Ok(rows)
    }
}
