//! `GROUP BY window_start, window_end, ...` over TUMBLE, in event time.
//!
//! A window fires once, when the watermark reaches its last millisecond; a
//! row whose window has fired is late and goes to the late topic (Flink:
//! `AbstractSliceSyncStateWindowAggProcessor.processElement`). Windows come
//! out oldest first, the groups of one in the order they were first seen.

use super::evaluate::evaluate;
use super::late::is_fired;
use super::window_state::{FiredWindow, Layout, WindowState};
use super::{Context, LateRows, Operator, OperatorError, OperatorInfo, WATERMARK_NONE};
use crate::batch::{Batch, RowKind};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMillisecondArray,
};
use arrow::compute::{cast, filter};
use arrow::datatypes::{
    DataType, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use millstream_sql::plan::{WindowAggregateNode, WindowSpec};
use std::sync::Arc;

/// The aggregation of one plan node.
pub struct WindowAggregate {
    window: WindowSpec,
    time_column: usize,
    schema: SchemaRef,
    keys: usize,
    /// The keys, then for each aggregate its arguments and its filter.
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    shapes: Vec<AggregateShape>,
    detail: String,
    state: WindowState,
    watermark_ms: i64,
}

/// Which of the evaluated columns belong to an aggregate.
struct AggregateShape {
    arguments: usize,
    filtered: bool,
}

impl WindowAggregate {
    /// The operator of a plan node.
    pub fn new(node: &WindowAggregateNode) -> Result<Self, OperatorError> {
        let WindowSpec::Tumble { size_ms, .. } = node.window;
        if size_ms <= 0 {
            return Err(OperatorError::Unsupported(
                "a window's size is above 0".into(),
            ));
        }
        let input = node.input.schema();
        let key_types = node
            .keys
            .iter()
            .map(|k| k.data_type(&input))
            .collect::<Result<Vec<_>, _>>()?;
        let mut expressions = node.keys.clone();
        let mut shapes = Vec::new();
        for aggregate in &node.aggregates {
            let arguments = aggregate.function.expressions();
            shapes.push(AggregateShape {
                arguments: arguments.len(),
                filtered: aggregate.filter.is_some(),
            });
            expressions.extend(arguments);
            expressions.extend(aggregate.filter.clone());
        }
        let functions = node
            .aggregates
            .iter()
            .map(|a| Arc::clone(&a.function))
            .collect();
        let keys: Vec<String> = node
            .keys
            .iter()
            .map(|k| fmt_sql(k.as_ref()).to_string())
            .collect();
        Ok(Self {
            window: node.window,
            time_column: node.time_column,
            schema: node.schema.clone(),
            keys: node.keys.len(),
            expressions,
            shapes,
            detail: if keys.is_empty() {
                String::new()
            } else {
                format!("by {}", keys.join(", "))
            },
            state: WindowState::new(Layout::new(&key_types, functions)?)?,
            watermark_ms: WATERMARK_NONE,
        })
    }

    /// Takes out rows that no window may take: late ones, and those without a
    /// time. What is left, and each row's window.
    fn assign(
        &self,
        batch: &Batch,
        context: &mut Context,
    ) -> Result<(Option<BooleanArray>, Int64Array), OperatorError> {
        let times = milliseconds(batch.rows.column(self.time_column))?;
        let mut keep = vec![true; batch.len()];
        let mut starts = Vec::with_capacity(batch.len());
        let (mut late, mut late_ends) = (Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else {
                keep[row] = false;
                self.refuse_null_time(batch, row, context)?;
                continue;
            };
            let start = window_start(time, self.window);
            let end = window_end(start, self.window);
            if is_fired(end, self.watermark_ms) {
                keep[row] = false;
                late.push(row);
                late_ends.push(end);
            } else {
                starts.push(start);
            }
        }
        if !late.is_empty() {
            context
                .late
                .push(late_rows(batch, &late, late_ends, self.watermark_ms)?);
        }
        let all = starts.len() == batch.len();
        Ok((
            (!all).then(|| BooleanArray::from(keep)),
            Int64Array::from(starts),
        ))
    }

    fn refuse_null_time(
        &self,
        batch: &Batch,
        row: usize,
        context: &mut Context,
    ) -> Result<(), OperatorError> {
        // Flink's WatermarkAssignerOperator refuses it in these words.
        context.set_aside(
            "TUMBLE",
            batch,
            row,
            "the row's event time is NULL".to_owned(),
        )
    }

    fn emit(&self, fired: FiredWindow) -> Result<Batch, OperatorError> {
        let rows = fired
            .results
            .first()
            .or(fired.keys.first())
            .map_or(1, |column| column.len());
        let end = window_end(fired.start_ms, self.window);
        let mut columns = fired.keys;
        for time in [fired.start_ms, end, end.saturating_sub(1)] {
            columns.push(Arc::new(TimestampMillisecondArray::from(vec![time; rows])));
        }
        columns.extend(fired.results);
        let columns = columns
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| as_type(column, field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Batch::inserts(RecordBatch::try_new(
            self.schema.clone(),
            columns,
        )?))
    }
}

impl Operator for WindowAggregate {
    fn info(&self) -> OperatorInfo {
        let WindowSpec::Tumble { size_ms, .. } = self.window;
        OperatorInfo {
            kind: "window",
            label: format!("TUMBLE {}", duration_label(size_ms)),
            detail: self.detail.clone(),
        }
    }

    fn on_batch(
        &mut self,
        batch: Batch,
        context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        if batch
            .kinds
            .as_ref()
            .is_some_and(|k| k.iter().any(|k| *k != RowKind::Insert))
        {
            return Err(OperatorError::Unsupported(
                "a window aggregation takes insert-only input".into(),
            ));
        }
        let (batch, mut columns) = evaluate("GROUP BY", &self.expressions, &[], batch, context)?;
        let (keep, starts) = self.assign(&batch, context)?;
        if starts.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(keep) = keep {
            columns = columns
                .iter()
                .map(|c| filter(c.as_ref(), &keep))
                .collect::<Result<Vec<_>, _>>()?;
        }
        let mut columns = columns.into_iter();
        let keys: Vec<ArrayRef> = columns.by_ref().take(self.keys).collect();
        let (mut arguments, mut filters) = (Vec::new(), Vec::new());
        for shape in &self.shapes {
            arguments.push(columns.by_ref().take(shape.arguments).collect::<Vec<_>>());
            let filter = if shape.filtered { columns.next() } else { None };
            filters.push(filter.map(|f| f.as_boolean().clone()));
        }
        self.state.update(starts, keys, &arguments, &filters)?;
        Ok(Vec::new())
    }

    fn on_watermark(
        &mut self,
        watermark_ms: i64,
        _context: &mut Context,
    ) -> Result<Vec<Batch>, OperatorError> {
        debug_assert!(
            watermark_ms >= self.watermark_ms,
            "event time never goes back"
        );
        self.watermark_ms = watermark_ms;
        let window = self.window;
        let fired = |start| is_fired(window_end(start, window), watermark_ms);
        if !self.state.oldest().is_some_and(fired) {
            return Ok(Vec::new());
        }
        self.state.flush()?;
        let mut batches = Vec::new();
        while let Some(window) = self.state.take_fired(fired)? {
            batches.push(self.emit(window)?);
        }
        Ok(batches)
    }

    fn has_state(&self) -> bool {
        true
    }

    fn take_delta(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        self.state.take_delta()
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        self.state.snapshot()
    }

    fn reset(&mut self) -> Result<(), OperatorError> {
        self.state = WindowState::new(self.state.layout().clone())?;
        self.watermark_ms = WATERMARK_NONE;
        Ok(())
    }

    fn restore(&mut self, delta: RecordBatch) -> Result<(), OperatorError> {
        self.state.merge(&delta)
    }

    fn restored(&mut self, watermark_ms: i64) -> Result<(), OperatorError> {
        self.watermark_ms = watermark_ms;
        let window = self.window;
        // Deltas of windows that have fired since are still in the changelog.
        self.state
            .drop_fired(|start| is_fired(window_end(start, window), watermark_ms));
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.state.bytes()
    }
}

/// Flink: `TimeWindow.getWindowStartWithOffset`.
fn window_start(time_ms: i64, window: WindowSpec) -> i64 {
    let WindowSpec::Tumble { size_ms, offset_ms } = window;
    let into = time_ms.wrapping_sub(offset_ms).rem_euclid(size_ms);
    time_ms.saturating_sub(into)
}

fn window_end(start_ms: i64, window: WindowSpec) -> i64 {
    let WindowSpec::Tumble { size_ms, .. } = window;
    start_ms.saturating_add(size_ms)
}

fn late_rows(
    batch: &Batch,
    rows: &[usize],
    window_ends_ms: Vec<i64>,
    watermark_ms: i64,
) -> Result<LateRows, OperatorError> {
    let mut mask = vec![false; batch.len()];
    rows.iter().for_each(|row| mask[*row] = true);
    let late = batch.filter(&BooleanArray::from(mask))?;
    Ok(LateRows {
        rows: late.rows,
        origins: late.origins,
        window_ends_ms,
        watermark_ms,
    })
}

/// A timestamp column in whole milliseconds, rounded down.
pub(crate) fn milliseconds(column: &ArrayRef) -> Result<Int64Array, OperatorError> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match column.data_type() {
        DataType::Timestamp(Second, _) => column
            .as_primitive::<TimestampSecondType>()
            .unary(|t| t.saturating_mul(1_000)),
        DataType::Timestamp(Millisecond, _) => column
            .as_primitive::<TimestampMillisecondType>()
            .unary(|t| t),
        DataType::Timestamp(Microsecond, _) => column
            .as_primitive::<TimestampMicrosecondType>()
            .unary(|t| t.div_euclid(1_000)),
        DataType::Timestamp(Nanosecond, _) => column
            .as_primitive::<TimestampNanosecondType>()
            .unary(|t| t.div_euclid(1_000_000)),
        other => {
            return Err(OperatorError::Unsupported(format!(
                "event time needs a TIMESTAMP, this is {other}"
            )));
        }
    })
}

fn as_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, OperatorError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    // Window times take the time column's zone: the instant stays the same.
    if let (
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)),
    ) = (column.data_type(), data_type)
    {
        let times = column.as_primitive::<TimestampMillisecondType>().clone();
        return Ok(Arc::new(times.with_timezone(Arc::clone(zone))));
    }
    Ok(cast(column, data_type)?)
}

/// `5 s`, `90 s`, `1 h`: the largest unit that divides.
pub(crate) fn duration_label(ms: i64) -> String {
    for (unit, name) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1_000, "s"),
    ] {
        if ms != 0 && ms % unit == 0 {
            return format!("{} {name}", ms / unit);
        }
    }
    format!("{ms} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_start_as_flinks_do() {
        let at = |time, size_ms, offset_ms| {
            window_start(time, WindowSpec::Tumble { size_ms, offset_ms })
        };
        // From Flink's TimeWindowTest.testGetWindowStartWithOffset.
        assert_eq!(at(1, 7, 0), 0);
        assert_eq!(at(6, 7, 0), 0);
        assert_eq!(at(7, 7, 0), 7);
        assert_eq!(at(8, 7, 0), 7);
        assert_eq!(at(1, 7, 3), -4);
        assert_eq!(at(2, 7, 3), -4);
        assert_eq!(at(3, 7, 3), 3);
        assert_eq!(at(9, 7, 3), 3);
        assert_eq!(at(10, 7, 3), 10);
        assert_eq!(at(1, 7, -2), -2);
        assert_eq!(at(4, 7, -2), -2);
        assert_eq!(at(5, 7, -2), 5);
        assert_eq!(at(12, 7, -2), 12);
    }

    #[test]
    fn durations_are_labelled_in_their_largest_unit() {
        assert_eq!(duration_label(5_000), "5 s");
        assert_eq!(duration_label(90_000), "90 s");
        assert_eq!(duration_label(3_600_000), "1 h");
        assert_eq!(duration_label(250), "250 ms");
    }
}
