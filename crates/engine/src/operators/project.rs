//! Computes columns.

use super::evaluate::evaluate;
use super::{Context, Operator, OperatorError, OperatorInfo};
use crate::batch::Batch;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use millstream_sql::plan::ProjectNode;
use std::sync::Arc;

/// One expression an output column.
pub struct Project {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    /// The operator of a plan node.
    pub fn new(node: &ProjectNode) -> Self {
        Self::of(node.expressions.clone(), node.schema.clone())
    }

    /// Computes `schema`'s columns, one expression each.
    pub fn of(expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        Self {
            expressions,
            schema,
        }
    }
}

impl Operator for Project {
    fn info(&self) -> OperatorInfo {
        let names: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        OperatorInfo {
            kind: "project",
            label: "SELECT".to_owned(),
            detail: names.join(", "),
        }
    }

    fn on_batch(
        &mut self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        let (batch, columns) = evaluate("SELECT", &self.expressions, batch, context)?;
        // A projection to no columns still has rows.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(vec![batch.with_rows(rows)])
    }
}
