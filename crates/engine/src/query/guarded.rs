//! Plans that look at the query's guard wherever DataFusion loops long.
//!
//! A join makes many rows of few, so its condition is checked with each batch
//! that it is evaluated over, and every operator's output with each batch.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use millstream_sql::functions::guard::check;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Optimises a bound plan, once for all its runs.
pub(crate) fn optimize(context: &SessionContext, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let plan = context.state().optimize(plan)?;
    let guarded = plan.transform_up_with_subqueries(|plan| {
        check()?;
        Ok(match plan {
            LogicalPlan::Join(mut join) if join.filter.is_some() => {
                let checked = ScalarUDF::from(Checked::new());
                join.filter = join.filter.map(|filter| checked.call(vec![filter]));
                Transformed::yes(LogicalPlan::Join(join))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(guarded.data)
}

/// The operators of an optimised plan, for one run.
pub(crate) async fn operators(
    context: &SessionContext,
    optimized: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let state = context.state();
    let planner = state.query_planner();
    let plan = planner.create_physical_plan(optimized, &state).await?;
    let guarded = plan.transform_up(|plan| {
        Ok(if plan.children().is_empty() {
            Transformed::no(plan)
        } else {
            Transformed::yes(Arc::new(Guarded::new(plan)) as Arc<dyn ExecutionPlan>)
        })
    })?;
    Ok(guarded.data)
}

/// Passes a join's condition on, unless the query was cancelled.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    signature: Signature,
}

impl Checked {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "checked"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        check()?;
        args.args
            .pop()
            .ok_or_else(|| DataFusionError::Internal("a join without its condition".to_owned()))
    }
}

/// Passes an operator's batches on, unless the query was cancelled.
#[derive(Debug)]
struct Guarded {
    input: Arc<dyn ExecutionPlan>,
}

impl Guarded {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

impl DisplayAs for Guarded {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl ExecutionPlan for Guarded {
    fn name(&self) -> &str {
        "Guarded"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next();
        let input = input
            .ok_or_else(|| DataFusionError::Internal("an operator without its input".to_owned()))?;
        Ok(Arc::new(Self::new(input)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let stream = self.input.execute(partition, context)?;
        let schema = stream.schema();
        let checked = stream.map(|batch: Result<RecordBatch>| {
            check()?;
            batch
        });
        let checked = RecordBatchStreamAdapter::new(schema, checked);
        // Lets what else waits on this thread have a turn: the end of the query.
        Ok(make_cooperative(Box::pin(checked)))
    }
}
