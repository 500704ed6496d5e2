//! Consumer groups: lag in records and in time, and what it means.

use crate::inputs::{GroupInput, Inputs, MemberView};
use crate::rates::{History, Rate};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Lag in time above which a group is behind, in milliseconds.
const BEHIND_MS: i64 = 5_000;
/// Without a commit for this long, with records waiting, a group has stopped.
const STOPPED_MS: i64 = 60_000;
/// Without members and without a commit for this long, a group was left: it
/// is no news any more.
const LEFT_MS: i64 = 3_600_000;
/// Lag readings kept of each group: 30 minutes of one every 10 s.
const LAG_HISTORY_MAX: usize = 180;
/// Seconds between two readings of the lag history.
const LAG_HISTORY_STEP: u64 = 10;

/// How a group does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// Lag in time is small.
    #[default]
    KeepingUp,
    /// Lag in time is not small.
    Behind,
    /// Records wait and nobody commits.
    Stopped,
    /// Partitions are being reassigned.
    Rebalancing,
    /// Records wait, and for long there have been neither members nor
    /// commits.
    Left,
    /// No members, nothing waits.
    Idle,
}

impl GroupState {
    /// How bad, the same on every page: `ok`, `warn`, `critical`,
    /// `transition` or `idle`.
    pub fn severity(self) -> &'static str {
        match self {
            Self::KeepingUp => "ok",
            Self::Behind | Self::Left => "warn",
            Self::Stopped => "critical",
            Self::Rebalancing => "transition",
            Self::Idle => "idle",
        }
    }
}

/// A group as pages show it; see the HTTP API's Group document.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GroupView {
    /// Group id.
    pub group: String,
    /// How it does.
    pub state: GroupState,
    /// How bad that is, see [`GroupState::severity`].
    pub severity: &'static str,
    /// Kafka's word for it.
    pub kafka_state: String,
    /// Chosen assignor.
    pub protocol: String,
    /// Members.
    pub members_count: usize,
    /// Topics with committed offsets.
    pub topics: Vec<String>,
    /// Records not consumed yet, over all partitions.
    pub lag_records: i64,
    /// Age of the oldest record not consumed yet, in milliseconds.
    pub lag_ms: i64,
    /// `lag_ms`, one reading every 10 s, oldest first.
    pub lag_history: Vec<f64>,
    /// Records a second that arrive in its partitions.
    pub arrives_per_s: f64,
    /// Records a second that it commits.
    pub consumes_per_s: f64,
    /// When it will have caught up at these rates; `None` is never, or
    /// nothing to catch up with.
    pub clears_in_ms: Option<i64>,
    /// Newest commit; `None` when it never committed.
    pub last_commit_ms: Option<i64>,
    /// Why it is not keeping up, in numbers.
    pub reason: Option<String>,
    /// Members.
    pub members: Vec<MemberView>,
    /// Lag by partition.
    pub partitions: Vec<GroupPartitionView>,
}

/// One partition of a group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupPartitionView {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next offset to read.
    pub committed: i64,
    /// The high watermark.
    pub end: i64,
    /// Records not consumed yet.
    pub lag_records: i64,
    /// Age of the oldest of them, in milliseconds.
    pub lag_ms: i64,
    /// Who owns it.
    pub member: Option<String>,
}

/// What is remembered of each group between readings.
#[derive(Debug)]
struct Memory {
    arrived: Rate,
    consumed: Rate,
    lag: History,
    readings: u64,
}

/// Follows all groups.
#[derive(Debug, Default)]
pub struct GroupMonitor {
    memory: HashMap<String, Memory>,
}

impl GroupMonitor {
    /// One reading of all groups; forgets those that are gone.
    pub fn observe(&mut self, inputs: &Inputs) -> Vec<GroupView> {
        let ends: HashMap<(&str, i32), (i64, i64)> = inputs
            .topics
            .iter()
            .flat_map(|t| {
                t.partitions.iter().map(move |p| {
                    (
                        (t.name.as_str(), p.partition),
                        (p.log_start_offset, p.high_watermark),
                    )
                })
            })
            .collect();
        let there: HashSet<&str> = inputs.groups.iter().map(|g| g.group.as_str()).collect();
        self.memory.retain(|name, _| there.contains(name.as_str()));
        let mut views: Vec<GroupView> = inputs
            .groups
            .iter()
            .map(|g| self.observe_one(inputs.now_ms, g, &ends))
            .collect();
        views.sort_by(|a, b| b.lag_ms.cmp(&a.lag_ms).then_with(|| a.group.cmp(&b.group)));
        views
    }

    fn observe_one(
        &mut self,
        now_ms: i64,
        group: &GroupInput,
        ends: &HashMap<(&str, i32), (i64, i64)>,
    ) -> GroupView {
        let partitions = partitions(now_ms, group, ends);
        let lag_records = partitions.iter().map(|p| p.lag_records).sum();
        let lag_ms = partitions.iter().map(|p| p.lag_ms).max().unwrap_or(0);
        let last_commit_ms = group.offsets.iter().map(|o| o.commit_timestamp_ms).max();
        let memory = self
            .memory
            .entry(group.group.clone())
            .or_insert_with(|| Memory {
                arrived: Rate::default(),
                consumed: Rate::default(),
                lag: History::new(LAG_HISTORY_MAX),
                readings: 0,
            });
        let total = |f: fn(&GroupPartitionView) -> i64| {
            u64::try_from(partitions.iter().map(f).sum::<i64>()).unwrap_or(0)
        };
        let arrives_per_s = memory.arrived.observe(now_ms, total(|p| p.end));
        let consumes_per_s = memory.consumed.observe(now_ms, total(|p| p.committed));
        if memory.readings.is_multiple_of(LAG_HISTORY_STEP) {
            memory.lag.push(lag_ms as f64);
        }
        memory.readings += 1;
        let state = state(now_ms, group, lag_records, lag_ms, last_commit_ms);
        let gain = consumes_per_s - arrives_per_s;
        let clears_in_ms =
            (lag_records > 0 && gain > 0.0).then(|| (lag_records as f64 / gain * 1_000.0) as i64);
        let mut topics: Vec<String> = partitions.iter().map(|p| p.topic.clone()).collect();
        topics.dedup();
        GroupView {
            group: group.group.clone(),
            state,
            severity: state.severity(),
            kafka_state: group.kafka_state.clone(),
            protocol: group.protocol.clone(),
            members_count: group.members.len(),
            topics,
            lag_records,
            lag_ms,
            lag_history: memory.lag.to_vec(),
            arrives_per_s,
            consumes_per_s,
            clears_in_ms,
            last_commit_ms,
            reason: reason(state, consumes_per_s, arrives_per_s, group.members.len()),
            members: group.members.clone(),
            partitions,
        }
    }
}

fn partitions(
    now_ms: i64,
    group: &GroupInput,
    ends: &HashMap<(&str, i32), (i64, i64)>,
) -> Vec<GroupPartitionView> {
    let mut views: Vec<GroupPartitionView> = group
        .offsets
        .iter()
        .filter_map(|o| {
            let (start, end) = *ends.get(&(o.topic.as_str(), o.partition))?;
            // What retention has removed can no longer be consumed.
            let lag_records = match o.is_caught_up {
                true => 0,
                false => (end - o.committed.max(start)).max(0),
            };
            let lag_ms = match o.oldest_unread_ms {
                Some(at) if lag_records > 0 => (now_ms - at).max(0),
                _ => 0,
            };
            let member = group.members.iter().find(|m| {
                m.assignments
                    .iter()
                    .any(|a| a.topic == o.topic && a.partitions.contains(&o.partition))
            });
            Some(GroupPartitionView {
                topic: o.topic.clone(),
                partition: o.partition,
                committed: o.committed,
                end,
                lag_records,
                lag_ms,
                member: member.map(|m| m.id.clone()),
            })
        })
        .collect();
    views.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    views
}

fn state(
    now_ms: i64,
    group: &GroupInput,
    lag_records: i64,
    lag_ms: i64,
    last_commit_ms: Option<i64>,
) -> GroupState {
    let state = group.kafka_state.as_str();
    // The two words of KIP-848 for it are the last.
    if state.contains("Rebalance") || matches!(state, "Assigning" | "Reconciling") {
        return GroupState::Rebalancing;
    }
    let silent_for = |ms: i64| last_commit_ms.is_none_or(|at| now_ms - at > ms);
    match lag_records {
        0 if group.members.is_empty() => GroupState::Idle,
        0 => GroupState::KeepingUp,
        _ if group.members.is_empty() && silent_for(LEFT_MS) => GroupState::Left,
        _ if silent_for(STOPPED_MS) && lag_ms > STOPPED_MS => GroupState::Stopped,
        _ if lag_ms > BEHIND_MS => GroupState::Behind,
        _ => GroupState::KeepingUp,
    }
}

fn reason(state: GroupState, consumes: f64, arrives: f64, members: usize) -> Option<String> {
    match state {
        GroupState::Behind if consumes < arrives => Some(format!(
            "consumes {consumes:.1} of {arrives:.1} records/s that arrive"
        )),
        GroupState::Behind => Some(format!("catching up: {consumes:.1} records/s")),
        GroupState::Stopped if members == 0 => Some("has no members".into()),
        GroupState::Stopped => Some("has members but does not commit".into()),
        GroupState::Left => Some("has had no members and no commit for over an hour".into()),
        GroupState::KeepingUp | GroupState::Rebalancing | GroupState::Idle => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{CommittedInput, PartitionInput, TopicInput};

    fn inputs(now_ms: i64, end: i64, committed: i64, oldest_unread_ms: Option<i64>) -> Inputs {
        Inputs {
            now_ms,
            topics: vec![TopicInput {
                name: "orders".into(),
                partitions: vec![PartitionInput {
                    high_watermark: end,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            groups: vec![GroupInput {
                group: "audit".into(),
                kafka_state: "Stable".into(),
                members: vec![MemberView {
                    id: "m".into(),
                    ..Default::default()
                }],
                offsets: vec![CommittedInput {
                    topic: "orders".into(),
                    committed,
                    commit_timestamp_ms: now_ms - 500,
                    oldest_unread_ms,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn lag_in_time_is_the_age_of_the_oldest_unread_record() {
        let mut monitor = GroupMonitor::default();
        monitor.observe(&inputs(1_000, 100, 50, Some(900)));
        let view = &monitor.observe(&inputs(11_000, 300, 90, Some(1_000)))[0];
        assert_eq!((view.lag_records, view.lag_ms), (210, 10_000));
        assert_eq!(view.state, GroupState::Behind);
        assert_eq!((view.arrives_per_s, view.consumes_per_s), (20.0, 4.0));
        assert_eq!(
            view.clears_in_ms, None,
            "it never clears while more arrives than it consumes"
        );
        assert_eq!(
            view.reason.as_deref(),
            Some("consumes 4.0 of 20.0 records/s that arrive")
        );
    }

    #[test]
    fn a_group_that_gains_says_when_it_clears() {
        let mut monitor = GroupMonitor::default();
        monitor.observe(&inputs(1_000, 1_000, 0, Some(900)));
        let view = &monitor.observe(&inputs(2_000, 1_000, 500, Some(1_500)))[0];
        assert_eq!(view.clears_in_ms, Some(1_000));
        assert_eq!(view.state, GroupState::KeepingUp);
    }

    #[test]
    fn markers_and_aborted_records_are_no_lag() {
        let hour_ms = 3_600_000;
        let mut inputs = inputs(hour_ms, 100, 99, None);
        inputs.groups[0].offsets[0].is_caught_up = true;
        inputs.groups[0].offsets[0].commit_timestamp_ms = 0;
        inputs.groups[0].members.clear();
        let view = &GroupMonitor::default().observe(&inputs)[0];
        assert_eq!(
            (view.lag_records, view.lag_ms, view.state),
            (0, 0, GroupState::Idle)
        );
    }

    #[test]
    fn nothing_unread_is_no_lag() {
        let view = &GroupMonitor::default().observe(&inputs(1_000, 100, 100, None))[0];
        assert_eq!(
            (view.lag_records, view.lag_ms, view.state),
            (0, 0, GroupState::KeepingUp)
        );
    }

    #[test]
    fn a_group_that_loses_its_members_stops_and_is_left_after_an_hour() {
        let hour_ms = 3_600_000;
        let state_after = |silent_ms: i64, members: bool| {
            let now_ms = 10 * hour_ms;
            let mut inputs = inputs(now_ms, 100, 50, Some(now_ms - silent_ms));
            let group = &mut inputs.groups[0];
            group.offsets[0].commit_timestamp_ms = now_ms - silent_ms;
            if !members {
                group.members.clear();
                group.kafka_state = "Empty".into();
            }
            let view = GroupMonitor::default().observe(&inputs).remove(0);
            (view.state, view.severity)
        };
        assert_eq!(
            state_after(120_000, false),
            (GroupState::Stopped, "critical")
        );
        assert_eq!(state_after(hour_ms + 1, false), (GroupState::Left, "warn"));
        assert_eq!(
            state_after(hour_ms + 1, true),
            (GroupState::Stopped, "critical")
        );
    }
}
