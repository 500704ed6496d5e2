//! The classic group protocol as a pure state machine: events in, effects
//! out, no I/O, no clock of its own.
//!
//! ```text
//!            join                 all joined, or time is up
//!   Empty ---------> Preparing ---------------------------> Completing
//!     ^              Rebalance <--------------------------- Rebalance
//!     |                 ^   |   join, leave, expiry           |
//!     |                 |   | nobody came back                | the leader's
//!     +-----------------|---+                                 v assignment is durable
//!                       +-------------------------------- Stable
//! ```
//!
//! Invariants:
//! - a join or sync that is parked here (a [`Ticket`]) is answered exactly
//!   once, whatever happens to its member;
//! - an assignment is handed out only after the record that holds it is
//!   durable, so a coordinator that restarts knows every generation that a
//!   member may act in;
//! - the generation only grows.
//!
//! The rules are those of Kafka's classic coordinator (KIP-62 for the two
//! timeouts, KIP-134 for the initial delay, KIP-345 for static members,
//! KIP-394 for `MEMBER_ID_REQUIRED`, KIP-814 for skipped assignments).

use super::config::GroupConfig;
use super::error::GroupError;
use super::member::{Member, Protocol, Ticket};
use bytes::Bytes;
use millstream_core::env::Clock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The moment at which an event is handled.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Duration,
    /// For what is written down, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

impl Now {
    /// The moment that `clock` shows.
    pub fn of(clock: &dyn Clock) -> Self {
        Self {
            monotonic: clock.monotonic(),
            wall_ms: clock.now_ms(),
        }
    }
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; it may still have offsets.
    Empty,
    /// Waiting for all members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member may fetch its assignment.
    Stable,
    /// Being deleted.
    Dead,
}

impl GroupState {
    /// Kafka's name, as in DescribeGroups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// Names a record that the machine wants written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersistId(pub u64);

/// What the machine wants done.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Answer a parked JoinGroup.
    Joined(Ticket, Result<JoinOutcome, JoinRefusal>),
    /// Answer a parked SyncGroup.
    Synced(Ticket, Result<SyncOutcome, GroupError>),
    /// Write the group's record, then call [`ClassicGroup::persisted`].
    Persist(PersistId, GroupSnapshot),
}

/// The good end of a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinOutcome {
    /// The generation that the member is now in.
    pub generation: i32,
    /// Kind of protocol, such as `consumer`.
    pub protocol_type: String,
    /// The assignor chosen.
    pub protocol: String,
    /// Member id of the leader.
    pub leader: String,
    /// The member's own id.
    pub member_id: String,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
    /// KIP-814: the leader must not assign anew.
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Member id.
    pub id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// Subscription for the chosen assignor.
    pub metadata: Bytes,
}

/// The bad end of a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefusal {
    /// Why.
    pub error: GroupError,
    /// The id to join again with, or the one that was used.
    pub member_id: String,
}

/// The good end of a SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOutcome {
    /// Kind of protocol.
    pub protocol_type: String,
    /// The assignor chosen.
    pub protocol: String,
    /// The member's assignment.
    pub assignment: Bytes,
}

/// A group as it is written to `__consumer_offsets`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Kind of protocol; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Current generation.
    pub generation: i32,
    /// Assignor of the current generation.
    pub protocol: Option<String>,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// When the group came into its state, in milliseconds since the epoch.
    pub state_timestamp_ms: i64,
    /// The members, by id.
    pub members: Vec<MemberSnapshot>,
}

/// A member as it is written to `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSnapshot {
    /// Member id.
    pub id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Address it connects from.
    pub client_host: String,
    /// Time it has to join again.
    pub rebalance_timeout: Duration,
    /// Time it may be silent.
    pub session_timeout: Duration,
    /// Subscription for the chosen assignor.
    pub subscription: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// Why a record is being written, and what to do when it is.
#[derive(Debug)]
pub(super) enum PersistReason {
    /// The leader's assignment, to be handed out.
    Assignment {
        generation: i32,
        assignments: HashMap<String, Bytes>,
    },
    /// The generation without members.
    Emptied,
    /// A static member came back under a new id and nothing else changed.
    StaticReplaced {
        member_id: String,
        previous: Box<Member>,
        old_leader: String,
        skip: bool,
        /// A rebalance is owed, see `handover.rs`.
        owed: bool,
    },
}

/// The wait for members in PreparingRebalance.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinPhase {
    pub(super) deadline: Duration,
    /// KIP-134: a new group waits on while members keep arriving; this much
    /// is left of the rebalance timeout.
    pub(super) initial_remaining: Option<Duration>,
}

/// A classic group. See the module's documentation.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) config: Arc<GroupConfig>,
    pub(super) state: GroupState,
    pub(super) state_timestamp_ms: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) static_members: HashMap<String, String>,
    /// Ids given out under KIP-394 that have not joined yet, with deadlines.
    pub(super) pending_members: HashMap<String, Duration>,
    pub(super) join_phase: Option<JoinPhase>,
    pub(super) new_member_added: bool,
    pub(super) sync_deadline: Option<Duration>,
    pub(super) persist_next: u64,
    pub(super) persisting: HashMap<PersistId, PersistReason>,
    pub(super) effects: Vec<Effect>,
}

impl ClassicGroup {
    /// An empty group.
    pub fn new(config: Arc<GroupConfig>, now: Now) -> Self {
        Self {
            config,
            state: GroupState::Empty,
            state_timestamp_ms: now.wall_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_members: HashMap::new(),
            join_phase: None,
            new_member_added: false,
            sync_deadline: None,
            persist_next: 0,
            persisting: HashMap::new(),
            effects: Vec::new(),
        }
    }

    /// Whether it is as [`new`](Self::new) made it.
    pub(super) fn is_untouched(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == 0
            && self.members.is_empty()
            && self.pending_members.is_empty()
            && self.persisting.is_empty()
    }

    /// A group as a record of `__consumer_offsets` left it. Its members get a
    /// whole session to come back.
    pub fn restore(config: Arc<GroupConfig>, snapshot: GroupSnapshot, now: Now) -> Self {
        let mut group = Self::new(config, now);
        group.generation = snapshot.generation;
        group.protocol_type =
            Some(snapshot.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        group.state_timestamp_ms = snapshot.state_timestamp_ms;
        if snapshot.members.is_empty() {
            return group;
        }
        group.state = GroupState::Stable;
        group.leader = snapshot.leader;
        let protocol = snapshot.protocol.unwrap_or_default();
        for member in snapshot.members {
            group.restore_member(member, &protocol, now);
        }
        group.protocol = Some(protocol);
        group
    }

    fn restore_member(&mut self, member: MemberSnapshot, protocol: &str, now: Now) {
        if let Some(instance) = &member.instance_id {
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        let restored = Member {
            id: member.id.clone(),
            instance_id: member.instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            session_timeout: member.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: vec![Protocol {
                name: protocol.to_owned(),
                metadata: member.subscription,
            }],
            assignment: member.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            synced_generation: self.generation,
            expires_at: now.monotonic + member.session_timeout,
        };
        self.members.insert(member.id, restored);
    }

    /// Gives the members of a group that was a consumer group the assignors
    /// that they offer, and has all of them join anew (KIP-848).
    pub(super) fn set_protocols(
        &mut self,
        protocols: impl Iterator<Item = (String, Vec<Protocol>)>,
    ) {
        for (id, protocols) in protocols {
            if let Some(member) = self.members.get_mut(&id) {
                member.protocols = protocols;
            }
        }
        self.protocol = self.select_protocol();
    }

    /// Has every member join anew.
    pub fn rejoin_all(&mut self, now: Now) -> Vec<Effect> {
        self.rebalance(now);
        self.take_effects()
    }

    /// Where the group stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// When it came to stand there, in milliseconds since the Unix epoch.
    pub fn state_timestamp_ms(&self) -> i64 {
        self.state_timestamp_ms
    }

    /// The current generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Kind of protocol, such as `consumer`; none for a group that only has
    /// offsets.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The assignor of the current generation.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Whether nobody is in it and nobody is about to be.
    pub fn is_unused(&self) -> bool {
        matches!(self.state, GroupState::Empty | GroupState::Dead)
            && self.pending_members.is_empty()
    }

    /// The next moment at which [`ClassicGroup::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let members = self.members.values().filter_map(Member::expiry);
        let pending = self.pending_members.values().copied();
        let phases = self.join_phase.map(|phase| phase.deadline).into_iter();
        members
            .chain(pending)
            .chain(phases)
            .chain(self.sync_deadline)
            .min()
    }

    /// Handles every deadline that has passed.
    pub fn tick(&mut self, now: Now) -> Vec<Effect> {
        self.expire_members(now);
        self.expire_sync(now);
        self.expire_join(now);
        self.take_effects()
    }

    /// Turns the group dead before its records are deleted; only one without
    /// members can. Who has been given an id and has not come back with it
    /// (KIP-394) is none yet.
    pub fn kill(&mut self, now: Now) -> Result<(), GroupError> {
        if !matches!(self.state, GroupState::Empty | GroupState::Dead) {
            return Err(GroupError::NonEmptyGroup);
        }
        self.transition(GroupState::Dead, now);
        Ok(())
    }

    /// Takes [`ClassicGroup::kill`] back: its tombstone could not be written.
    pub fn revive(&mut self, now: Now) {
        if self.state == GroupState::Dead && self.members.is_empty() {
            self.transition(GroupState::Empty, now);
        }
    }

    /// Answers everything that waits with `error`: this node no longer
    /// coordinates the group.
    pub fn resign(&mut self, error: GroupError, now: Now) -> Vec<Effect> {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join_refused(&id, error);
            self.answer_sync_refused(&id, error);
        }
        self.members.clear();
        self.static_members.clear();
        self.pending_members.clear();
        self.join_phase = None;
        self.sync_deadline = None;
        self.transition(GroupState::Dead, now);
        self.take_effects()
    }

    /// The group as it is to be written now.
    pub fn snapshot(&self) -> GroupSnapshot {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self
            .members
            .values()
            .map(|member| MemberSnapshot {
                id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout,
                session_timeout: member.session_timeout,
                subscription: member.metadata_for(protocol),
                assignment: member.assignment.clone(),
            })
            .collect();
        GroupSnapshot {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms,
            members,
        }
    }

    pub(super) fn transition(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_timestamp_ms = now.wall_ms;
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn persist(&mut self, reason: PersistReason, snapshot: GroupSnapshot) {
        let id = PersistId(self.persist_next);
        self.persist_next += 1;
        self.persisting.insert(id, reason);
        self.effects.push(Effect::Persist(id, snapshot));
    }

    /// Longest rebalance timeout of the members.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members
            .values()
            .map(|m| m.rebalance_timeout)
            .max()
            .unwrap_or_default()
    }

    /// Checks that a request comes from the current holder of the member id
    /// and of the instance id.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance_id {
            return match self.static_members.get(instance) {
                None => Err(GroupError::UnknownMember),
                Some(holder) if holder != member_id => Err(GroupError::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    pub(super) fn renew_session(&mut self, member_id: &str, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires_at = now.monotonic + member.session_timeout;
        }
    }

    pub(super) fn answer_join_refused(&mut self, member_id: &str, error: GroupError) {
        let Some(ticket) = self
            .members
            .get_mut(member_id)
            .and_then(|m| m.awaiting_join.take())
        else {
            return;
        };
        let refusal = JoinRefusal {
            error,
            member_id: member_id.to_owned(),
        };
        self.effects.push(Effect::Joined(ticket, Err(refusal)));
    }

    pub(super) fn answer_sync_refused(&mut self, member_id: &str, error: GroupError) {
        let waiting = self
            .members
            .get_mut(member_id)
            .and_then(|m| m.awaiting_sync.take());
        if let Some(ticket) = waiting {
            self.effects.push(Effect::Synced(ticket, Err(error)));
        }
    }
}
