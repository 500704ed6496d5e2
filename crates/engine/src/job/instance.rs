//! One life of a job: restore, then epoch after epoch until something fails.
//!
//! Recovery in this order: the transactional writer fences every older
//! instance; the changelog is read to its stable end; its last control record
//! says where to read on (group offsets expire, so they are never the truth).

use super::cancel_watch::CancelWatch;
use super::epoch::{Epoch, EpochOutput, commit};
use super::halves::halves;
use super::lag::Committed;
use super::names::JobNames;
use super::position::{Position, positions};
use super::stats::{JobStats, JobStatus};
use super::{JobEnv, JobError, JobSpec};
use crate::batch::Batch;
use crate::changelog::{self, Control, Counters};
use crate::dead_letters::{LateRecords, dead_letter, row_letter, unreadable};
use crate::operators::sink::{Sink, input_time};
use crate::operators::window_aggregate::duration_label;
use crate::operators::{Chain, Context, OperatorInfo, WATERMARK_NONE};
use crate::source::Source;
use crate::source::watermark::SourceWatermark;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, BusReader, FetchedRecords, Isolation, OffsetAt, TopicInfo, TopicSpec,
    TransactionWriter,
};
use millstream_sql::catalog::TableDef;
use millstream_sql::functions::guard::Guard;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for input; idle partitions and numbers are looked at between.
const POLL_WAIT_MAX: Duration = Duration::from_millis(500);
/// Shortest wait while a partition's idleness is being timed.
const POLL_WAIT_IDLE: Duration = Duration::from_millis(20);
/// How often added partitions are looked for.
const PARTITIONS_LOOK: Duration = Duration::from_secs(10);
/// Bytes of dead letters, and of late rows, that a new topic for them keeps.
/// They carry the time of their input, so how old they are says nothing.
const SET_ASIDE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What a job waits for at most between two epochs: a look at its topic, the
/// removal of old changelog. Both can be done another time, and a broker that
/// is away must not hold up the others' records.
const ASIDE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Where the state budget is warned about, in percent.
const STATE_WARN_PERCENT: usize = 80;

/// How a life ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Bounded input is at its end and everything is committed.
    Finished,
    /// Someone stopped the job.
    Cancelled,
    /// What this life was made for has changed: the source has more
    /// partitions, or a topic takes smaller records. Another one goes on.
    Outdated,
}

pub(super) struct Instance<'a> {
    spec: &'a JobSpec,
    env: &'a JobEnv,
    stats: &'a Mutex<JobStats>,
    names: JobNames,
    writer: Box<dyn TransactionWriter>,
    reader: Box<dyn BusReader>,
    limits: Limits,
    source_table: Arc<TableDef>,
    source: Source,
    source_info: OperatorInfo,
    rows_in: u64,
    chain: Chain,
    sink: Sink,
    rows_out: u64,
    positions: Vec<Position>,
    watermark: SourceWatermark,
    counters: Counters,
    epoch: u64,
    output: EpochOutput,
    /// Records were read since the last commit.
    dirty: bool,
    bytes_in: usize,
    committed_at: Duration,
    changelog_bytes: u64,
    snapshot_bytes: u64,
    finished: bool,
    warned: bool,
    looked_at: Duration,
    /// Ends evaluations when the job is stopped.
    guard: Guard,
}

impl<'a> Instance<'a> {
    pub(super) async fn restore(
        spec: &'a JobSpec,
        env: &'a JobEnv,
        stats: &'a Mutex<JobStats>,
    ) -> Result<Self, JobError> {
        let names = JobNames::new(&spec.id);
        let bus = env.bus.as_ref();
        let (node, mut chain) = Chain::new(&spec.plan.root)?;
        let source = Source::new(&node)?;
        ensure_own_topics(bus, &names).await?;
        let writer = bus
            .transaction_writer(&names.transactional_id, spec.options.transaction_timeout)
            .await?;
        let changelog = names.changelog_partition();
        let restored = changelog::restore(bus, &spec.id, &changelog, &mut chain).await?;
        let control = restored.control.as_ref();
        let topic = source_topic(bus, spec, &node.table, control.is_some()).await?;
        let sink_topic = sink_topic(bus, spec).await?;
        let limits = Limits::of(bus, spec, &names).await?;
        let positions = positions(&node.table, &topic, control, env).await?;
        let watermark = source_watermark(&positions, control, &node.table, env);
        let open: Vec<(TopicPartition, Offset)> = positions
            .iter()
            .filter(|p| !p.is_finished())
            .map(|p| (p.partition.clone(), p.next))
            .collect();
        let reader = bus.reader(&open, Isolation::ReadCommitted).await?;
        let mut instance = Self {
            spec,
            env,
            stats,
            writer,
            reader,
            limits,
            source_table: Arc::clone(&node.table),
            source,
            source_info: source_info(&node.table, positions.len()),
            rows_in: 0,
            chain,
            sink: Sink::new(&spec.plan.sink, sink_topic.partitions, limits.sink)?,
            rows_out: 0,
            positions,
            watermark,
            counters: control.map_or_else(Counters::default, |c| c.counters),
            epoch: control.map_or(0, |c| c.epoch),
            output: EpochOutput::default(),
            dirty: false,
            bytes_in: 0,
            committed_at: env.clock.monotonic(),
            changelog_bytes: restored.bytes,
            snapshot_bytes: 0,
            finished: control.is_some_and(|c| c.finished),
            warned: false,
            looked_at: env.clock.monotonic(),
            guard: Guard::new(usize::MAX),
            names,
        };
        if control.is_none() {
            // Fixes where the job begins and where bounded input ends, before
            // anything is read: a restart must not look again.
            instance.commit_epoch().await?;
        }
        Ok(instance)
    }

    pub(super) async fn run(mut self, cancel: &CancellationToken) -> Result<Ended, JobError> {
        if self.finished {
            self.publish(JobStatus::Finished);
            return Ok(Ended::Finished);
        }
        self.publish(JobStatus::Running);
        let _watch = CancelWatch::new(cancel, &self.guard);
        loop {
            if self.advance_time()? {
                self.finished = true;
                self.epoch += 1;
                return Ok(match self.commits().await? {
                    true => Ended::Finished,
                    false => Ended::Outdated,
                });
            }
            if self.has_new_partitions().await {
                return Ok(Ended::Outdated);
            }
            let wait = match self.epoch_remaining() {
                Some(Duration::ZERO) => {
                    self.epoch += 1;
                    if !self.commits().await? {
                        return Ok(Ended::Outdated);
                    }
                    continue;
                }
                Some(remaining) => remaining,
                None => POLL_WAIT_MAX,
            };
            let wait = if self.watermark.awaits_idleness() {
                wait.min(POLL_WAIT_IDLE)
            } else {
                wait
            };
            let poll = self
                .reader
                .poll(wait.min(POLL_WAIT_MAX), self.spec.options.poll_bytes_max);
            let chunks = tokio::select! {
                () = cancel.cancelled() => return Ok(Ended::Cancelled),
                chunks = poll => chunks.map_err(lost)?,
            };
            match self.on_chunks(chunks).await {
                // Whoever stopped the job does not wait for a long evaluation.
                Err(error) if cancel.is_cancelled() && error.is_ended() => {
                    return Ok(Ended::Cancelled);
                }
                done => done?,
            }
            self.observe();
        }
    }

    /// Between epochs, now and then: whether partitions have been added to the
    /// source. Bounded input ends where it ended when the job began.
    async fn has_new_partitions(&mut self) -> bool {
        let now = self.env.clock.monotonic();
        let due = now.saturating_sub(self.looked_at) >= PARTITIONS_LOOK;
        let bounded = self.positions.iter().any(|p| p.bound.is_some());
        if !due || bounded || self.dirty || !self.output.is_empty() {
            return false;
        }
        self.looked_at = now;
        let Some(position) = self.positions.first() else {
            return false;
        };
        let look = self.env.bus.topic(&position.partition.topic);
        match tokio::time::timeout(ASIDE_WAIT_MAX, look).await {
            Ok(Ok(topic)) => usize::try_from(topic.partitions).unwrap_or(0) > self.positions.len(),
            // The next read says what is wrong.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Until the epoch's barrier; `None` while nothing has happened.
    fn epoch_remaining(&self) -> Option<Duration> {
        if !self.dirty && self.output.is_empty() {
            return None;
        }
        let options = &self.spec.options;
        if self.output.bytes >= options.epoch_bytes_max || self.bytes_in >= options.epoch_bytes_max
        {
            return Some(Duration::ZERO);
        }
        let since = self.env.clock.monotonic().saturating_sub(self.committed_at);
        Some(options.epoch.saturating_sub(since))
    }

    /// Records that come to too much together are taken in halves, with a
    /// commit between them where it is due.
    async fn on_chunks(&mut self, chunks: Vec<FetchedRecords>) -> Result<(), JobError> {
        let mut waiting = VecDeque::from(chunks);
        while let Some(chunk) = waiting.pop_front() {
            let guard = self.guard.clone();
            let Some([first, rest]) = guard.scope(|| self.on_chunk(chunk))? else {
                continue;
            };
            waiting.push_front(rest);
            waiting.push_front(first);
            self.check_budget()?;
            if self.output.bytes >= self.spec.options.epoch_bytes_max {
                self.epoch += 1;
                self.commit_epoch().await?;
            }
        }
        Ok(())
    }

    /// One partition's records: rows through the operators, then the
    /// watermark that they carry. Gives the records back in halves, and has
    /// done nothing, where they come to too much together.
    fn on_chunk(
        &mut self,
        mut chunk: FetchedRecords,
    ) -> Result<Option<[FetchedRecords; 2]>, JobError> {
        let Some(index) = self
            .positions
            .iter()
            .position(|p| p.partition == chunk.topic_partition)
        else {
            return Ok(None);
        };
        if let Some(bound) = self.positions[index].bound {
            chunk.records.retain(|r| r.offset < bound);
            chunk.unreadable.retain(|range| range.first_offset < bound);
            chunk.next_offset = chunk.next_offset.min(bound);
        }
        let mut watermark_ms = None;
        if !chunk.records.is_empty() {
            watermark_ms = match self.on_records(&chunk) {
                Err(error) if error.is_too_large() && chunk.records.len() > 1 => {
                    return Ok(Some(halves(chunk)));
                }
                done => done?,
            };
        }
        let position = &mut self.positions[index];
        position.next = position.next.max(chunk.next_offset);
        position.log_end = position.log_end.max(chunk.end_offset);
        let (finished, caught_up) = (position.is_finished(), position.is_caught_up());
        let now = self.env.clock.monotonic();
        self.report_unreadable(&chunk);
        if !chunk.records.is_empty() {
            self.dirty = true;
            self.counters.in_records += chunk.records.len() as u64;
            self.bytes_in += chunk
                .records
                .iter()
                .map(|r| r.value.as_ref().map_or(0, |v| v.len()))
                .sum::<usize>();
            self.watermark.on_records(index, watermark_ms, now);
        }
        self.watermark.on_position(index, caught_up);
        if finished {
            self.watermark.on_finished(index);
        }
        if let Some(watermark_ms) = self.watermark.advance(now) {
            self.on_watermark(watermark_ms, Some(&chunk))?;
        }
        Ok(None)
    }

    /// Records that the log cannot give any more are reported by their place,
    /// and the job goes on: neither a restart nor the error policy brings them
    /// back.
    fn report_unreadable(&mut self, chunk: &FetchedRecords) {
        let partition = TopicPartition::new(self.names.dead_letters.clone(), 0);
        for range in &chunk.unreadable {
            let bytes_max = self.limits.dead_letters;
            let record = unreadable(&self.spec.id, &chunk.topic_partition, range, bytes_max);
            self.output.push(partition.clone(), record);
            self.counters.dead_letters += 1;
            self.dirty = true;
        }
    }

    fn on_records(&mut self, chunk: &FetchedRecords) -> Result<Option<i64>, JobError> {
        let mut context = self.context();
        let decoded = self.source.decode(chunk, &mut context)?;
        let rows_in = decoded.batch.len() as u64;
        let shared = shared_origins(&decoded.batch);
        let rows = self.chain.on_batch(decoded.batch, &mut context)?;
        self.rows_in += rows_in;
        self.emit(&rows, newest(chunk), &mut context)?;
        self.set_aside(context, Some(chunk), &shared)?;
        Ok(decoded.watermark_ms)
    }

    fn on_watermark(
        &mut self,
        watermark_ms: i64,
        cause: Option<&FetchedRecords>,
    ) -> Result<(), JobError> {
        let mut context = self.context();
        let rows = self.chain.on_watermark(watermark_ms, &mut context)?;
        self.emit(&rows, cause.and_then(newest), &mut context)?;
        // Rows that a watermark sets free have no record behind them.
        self.set_aside(context, None, &HashSet::new())
    }

    /// Event time that moves without records; true at the end of bounded
    /// input.
    fn advance_time(&mut self) -> Result<bool, JobError> {
        if let Some(watermark_ms) = self.watermark.advance(self.env.clock.monotonic()) {
            self.on_watermark(watermark_ms, None)?;
        }
        Ok(self.positions.iter().all(Position::is_finished))
    }

    fn context(&self) -> Context {
        Context {
            policy: self.spec.options.error_policy,
            ..Context::default()
        }
    }

    fn emit(
        &mut self,
        batches: &[Batch],
        input_ms: Option<i64>,
        context: &mut Context,
    ) -> Result<(), JobError> {
        for batch in batches {
            let mut records = self.sink.encode(batch, context)?;
            if let (Some((_, last)), Some(input_ms)) = (records.last_mut(), input_ms) {
                last.headers.push(input_time(input_ms));
                if last.batch_bytes() > self.limits.sink {
                    last.headers.pop();
                }
            }
            for (partition, record) in records {
                self.output.push(partition, record);
                self.output.sink_records += 1;
                self.rows_out += 1;
            }
        }
        Ok(())
    }

    fn set_aside(
        &mut self,
        context: Context,
        chunk: Option<&FetchedRecords>,
        shared: &HashSet<u32>,
    ) -> Result<(), JobError> {
        let (job, bytes_max) = (&self.spec.id, self.limits.dead_letters);
        let of_records = context
            .failures
            .iter()
            .filter_map(|failure| dead_letter(job, chunk?, failure, bytes_max));
        let of_rows = context
            .failed_rows
            .iter()
            .map(|failed| row_letter(job, failed, bytes_max));
        let partition = TopicPartition::new(self.names.dead_letters.clone(), 0);
        for letter in of_records.chain(of_rows) {
            self.output.push(partition.clone(), letter);
            self.counters.dead_letters += 1;
        }
        let partition = TopicPartition::new(self.names.late.clone(), 0);
        let late_records = LateRecords {
            table: &self.source_table,
            chunk,
            shared,
            bytes_max: self.limits.late,
        };
        for late in &context.late {
            for record in late_records.of(late) {
                self.output.push(partition.clone(), record);
                self.counters.late_records += 1;
            }
        }
        Ok(())
    }

    /// Commits the epoch; false where a topic takes less by now than this
    /// life knows: the next one sets aside what is too large.
    async fn commits(&mut self) -> Result<bool, JobError> {
        match self.commit_epoch().await {
            Err(JobError::Bus(BusError::TooLarge(reason))) => {
                let now = Limits::of(self.env.bus.as_ref(), self.spec, &self.names).await?;
                if now == self.limits {
                    return Err(BusError::TooLarge(reason).into());
                }
                tracing::info!(job = self.spec.id, reason, "a topic takes less than before");
                Ok(false)
            }
            committed => committed.map(|()| true),
        }
    }

    /// The barrier: everything since the last one becomes visible, or none.
    async fn commit_epoch(&mut self) -> Result<(), JobError> {
        let began = self.env.clock.monotonic();
        let mut state = self.chain.take_delta()?;
        let limit = self
            .spec
            .options
            .changelog_bytes_max
            .max(2 * self.snapshot_bytes);
        let whole = self.changelog_bytes > limit;
        let mut obsolete = None;
        if whole {
            // Nobody else writes here: all that is below the stable end now
            // is below the snapshot.
            let partition = self.names.changelog_partition();
            let at = std::slice::from_ref(&partition);
            let ends = self.env.bus.offsets(at, OffsetAt::LatestStable).await?;
            obsolete = ends.first().map(|end| (partition.clone(), *end));
            state = self.chain.snapshot()?;
        }
        self.check_budget()?;
        let output = std::mem::take(&mut self.output);
        let mut counters = self.counters;
        counters.out_records += output.sink_records;
        let control = self.control(counters);
        let changelog = changelog::records(&self.spec.id, &state, whole, &control)?;
        let bytes = changelog::bytes_of(&changelog);
        let offsets = self
            .positions
            .iter()
            .map(|p| (p.partition.clone(), p.next))
            .collect();
        let epoch = Epoch {
            output,
            changelog,
            offsets,
        };
        commit(self.writer.as_mut(), &self.names, epoch).await?;
        self.counters = counters;
        self.on_committed(began, whole, bytes);
        if let Some(obsolete) = obsolete {
            // A changelog that stays long is only slower to restore.
            let remove = [obsolete];
            let removal = self.env.bus.delete_records(&remove);
            let error = match tokio::time::timeout(ASIDE_WAIT_MAX, removal).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("not within {ASIDE_WAIT_MAX:?}")),
            };
            if let Some(error) = error {
                let job = &self.spec.id;
                tracing::warn!(job, error, "the changelog's old part was not removed");
            }
        }
        Ok(())
    }

    fn control(&self, counters: Counters) -> Control {
        Control {
            epoch: self.epoch,
            watermark_ms: self.watermark.current(),
            partitions: self
                .positions
                .iter()
                .zip(self.watermark.partitions())
                .map(|(p, watermark_ms)| p.stored(watermark_ms))
                .collect(),
            counters,
            finished: self.finished,
        }
    }

    fn on_committed(&mut self, began: Duration, whole: bool, changelog_bytes: u64) {
        let now = self.env.clock.monotonic();
        if whole {
            (self.changelog_bytes, self.snapshot_bytes) = (0, changelog_bytes);
        } else {
            self.changelog_bytes += changelog_bytes;
        }
        self.dirty = false;
        self.bytes_in = 0;
        self.committed_at = now;
        self.sink.next_epoch();
        let mut stats = self.stats.lock();
        stats.observe_commit(now.saturating_sub(began));
        self.note_committed(&mut stats.committed);
        stats.epoch = self.epoch;
        stats.counters = self.counters;
        stats.state_bytes = self.chain.state_bytes() as u64;
        stats.watermark_ms = self.watermark.current();
    }

    /// Where everything read so far ends: right after a commit or a restore,
    /// what is committed.
    fn note_committed(&self, committed: &mut Vec<Committed>) {
        if committed.len() != self.positions.len() {
            let of = |position: &Position| Committed {
                partition: position.partition.clone(),
                next: position.next,
                bound: position.bound,
            };
            *committed = self.positions.iter().map(of).collect();
        }
        for (committed, position) in committed.iter_mut().zip(&self.positions) {
            committed.next = position.next;
        }
    }

    fn check_budget(&mut self) -> Result<(), JobError> {
        let (bytes, limit) = (self.chain.state_bytes(), self.spec.options.state_bytes_max);
        if bytes > limit {
            return Err(JobError::StateBudget { bytes, limit });
        }
        let high = bytes > limit / 100 * STATE_WARN_PERCENT;
        if high && !self.warned {
            tracing::warn!(
                job = self.spec.id,
                bytes,
                limit,
                "the state nears its budget"
            );
        }
        self.warned = high;
        Ok(())
    }

    fn publish(&self, status: JobStatus) {
        {
            let mut stats = self.stats.lock();
            stats.status = status;
            stats.error = None;
            self.note_committed(&mut stats.committed);
            stats.epoch = self.epoch;
            stats.counters = self.counters;
            stats.watermark_ms = self.watermark.current();
            stats.state_bytes = self.chain.state_bytes() as u64;
        }
        self.observe();
    }

    fn observe(&self) {
        let sink = &self.spec.plan.sink;
        let sink_info = OperatorInfo {
            kind: "sink",
            label: sink.name.clone(),
            detail: format!(
                "topic {}, {}",
                sink.connector.topic, sink.connector.format.name
            ),
        };
        let mut operators = vec![(self.source_info.clone(), self.rows_in)];
        operators.extend(self.chain.operators());
        operators.push((sink_info, self.rows_out));
        let mut stats = self.stats.lock();
        stats.observe_operators(operators, self.env.clock.monotonic());
        stats.lag_records = Some(self.positions.iter().map(Position::lag).sum());
    }
}

/// Timestamp of the newest record.
fn newest(chunk: &FetchedRecords) -> Option<i64> {
    chunk.records.iter().map(|r| r.timestamp_ms).max()
}

/// Records that gave more rows than one.
fn shared_origins(batch: &Batch) -> HashSet<u32> {
    let Some(origins) = &batch.origins else {
        return HashSet::new();
    };
    // Rows come in the order of their records.
    origins
        .windows(2)
        .filter(|two| two.first() == two.last())
        .filter_map(|two| two.first().copied())
        .collect()
}

/// Input below the start of the log cannot come back.
fn lost(error: BusError) -> JobError {
    match error {
        BusError::OffsetOutOfRange {
            topic_partition,
            offset,
        } => JobError::InputLost {
            topic_partition: topic_partition.to_string(),
            offset: offset.0,
        },
        other => other.into(),
    }
}

fn source_watermark(
    positions: &[Position],
    control: Option<&Control>,
    table: &TableDef,
    env: &JobEnv,
) -> SourceWatermark {
    let marks: Vec<i64> = positions.iter().map(|p| p.watermark_ms).collect();
    let current = control.map_or(WATERMARK_NONE, |c| c.watermark_ms);
    let now = env.clock.monotonic();
    let mut watermark = SourceWatermark::new(&marks, current, table.connector.idle_timeout, now);
    for (i, position) in positions.iter().enumerate() {
        watermark.on_position(i, position.is_caught_up());
        if position.is_finished() {
            watermark.on_finished(i);
        }
    }
    watermark
}

fn source_info(table: &TableDef, partitions: usize) -> OperatorInfo {
    let mut detail = match partitions {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    };
    if let Some(watermark) = &table.watermark {
        detail.push_str(&format!(", watermark {}", watermark.expression));
    }
    if let Some(idle) = table.connector.idle_timeout {
        let ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        detail.push_str(&format!(", idle after {}", duration_label(ms)));
    }
    OperatorInfo {
        kind: "source",
        label: table.name.clone(),
        detail,
    }
}

/// Bytes that the topics which a job writes take in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    sink: usize,
    dead_letters: usize,
    late: usize,
}

impl Limits {
    async fn of(bus: &dyn Bus, spec: &JobSpec, names: &JobNames) -> Result<Self, JobError> {
        Ok(Self {
            sink: bus.batch_bytes_max(&spec.plan.sink.connector.topic).await?,
            dead_letters: bus.batch_bytes_max(&names.dead_letters).await?,
            late: bus.batch_bytes_max(&names.late).await?,
        })
    }
}

/// The topic that the job reads. Only a job that has never run makes it:
/// later, one of this name is another topic.
async fn source_topic(
    bus: &dyn Bus,
    spec: &JobSpec,
    table: &TableDef,
    has_run: bool,
) -> Result<TopicInfo, JobError> {
    let topic = &table.connector.topic;
    if !has_run {
        let partitions = table
            .connector
            .partitions
            .unwrap_or(spec.options.partitions_default);
        return Ok(ensure_topic(bus, topic, partitions, BTreeMap::new()).await?);
    }
    match bus.topic(topic).await {
        Err(BusError::UnknownTopic(_)) => Err(JobError::InputDeleted(topic.clone())),
        known => Ok(known?),
    }
}

async fn sink_topic(bus: &dyn Bus, spec: &JobSpec) -> Result<TopicInfo, JobError> {
    let connector = &spec.plan.sink.connector;
    let partitions = connector
        .partitions
        .unwrap_or(spec.options.partitions_default);
    Ok(ensure_topic(bus, &connector.topic, partitions, BTreeMap::new()).await?)
}

/// The topics that the job has for itself are there afterwards.
async fn ensure_own_topics(bus: &dyn Bus, names: &JobNames) -> Result<(), JobError> {
    let keep = |ms: &str, bytes: &str| {
        BTreeMap::from([
            ("retention.ms".to_owned(), ms.to_owned()),
            ("retention.bytes".to_owned(), bytes.to_owned()),
        ])
    };
    let bytes_max = SET_ASIDE_BYTES_MAX.to_string();
    for name in [&names.dead_letters, &names.late] {
        ensure_topic(bus, name, 1, keep("-1", &bytes_max)).await?;
    }
    // The job alone decides what of its state is no longer needed.
    ensure_topic(bus, &names.changelog, 1, keep("-1", "-1")).await?;
    Ok(())
}

/// The topic, created where it is not there.
pub(crate) async fn ensure_topic(
    bus: &dyn Bus,
    name: &str,
    partitions: i32,
    configs: BTreeMap<String, String>,
) -> Result<TopicInfo, BusError> {
    match bus.topic(name).await {
        Err(BusError::UnknownTopic(_)) => {}
        known => return known,
    }
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions,
        configs,
    };
    match bus.create_topic(spec).await {
        // Someone else was faster.
        Err(BusError::TopicExists(_)) => bus.topic(name).await,
        created => created,
    }
}
