//! Groups and their accumulators: the state of a window aggregation.
//!
//! DataFusion's `GroupsAccumulator` gives its state only whole, and is empty
//! afterwards. So rows are first aggregated into a *delta* set; its state is
//! taken, kept for the changelog and merged into the *base* of its window.

use super::OperatorError;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use millstream_core::partitioner::murmur2;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Into how many parts the keys of every state are divided, for ever: a job
/// spread over tasks later moves whole key groups (Flink: max parallelism).
pub const KEY_GROUPS: u32 = 128;

/// What a set of groups is made of, and how its state is laid out in a batch:
/// key group, window start, the keys, each aggregate's state.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// Window start and the keys.
    group_schema: SchemaRef,
    state_schema: SchemaRef,
    /// How many state columns each aggregate has.
    state_widths: Vec<usize>,
}

/// Columns before the keys in a state batch.
const STATE_PREFIX: usize = 2;

impl Layout {
    pub(super) fn new(
        key_types: &[DataType],
        aggregates: Vec<Arc<AggregateFunctionExpr>>,
    ) -> Result<Self, OperatorError> {
        let mut groups = vec![Field::new("__window_start", DataType::Int64, false)];
        for (i, data_type) in key_types.iter().enumerate() {
            groups.push(Field::new(format!("k{i}"), data_type.clone(), true));
        }
        let mut state = vec![Field::new("__key_group", DataType::UInt8, false)];
        state.extend(groups.iter().cloned());
        let mut state_widths = Vec::new();
        for (i, aggregate) in aggregates.iter().enumerate() {
            let fields = aggregate.state_fields()?;
            state_widths.push(fields.len());
            for (j, field) in fields.iter().enumerate() {
                let name = format!("s{i}_{j}");
                state.push(Field::new(name, field.data_type().clone(), true));
            }
        }
        Ok(Self {
            aggregates,
            group_schema: Arc::new(Schema::new(groups)),
            state_schema: Arc::new(Schema::new(state)),
            state_widths,
        })
    }

    /// State columns as one batch, with the key groups in front.
    fn state_batch(
        &self,
        groups: Vec<ArrayRef>,
        states: Vec<ArrayRef>,
    ) -> Result<RecordBatch, OperatorError> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(key_groups(&groups[1..], groups[0].len())?)];
        columns.extend(groups);
        columns.extend(states);
        Ok(RecordBatch::try_new(self.state_schema.clone(), columns)?)
    }

    /// Takes a state batch apart again: groups, and each aggregate's states.
    fn split(
        &self,
        batch: &RecordBatch,
    ) -> Result<(Vec<ArrayRef>, Vec<Vec<ArrayRef>>), OperatorError> {
        if batch.schema().fields() != self.state_schema.fields() {
            return Err(OperatorError::State(format!(
                "stored columns {:?}, the statement needs {:?}",
                types(&batch.schema()),
                types(&self.state_schema)
            )));
        }
        let columns = batch.columns();
        let keys_end = STATE_PREFIX + self.group_schema.fields().len() - 1;
        let groups = columns[1..keys_end].to_vec();
        let mut states = Vec::new();
        let mut first = keys_end;
        for width in &self.state_widths {
            states.push(columns[first..first + width].to_vec());
            first += width;
        }
        Ok((groups, states))
    }
}

fn types(schema: &Schema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|f| f.data_type().to_string())
        .collect()
}

/// The key group of each row: from the keys' text, so that it stays what it
/// is whatever Arrow's row format becomes.
fn key_groups(keys: &[ArrayRef], rows: usize) -> Result<UInt8Array, OperatorError> {
    let options = FormatOptions::default().with_null("\u{0}");
    let formatters = keys
        .iter()
        .map(|k| ArrayFormatter::try_new(k.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    let groups = (0..rows).map(|row| {
        text.clear();
        for formatter in &formatters {
            use std::fmt::Write as _;
            // Writing to a String cannot fail; a value that cannot be shown
            // only lands in another group.
            let _ = write!(text, "{}\u{1}", formatter.value(row));
        }
        u8::try_from(murmur2(text.as_bytes()) % KEY_GROUPS).unwrap_or(0)
    });
    Ok(groups.collect())
}

/// Groups with one accumulator an aggregate.
pub(super) struct GroupSet {
    groups: Box<dyn GroupValues>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// Scratch: the group of each row.
    indices: Vec<usize>,
}

impl GroupSet {
    fn new(layout: &Layout) -> Result<Self, OperatorError> {
        let groups = new_group_values(layout.group_schema.clone(), &GroupOrdering::None)?;
        let accumulators = layout
            .aggregates
            .iter()
            .map(accumulator)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            groups,
            accumulators,
            indices: Vec::new(),
        })
    }

    fn update(
        &mut self,
        groups: &[ArrayRef],
        arguments: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
    ) -> Result<(), OperatorError> {
        self.groups.intern(groups, &mut self.indices)?;
        let count = self.groups.len();
        for ((accumulator, arguments), filter) in
            self.accumulators.iter_mut().zip(arguments).zip(filters)
        {
            accumulator.update_batch(arguments, &self.indices, filter.as_ref(), count)?;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        groups: &[ArrayRef],
        states: &[Vec<ArrayRef>],
    ) -> Result<(), OperatorError> {
        self.groups.intern(groups, &mut self.indices)?;
        let count = self.groups.len();
        for (accumulator, states) in self.accumulators.iter_mut().zip(states) {
            accumulator.merge_batch(states, &self.indices, None, count)?;
        }
        Ok(())
    }

    /// The groups and all states, in the order in which groups were first
    /// seen. The set is spent: DataFusion's groups do not all forget their
    /// hashes when they are emitted.
    fn into_state(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), OperatorError> {
        let groups = self.groups.emit(EmitTo::All)?;
        let mut states = Vec::new();
        for accumulator in &mut self.accumulators {
            states.extend(accumulator.state(EmitTo::All)?);
        }
        Ok((groups, states))
    }

    fn into_result(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), OperatorError> {
        let groups = self.groups.emit(EmitTo::All)?;
        let results = self
            .accumulators
            .iter_mut()
            .map(|a| a.evaluate(EmitTo::All))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((groups, results))
    }

    fn bytes(&self) -> usize {
        self.groups.size() + self.accumulators.iter().map(|a| a.size()).sum::<usize>()
    }
}

fn accumulator(
    aggregate: &Arc<AggregateFunctionExpr>,
) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
    if aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator();
    }
    let aggregate = Arc::clone(aggregate);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || {
        aggregate.create_accumulator()
    })))
}

/// All open windows: their bases, and the delta since the last flush.
pub(super) struct WindowState {
    layout: Layout,
    delta: GroupSet,
    /// Flushed deltas of this epoch that the changelog does not have yet.
    pending: Vec<RecordBatch>,
    base: BTreeMap<i64, GroupSet>,
    /// Windows with rows in the delta.
    delta_windows: std::collections::BTreeSet<i64>,
}

/// Results of one window.
pub(super) struct FiredWindow {
    pub(super) start_ms: i64,
    /// The keys, then the aggregates.
    pub(super) keys: Vec<ArrayRef>,
    pub(super) results: Vec<ArrayRef>,
}

impl WindowState {
    pub(super) fn new(layout: Layout) -> Result<Self, OperatorError> {
        Ok(Self {
            delta: GroupSet::new(&layout)?,
            layout,
            pending: Vec::new(),
            base: BTreeMap::new(),
            delta_windows: Default::default(),
        })
    }

    /// Adds rows; `starts` is each row's window.
    pub(super) fn update(
        &mut self,
        starts: Int64Array,
        keys: Vec<ArrayRef>,
        arguments: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
    ) -> Result<(), OperatorError> {
        self.delta_windows.extend(starts.values());
        let mut groups: Vec<ArrayRef> = vec![Arc::new(starts)];
        groups.extend(keys);
        self.delta.update(&groups, arguments, filters)
    }

    /// Start of the oldest open window.
    pub(super) fn oldest(&self) -> Option<i64> {
        let delta = self.delta_windows.first().copied();
        let base = self.base.keys().next().copied();
        match (delta, base) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Moves the delta into the bases and keeps it for the changelog.
    pub(super) fn flush(&mut self) -> Result<(), OperatorError> {
        if self.delta_windows.is_empty() {
            return Ok(());
        }
        self.delta_windows.clear();
        let delta = std::mem::replace(&mut self.delta, GroupSet::new(&self.layout)?);
        let (groups, states) = delta.into_state()?;
        let batch = self.layout.state_batch(groups, states)?;
        self.merge(&batch)?;
        self.pending.push(batch);
        Ok(())
    }

    /// Merges a state batch into the bases.
    pub(super) fn merge(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        let (groups, states) = self.layout.split(batch)?;
        let mut rows_of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, start) in groups[0]
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .enumerate()
        {
            rows_of
                .entry(*start)
                .or_default()
                .push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        let single = rows_of.len() == 1;
        for (start, rows) in rows_of {
            let base = match self.base.entry(start) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(GroupSet::new(&self.layout)?)
                }
            };
            if single {
                base.merge(&groups, &states)?;
                continue;
            }
            let rows = UInt32Array::from(rows);
            let groups = take_all(&groups, &rows)?;
            let states = states
                .iter()
                .map(|s| take_all(s, &rows))
                .collect::<Result<Vec<_>, _>>()?;
            base.merge(&groups, &states)?;
        }
        Ok(())
    }

    /// Takes the oldest window out if `is_fired` says so of its start. The
    /// delta must have been flushed.
    pub(super) fn take_fired(
        &mut self,
        is_fired: impl Fn(i64) -> bool,
    ) -> Result<Option<FiredWindow>, OperatorError> {
        debug_assert!(self.delta_windows.is_empty(), "flush before firing");
        let Some(entry) = self.base.first_entry() else {
            return Ok(None);
        };
        if !is_fired(*entry.key()) {
            return Ok(None);
        }
        let (start_ms, set) = entry.remove_entry();
        let (mut groups, results) = set.into_result()?;
        let keys = groups.split_off(1);
        Ok(Some(FiredWindow {
            start_ms,
            keys,
            results,
        }))
    }

    /// Forgets the windows that have fired: after a restore.
    pub(super) fn drop_fired(&mut self, is_fired: impl Fn(i64) -> bool) {
        self.base.retain(|start, _| !is_fired(*start));
    }

    /// What the changelog needs to know of this epoch: changes to windows
    /// that are still open.
    pub(super) fn take_delta(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        self.flush()?;
        let mut deltas = Vec::new();
        for batch in std::mem::take(&mut self.pending) {
            let starts = batch.column(1).as_primitive::<Int64Type>();
            let open: BooleanArray = starts
                .values()
                .iter()
                .map(|s| Some(self.base.contains_key(s)))
                .collect();
            let batch = arrow::compute::filter_record_batch(&batch, &open)?;
            if batch.num_rows() > 0 {
                deltas.push(batch);
            }
        }
        Ok(deltas)
    }

    /// The bases, window by window.
    pub(super) fn snapshot(&mut self) -> Result<Vec<RecordBatch>, OperatorError> {
        debug_assert!(self.pending.is_empty() && self.delta_windows.is_empty());
        let mut batches = Vec::new();
        for set in self.base.values_mut() {
            let whole = std::mem::replace(set, GroupSet::new(&self.layout)?);
            let (groups, states) = whole.into_state()?;
            let batch = self.layout.state_batch(groups, states)?;
            let (groups, states) = self.layout.split(&batch)?;
            set.merge(&groups, &states)?;
            batches.push(batch);
        }
        Ok(batches)
    }

    pub(super) fn bytes(&self) -> usize {
        let pending: usize = self.pending.iter().map(|b| b.get_array_memory_size()).sum();
        self.delta.bytes() + pending + self.base.values().map(GroupSet::bytes).sum::<usize>()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn take_all(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>, OperatorError> {
    Ok(columns
        .iter()
        .map(|c| take(c.as_ref(), rows, None))
        .collect::<Result<Vec<_>, _>>()?)
}
