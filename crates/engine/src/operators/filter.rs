//! Keeps the rows for which a predicate is true.

use super::evaluate::evaluate;
use super::{Context, Operator, OperatorError, OperatorInfo};
use crate::batch::Batch;
use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use millstream_sql::plan::FilterNode;
use std::sync::Arc;

/// `WHERE`.
pub struct Filter {
    predicate: [Arc<dyn PhysicalExpr>; 1],
}

impl Filter {
    /// The operator of a plan node.
    pub fn new(node: &FilterNode) -> Result<Self, OperatorError> {
        let data_type = node.predicate.data_type(&node.input.schema())?;
        if data_type != DataType::Boolean {
            return Err(OperatorError::Unsupported(format!(
                "WHERE needs a BOOLEAN, this is {data_type}"
            )));
        }
        Ok(Self {
            predicate: [Arc::clone(&node.predicate)],
        })
    }
}

impl Operator for Filter {
    fn info(&self) -> OperatorInfo {
        OperatorInfo {
            kind: "filter",
            label: "WHERE".to_owned(),
            detail: fmt_sql(self.predicate[0].as_ref()).to_string(),
        }
    }

    fn on_batch(
        &mut self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        let (batch, columns) = evaluate("WHERE", &self.predicate, &[], batch, context)?;
        let keep = columns[0].as_boolean();
        if keep.null_count() == 0 && keep.true_count() == keep.len() {
            return Ok(vec![batch]);
        }
        let batch = batch.filter(keep)?;
        Ok(if batch.is_empty() {
            Vec::new()
        } else {
            vec![batch]
        })
    }
}
