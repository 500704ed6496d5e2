//! A job's operators in a row: messages go in at the front, what reaches the
//! end is for the sink.

use super::filter::Filter;
use super::project::Project;
use super::window_aggregate::WindowAggregate;
use super::{Context, Operator, OperatorError, OperatorInfo};
use crate::batch::Batch;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_sql::plan::{PlanNode, SourceNode};

/// The operators between the source and the sink.
pub struct Chain {
    steps: Vec<Step>,
}

struct Step {
    operator: Box<dyn Operator>,
    rows_out: u64,
}

/// A part of an operator's state, by its place among those that have state:
/// that place stays when projections are fused differently.
pub type StatePart = (usize, RecordBatch);

impl Chain {
    /// The operators of a plan, and the source that feeds them.
    pub fn new(root: &PlanNode) -> Result<(SourceNode, Self), OperatorError> {
        let mut nodes = vec![root];
        while let Some(input) = nodes.last().and_then(|node| node.input()) {
            nodes.push(input);
        }
        let Some(PlanNode::Source(source)) = nodes.pop() else {
            return Err(OperatorError::Unsupported("a plan without a source".into()));
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut push = |operator| {
            steps.push(Step {
                operator,
                rows_out: 0,
            })
        };
        // Projections in a row become one, and none where nothing is left.
        let mut pending: Option<(Project, SchemaRef)> = None;
        for node in nodes.into_iter().rev() {
            if let PlanNode::Project(next) = node {
                let next_alone = Project::new(next);
                let fused = match &pending {
                    Some((project, _)) => project.then(&next_alone)?,
                    None => None,
                };
                pending = match (pending, fused) {
                    (Some((_, input)), Some(fused)) => Some((fused, input)),
                    (before, _) => {
                        push_projection(&mut push, before);
                        Some((next_alone, next.input.schema()))
                    }
                };
                continue;
            }
            push_projection(&mut push, pending.take());
            match node {
                PlanNode::Filter(n) => push(Box::new(Filter::new(n)?)),
                PlanNode::WindowAggregate(n) => push(Box::new(WindowAggregate::new(n)?)),
                PlanNode::Project(_) => {}
                PlanNode::Source(_) => {
                    return Err(OperatorError::Unsupported("a plan with two sources".into()));
                }
            }
        }
        push_projection(&mut push, pending);
        Ok((source.as_ref().clone(), Self { steps }))
    }

    /// Rows from the source; gives the rows for the sink. After
    /// [`OperatorError::TooLarge`] nothing of them is in any operator: they
    /// can be pushed again, in parts.
    pub fn on_batch(
        &mut self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        self.push(0, vec![batch], context)
    }

    /// A watermark from the source. At each operator the rows it sets free go
    /// on before the watermark itself does.
    pub fn on_watermark(
        &mut self,
        watermark_ms: i64,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        let mut out = Vec::new();
        for i in 0..self.steps.len() {
            let freed = self.steps[i].operator.on_watermark(watermark_ms, context)?;
            self.steps[i].count(&freed);
            for batch in freed {
                self.push_in_parts(i + 1, batch, context, &mut out)?;
            }
        }
        Ok(out)
    }

    /// Rows that are too large together go in halves.
    fn push_in_parts(
        &mut self,
        first: usize,
        batch: Batch,
        context: &mut Context,
        out: &mut Vec<Batch>,
    ) -> Result<(), OperatorError> {
        let (failures, failed_rows) = (context.failures.len(), context.failed_rows.len());
        match self.push(first, vec![batch.clone()], context) {
            Err(OperatorError::TooLarge(_)) if batch.len() > 1 => {
                // A step before the one that refused may have set rows aside.
                context.failures.truncate(failures);
                context.failed_rows.truncate(failed_rows);
                let half = batch.len() / 2;
                self.push_in_parts(first, batch.slice(0, half), context, out)?;
                let rest = batch.slice(half, batch.len() - half);
                self.push_in_parts(first, rest, context, out)
            }
            pushed => {
                out.extend(pushed?);
                Ok(())
            }
        }
    }

    fn push(
        &mut self,
        first: usize,
        mut batches: Vec<Batch>,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        for step in self.steps.iter_mut().skip(first) {
            let mut next = Vec::new();
            for batch in batches {
                if !batch.is_empty() {
                    next.extend(step.operator.on_batch(batch, context)?);
                }
            }
            step.count(&next);
            batches = next;
        }
        Ok(batches)
    }

    /// The epoch's barrier: all changes of all operators.
    pub fn take_delta(&mut self) -> Result<Vec<StatePart>, OperatorError> {
        self.collect(|operator| operator.take_delta())
    }

    /// The whole state; after [`Chain::take_delta`].
    pub fn snapshot(&mut self) -> Result<Vec<StatePart>, OperatorError> {
        self.collect(|operator| operator.snapshot())
    }

    fn collect(
        &mut self,
        take: impl Fn(&mut dyn Operator) -> Result<Vec<RecordBatch>, OperatorError>,
    ) -> Result<Vec<StatePart>, OperatorError> {
        let mut parts = Vec::new();
        for (i, step) in self.stateful().enumerate() {
            parts.extend(
                take(step.operator.as_mut())?
                    .into_iter()
                    .map(|batch| (i, batch)),
            );
        }
        Ok(parts)
    }

    /// Forgets all state.
    pub fn reset(&mut self) -> Result<(), OperatorError> {
        self.steps.iter_mut().try_for_each(|s| s.operator.reset())
    }

    /// Merges a part written by [`Chain::take_delta`] or [`Chain::snapshot`].
    pub fn restore(&mut self, (operator, delta): StatePart) -> Result<(), OperatorError> {
        match self.stateful().nth(operator) {
            Some(step) => step.operator.restore(delta),
            None => Err(OperatorError::State(format!(
                "there is state of {} operators or more, the statement has fewer",
                operator + 1
            ))),
        }
    }

    fn stateful(&mut self) -> impl Iterator<Item = &mut Step> {
        self.steps
            .iter_mut()
            .filter(|step| step.operator.has_state())
    }

    /// All parts are in; this was the watermark.
    pub fn restored(&mut self, watermark_ms: i64) -> Result<(), OperatorError> {
        self.steps
            .iter_mut()
            .try_for_each(|s| s.operator.restored(watermark_ms))
    }

    /// Memory that all state takes.
    pub fn state_bytes(&self) -> usize {
        self.steps.iter().map(|s| s.operator.state_bytes()).sum()
    }

    /// What each operator is, and how many rows it has given so far.
    pub fn operators(&self) -> Vec<(OperatorInfo, u64)> {
        self.steps
            .iter()
            .map(|s| (s.operator.info(), s.rows_out))
            .collect()
    }
}

fn push_projection(
    push: &mut impl FnMut(Box<dyn Operator>),
    pending: Option<(Project, SchemaRef)>,
) {
    if let Some((project, input)) = pending
        && !project.is_identity(&input)
    {
        push(Box::new(project));
    }
}

impl Step {
    fn count(&mut self, batches: &[Batch]) {
        self.rows_out += batches.iter().map(|b| b.len() as u64).sum::<u64>();
    }
}
