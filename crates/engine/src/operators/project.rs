//! Computes columns.

use super::evaluate::evaluate;
use super::{Context, Operator, OperatorError, OperatorInfo};
use crate::batch::Batch;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use millstream_sql::plan::ProjectNode;
use std::sync::Arc;

/// The dead letters' stage of rows on which a projection fails.
const STAGE: &str = "SELECT";

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

impl Project {
    /// This projection and one right after it as one; `None` where that
    /// would compute an expression more than once.
    pub fn then(&self, next: &Self) -> Result<Option<Self>, DataFusionError> {
        let mut uses = vec![0_usize; self.expressions.len()];
        for expression in &next.expressions {
            expression.apply(|node| {
                if let Some(used) = node
                    .as_any()
                    .downcast_ref::<Column>()
                    .and_then(|column| uses.get_mut(column.index()))
                {
                    *used += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let cheap =
            |e: &Arc<dyn PhysicalExpr>| e.as_any().is::<Column>() || e.as_any().is::<Literal>();
        if self
            .expressions
            .iter()
            .zip(&uses)
            .any(|(e, uses)| *uses > 1 && !cheap(e))
        {
            return Ok(None);
        }
        let fused = next.expressions.iter().map(|expression| {
            let fused = Arc::clone(expression).transform_down(|node| {
                let column = node.as_any().downcast_ref::<Column>().map(Column::index);
                Ok(match column.and_then(|index| self.expressions.get(index)) {
                    // What replaces it speaks of the input: not to be looked into.
                    Some(computed) => {
                        Transformed::new(Arc::clone(computed), true, TreeNodeRecursion::Jump)
                    }
                    None => Transformed::no(node),
                })
            })?;
            Ok(fused.data)
        });
        let expressions = fused.collect::<Result<Vec<_>, DataFusionError>>()?;
        Ok(Some(Self::of(expressions, next.schema.clone())))
    }

    /// Sets rows aside that have a NULL where there must be none.
    fn refuse_nulls(
        &self,
        batch: Batch,
        columns: Vec<ArrayRef>,
        context: &mut Context,
    ) -> Result<(Batch, Vec<ArrayRef>), OperatorError> {
        let fields = self.schema.fields().iter().zip(&columns);
        let strict: Vec<_> = fields
            .filter(|(field, column)| !field.is_nullable() && column.null_count() > 0)
            .collect();
        if strict.is_empty() {
            return Ok((batch, columns));
        }
        let mut keep = Vec::with_capacity(batch.len());
        for row in 0..batch.len() {
            let null = strict.iter().find(|(_, column)| column.is_null(row));
            keep.push(null.is_none());
            if let Some((field, _)) = null {
                let reason = format!(
                    "column '{}' is NOT NULL, and the row has NULL there",
                    field.name()
                );
                context.set_aside(STAGE, &batch, row, reason)?;
            }
        }
        let keep = BooleanArray::from(keep);
        let columns = columns
            .iter()
            .map(|column| filter(column, &keep))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((batch.filter(&keep)?, columns))
    }

    /// Whether it only hands on what it gets from an input of this schema.
    pub fn is_identity(&self, input: &SchemaRef) -> bool {
        *input == self.schema
            && self.expressions.iter().enumerate().all(|(i, expression)| {
                expression
                    .as_any()
                    .downcast_ref::<Column>()
                    .is_some_and(|c| c.index() == i)
            })
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
        let schema = Arc::clone(&self.schema);
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let (batch, columns) = evaluate(STAGE, &self.expressions, &names, batch, context)?;
        let (batch, columns) = self.refuse_nulls(batch, columns, context)?;
        // A projection to no columns still has rows.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(vec![batch.with_rows(rows)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator as Sign;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    fn schema(names: &[&str]) -> SchemaRef {
        let fields: Vec<_> = names
            .iter()
            .map(|n| Field::new(*n, DataType::Int64, true))
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn next(from: &SchemaRef, columns: &[&str]) -> Project {
        Project::of(
            columns.iter().map(|c| col(c, from).unwrap()).collect(),
            schema(columns),
        )
    }

    #[test]
    fn projections_in_a_row_become_one_where_nothing_is_computed_twice() {
        let input = schema(&["a", "b"]);
        let sum = binary(col("a", &input).unwrap(), Sign::Plus, lit(1_i64), &input).unwrap();
        let first = Project::of(vec![col("b", &input).unwrap(), sum], schema(&["x", "y"]));
        let fused = first
            .then(&next(&first.schema, &["y", "x"]))
            .unwrap()
            .unwrap();
        let shown: Vec<_> = fused.expressions.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a@0 + 1", "b@1"]);
        assert!(
            first
                .then(&next(&first.schema, &["x", "x"]))
                .unwrap()
                .is_some(),
            "a column is cheap"
        );
        assert!(
            first
                .then(&next(&first.schema, &["y", "y"]))
                .unwrap()
                .is_none()
        );
        assert!(!fused.is_identity(&input));
        let same = ["a", "b"].map(|c| col(c, &input).unwrap()).to_vec();
        assert!(Project::of(same, input.clone()).is_identity(&input));
    }
}
