mod bounds;
mod static_members;

use super::*;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Drives a group and plays its journal: records are durable at once unless
/// a test holds them.
struct Driver {
    group: ClassicGroup,
    now_ms: u64,
    tickets: u64,
    ids: u64,
    hold_records: bool,
    held: Vec<PersistId>,
    records: Vec<GroupSnapshot>,
    joined: Vec<(Ticket, Result<JoinOutcome, JoinRefusal>)>,
    synced: Vec<(Ticket, Result<SyncOutcome, GroupError>)>,
}

impl Driver {
    fn new() -> Self {
        Self::with(GroupConfig {
            initial_rebalance_delay: Duration::ZERO,
            ..Default::default()
        })
    }

    fn with(config: GroupConfig) -> Self {
        let now = Now {
            monotonic: Duration::ZERO,
            wall_ms: 0,
        };
        Self::of(ClassicGroup::new(Arc::new(config), now))
    }

    fn of(group: ClassicGroup) -> Self {
        Self {
            group,
            now_ms: 0,
            tickets: 0,
            ids: 0,
            hold_records: false,
            held: Vec::new(),
            records: Vec::new(),
            joined: Vec::new(),
            synced: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Duration::from_millis(self.now_ms),
            wall_ms: self.now_ms as i64,
        }
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Joined(ticket, result) => self.joined.push((ticket, result)),
                Effect::Synced(ticket, result) => self.synced.push((ticket, result)),
                Effect::Persist(id, snapshot) => {
                    self.records.push(snapshot);
                    if self.hold_records {
                        self.held.push(id);
                    } else {
                        let more = self.group.persisted(id, Ok(()), self.now());
                        self.take(more);
                    }
                }
            }
        }
    }

    fn release_records(&mut self, result: Result<(), GroupError>) {
        for id in std::mem::take(&mut self.held) {
            let effects = self.group.persisted(id, result, self.now());
            self.take(effects);
        }
    }

    fn join(&mut self, request: JoinRequest) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let effects = self.group.join(request, ticket, self.now());
        self.take(effects);
        ticket
    }

    fn request(&mut self, member_id: &str) -> JoinRequest {
        self.ids += 1;
        JoinRequest {
            member_id: member_id.to_owned(),
            instance_id: None,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(60),
            protocol_type: "consumer".into(),
            protocols: vec![protocol("range", "sub")],
            fresh_member_id: format!("client-{}", self.ids),
            requires_known_member_id: false,
            supports_skip_assignment: false,
        }
    }

    fn join_as(&mut self, member_id: &str) -> Ticket {
        let request = self.request(member_id);
        self.join(request)
    }

    fn join_static(&mut self, instance: &str, member_id: &str) -> Ticket {
        let mut request = self.request(member_id);
        request.instance_id = Some(instance.into());
        self.join(request)
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Ticket {
        let assignments = assignments
            .iter()
            .map(|(id, a)| ((*id).to_owned(), Bytes::copy_from_slice(a.as_bytes())));
        self.sync_with(member, generation, assignments.collect())
    }

    fn sync_with(
        &mut self,
        member: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    ) -> Ticket {
        let request = SyncRequest {
            member_id: member.into(),
            instance_id: None,
            generation,
            protocol_type: Some("consumer".into()),
            protocol: None,
            assignments,
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let effects = self.group.sync(request, ticket, self.now());
        self.take(effects);
        ticket
    }

    fn leave(&mut self, member: &str, instance: Option<&str>) -> Result<String, GroupError> {
        let (result, effects) = self.group.leave(member, instance, self.now());
        self.take(effects);
        result
    }

    /// Moves the clock, stopping at every deadline on the way.
    fn advance(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(deadline) = self.group.next_deadline() {
            let deadline_ms = deadline.as_millis() as u64;
            if deadline_ms > end {
                break;
            }
            self.now_ms = self.now_ms.max(deadline_ms);
            let effects = self.group.tick(self.now());
            self.take(effects);
        }
        self.now_ms = end;
    }

    fn beat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        self.group.heartbeat(member, None, generation, self.now())
    }

    fn joined(&self, ticket: Ticket) -> Option<&Result<JoinOutcome, JoinRefusal>> {
        self.joined
            .iter()
            .find(|(t, _)| *t == ticket)
            .map(|(_, result)| result)
    }

    fn outcome(&self, ticket: Ticket) -> JoinOutcome {
        self.joined(ticket)
            .expect("not answered")
            .clone()
            .expect("refused")
    }

    fn refusal(&self, ticket: Ticket) -> GroupError {
        self.joined(ticket)
            .expect("not answered")
            .clone()
            .expect_err("accepted")
            .error
    }

    fn synced(&self, ticket: Ticket) -> Option<Result<SyncOutcome, GroupError>> {
        self.synced
            .iter()
            .find(|(t, _)| *t == ticket)
            .map(|(_, result)| result.clone())
    }

    fn assignment(&self, ticket: Ticket) -> String {
        let outcome = self.synced(ticket).expect("not answered").expect("refused");
        String::from_utf8(outcome.assignment.to_vec()).unwrap()
    }

    /// A stable group of two; returns leader and follower.
    fn stable_pair(&mut self) -> (String, String) {
        let a = self.join_as("");
        let leader = self.outcome(a).member_id;
        self.sync(&leader, 1, &[(&leader, "all")]);
        let b = self.join_as("");
        self.join_as(&leader);
        let follower = self.outcome(b).member_id;
        self.sync(&leader, 2, &[(&leader, "one"), (&follower, "two")]);
        self.sync(&follower, 2, &[]);
        assert_eq!(self.group.state(), GroupState::Stable);
        (leader, follower)
    }
}

fn protocol(name: &str, metadata: &str) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
    }
}

#[test]
fn a_lone_member_joins_leads_and_gets_its_own_assignment() {
    let mut d = Driver::new();
    let ticket = d.join_as("");
    let outcome = d.outcome(ticket);
    assert_eq!(outcome.generation, 1);
    assert_eq!(outcome.leader, outcome.member_id);
    assert_eq!(outcome.protocol, "range");
    assert_eq!(outcome.members.len(), 1);
    let sync = d.sync(&outcome.member_id, 1, &[(&outcome.member_id, "p0,p1")]);
    assert_eq!(d.assignment(sync), "p0,p1");
    assert_eq!(d.group.state(), GroupState::Stable);
    assert_eq!(d.records.last().unwrap().members[0].assignment, "p0,p1");
}

#[test]
fn an_unknown_dynamic_member_is_told_its_id_and_comes_again() {
    let mut d = Driver::new();
    let mut request = d.request("");
    request.requires_known_member_id = true;
    let first = d.join(request);
    let refusal = d.joined(first).unwrap().clone().unwrap_err();
    assert_eq!(refusal.error, GroupError::MemberIdRequired);
    assert_eq!(d.group.state(), GroupState::Empty, "no rebalance yet");
    let second = d.join_as(&refusal.member_id);
    assert_eq!(d.outcome(second).member_id, refusal.member_id);
}

#[test]
fn a_second_member_makes_the_group_rebalance() {
    let mut d = Driver::new();
    let a = d.join_as("");
    let leader = d.outcome(a).member_id;
    d.sync(&leader, 1, &[(&leader, "all")]);
    let b = d.join_as("");
    assert!(d.joined(b).is_none(), "waits for the leader");
    assert_eq!(d.beat(&leader, 1), Err(GroupError::RebalanceInProgress));
    let again = d.join_as(&leader);
    let (outcome, follower) = (d.outcome(again), d.outcome(b));
    assert_eq!((outcome.generation, follower.generation), (2, 2));
    assert_eq!(outcome.members.len(), 2);
    assert!(follower.members.is_empty(), "only the leader assigns");
    let follower_sync = d.sync(&follower.member_id, 2, &[]);
    assert!(
        d.synced(follower_sync).is_none(),
        "waits for the leader's assignment"
    );
    let leader_sync = d.sync(
        &leader,
        2,
        &[
            (&leader, "one"),
            (&follower.member_id, "two"),
            ("stranger", "x"),
        ],
    );
    assert_eq!(
        (d.assignment(leader_sync), d.assignment(follower_sync)),
        ("one".into(), "two".into())
    );
    assert_eq!(d.beat(&leader, 2), Ok(()));
    assert_eq!(d.beat(&leader, 1), Err(GroupError::IllegalGeneration));
}

#[test]
fn assignments_are_handed_out_only_when_they_are_durable() {
    let mut d = Driver::new();
    let a = d.join_as("");
    let leader = d.outcome(a).member_id;
    d.hold_records = true;
    let sync = d.sync(&leader, 1, &[(&leader, "all")]);
    assert!(d.synced(sync).is_none());
    assert_eq!(d.group.state(), GroupState::CompletingRebalance);
    d.release_records(Ok(()));
    assert_eq!(d.assignment(sync), "all");
}

#[test]
fn an_assignment_that_cannot_be_written_sends_the_members_to_join_again() {
    let mut d = Driver::new();
    let a = d.join_as("");
    let leader = d.outcome(a).member_id;
    d.hold_records = true;
    let sync = d.sync(&leader, 1, &[(&leader, "all")]);
    d.release_records(Err(GroupError::NotAvailable));
    assert_eq!(d.synced(sync), Some(Err(GroupError::NotAvailable)));
    assert_eq!(d.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_assignment_of_a_generation_that_has_passed_is_void() {
    let mut d = Driver::new();
    let a = d.join_as("");
    let leader = d.outcome(a).member_id;
    d.hold_records = true;
    let sync = d.sync(&leader, 1, &[(&leader, "all")]);
    d.join_as("");
    assert_eq!(d.synced(sync), Some(Err(GroupError::RebalanceInProgress)));
    d.release_records(Ok(()));
    assert_eq!(d.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_follower_with_the_same_subscription_joins_a_stable_group_without_a_rebalance() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    let again = d.join_as(&follower);
    assert_eq!(d.outcome(again).generation, 2);
    let mut changed = d.request(&follower);
    changed.protocols = vec![protocol("range", "other topics")];
    let changed = d.join(changed);
    assert!(d.joined(changed).is_none());
    d.join_as(&leader);
    assert_eq!(d.outcome(changed).generation, 3);
}

#[test]
fn a_leader_that_joins_again_makes_a_stable_group_rebalance() {
    let mut d = Driver::new();
    let (leader, _) = d.stable_pair();
    let again = d.join_as(&leader);
    assert!(d.joined(again).is_none());
    assert_eq!(d.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_lost_join_answer_is_given_again() {
    let mut d = Driver::new();
    let a = d.join_as("");
    let leader = d.outcome(a).member_id;
    let again = d.join_as(&leader);
    assert_eq!(d.outcome(again).generation, 1);
    assert_eq!(d.outcome(again).members.len(), 1);
}

#[test]
fn a_retried_join_answers_the_older_request_too() {
    let mut d = Driver::new();
    let (leader, _) = d.stable_pair();
    let lost = d.join_as(&leader);
    let retried = d.join_as(&leader);
    assert_eq!(d.refusal(lost), GroupError::RebalanceInProgress);
    assert!(d.joined(retried).is_none());
}

#[test]
fn a_leaving_member_makes_the_rest_rebalance_and_the_last_one_empties_the_group() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    assert_eq!(d.leave(&follower, None), Ok(follower.clone()));
    assert_eq!(d.beat(&leader, 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(d.leave(&follower, None), Err(GroupError::UnknownMember));
    assert_eq!(d.leave(&leader, None), Ok(leader));
    assert_eq!(d.group.state(), GroupState::Empty);
    let record = d.records.last().unwrap();
    assert!(record.members.is_empty());
    assert_eq!(
        record.protocol_type, "consumer",
        "an empty group keeps its type"
    );
    assert_eq!(record.generation, 3, "the generation grows");
}

#[test]
fn a_pending_member_can_leave() {
    let mut d = Driver::new();
    let mut request = d.request("");
    request.requires_known_member_id = true;
    let ticket = d.join(request);
    let id = d.joined(ticket).unwrap().clone().unwrap_err().member_id;
    assert_eq!(d.leave(&id, None), Ok(id));
    assert!(d.group.is_unused());
}

#[test]
fn members_must_share_an_assignor_and_the_type() {
    let mut d = Driver::new();
    d.stable_pair();
    let mut other = d.request("");
    other.protocols = vec![protocol("sticky", "sub")];
    let other = d.join(other);
    assert_eq!(d.refusal(other), GroupError::InconsistentProtocol);
    let mut connect = d.request("");
    connect.protocol_type = "connect".into();
    let connect = d.join(connect);
    assert_eq!(d.refusal(connect), GroupError::InconsistentProtocol);
    let mut none = d.request("");
    none.protocols.clear();
    let none = d.join(none);
    assert_eq!(d.refusal(none), GroupError::InconsistentProtocol);
}

#[test]
fn the_assignor_that_all_offer_and_most_prefer_wins() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::from_millis(10),
        ..Default::default()
    });
    let offers = [["a", "b", "c"], ["c", "b", "x"], ["c", "b", "y"]];
    let tickets: Vec<Ticket> = offers
        .iter()
        .map(|names| {
            let mut request = d.request("");
            request.protocols = names.iter().map(|n| protocol(n, n)).collect();
            d.join(request)
        })
        .collect();
    d.advance(30);
    // `a` is not offered by all; the first choice among b and c is b once and
    // c twice.
    assert_eq!(d.outcome(tickets[0]).protocol, "c");
}

#[test]
fn a_sync_is_held_to_member_generation_and_protocol() {
    let mut d = Driver::new();
    let (leader, _) = d.stable_pair();
    let stranger = d.sync("nobody", 2, &[]);
    assert_eq!(d.synced(stranger), Some(Err(GroupError::UnknownMember)));
    let old = d.sync(&leader, 1, &[]);
    assert_eq!(d.synced(old), Some(Err(GroupError::IllegalGeneration)));
    let request = SyncRequest {
        member_id: leader,
        instance_id: None,
        generation: 2,
        protocol_type: Some("connect".into()),
        protocol: None,
        assignments: vec![],
    };
    let effects = d.group.sync(request, Ticket(900), d.now());
    assert_eq!(
        effects,
        [Effect::Synced(
            Ticket(900),
            Err(GroupError::InconsistentProtocol)
        )]
    );
}

#[test]
fn commits_are_held_to_membership_unless_the_group_is_empty() {
    let mut d = Driver::new();
    let now = d.now();
    let nobody = CommitIdentity {
        member_id: "",
        instance_id: None,
        generation: -1,
    };
    let plain = CommitKind::Plain;
    assert_eq!(d.group.accept_commit(nobody, plain, now), Ok(()));
    let ghost = CommitIdentity {
        member_id: "x",
        instance_id: None,
        generation: 1,
    };
    assert_eq!(
        d.group.accept_commit(ghost, plain, now),
        Err(GroupError::UnknownMember)
    );
    let (leader, follower) = d.stable_pair();
    let now = d.now();
    assert_eq!(
        d.group.accept_commit(nobody, plain, now),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(
        d.group
            .accept_commit(nobody, CommitKind::Transactional, now),
        Ok(()),
        "transactions before KIP-447 carry no member"
    );
    let me = CommitIdentity {
        member_id: &leader,
        instance_id: None,
        generation: 2,
    };
    assert_eq!(d.group.accept_commit(me, plain, now), Ok(()));
    let stale = CommitIdentity {
        generation: 1,
        ..me
    };
    assert_eq!(
        d.group.accept_commit(stale, plain, now),
        Err(GroupError::IllegalGeneration)
    );
    d.join_as(&leader);
    assert_eq!(
        d.group.accept_commit(me, plain, d.now()),
        Ok(()),
        "cooperative members commit while they are called back to join"
    );
    d.join_as(&follower);
    let me = CommitIdentity {
        member_id: &leader,
        instance_id: None,
        generation: 3,
    };
    let between = d.group.accept_commit(me, plain, d.now());
    assert_eq!(between, Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    for _ in 0..4 {
        d.advance(6_000);
        d.beat(&follower, 2).unwrap();
        let me = CommitIdentity {
            member_id: &leader,
            instance_id: None,
            generation: 2,
        };
        d.group
            .accept_commit(me, CommitKind::Plain, d.now())
            .unwrap();
    }
    assert_eq!(d.group.state(), GroupState::Stable);
}

#[test]
fn a_group_with_members_cannot_be_killed_and_a_dead_one_answers_so() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    assert_eq!(d.group.kill(d.now()), Err(GroupError::NonEmptyGroup));
    d.leave(&leader, None).unwrap();
    d.leave(&follower, None).unwrap();
    assert_eq!(d.group.kill(d.now()), Ok(()));
    let ticket = d.join_as("");
    assert_eq!(d.refusal(ticket), GroupError::NotAvailable);
    assert_eq!(d.beat(&leader, 2), Err(GroupError::NotAvailable));
}

#[test]
fn a_restored_group_goes_on_where_its_record_left_it() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    let record = d.records.last().unwrap().clone();
    let config = Arc::new(GroupConfig::default());
    let mut restored = Driver::of(ClassicGroup::restore(config, record, d.now()));
    assert_eq!(restored.group.state(), GroupState::Stable);
    assert_eq!(restored.beat(&leader, 2), Ok(()));
    let sync = restored.sync(&follower, 2, &[]);
    assert_eq!(restored.assignment(sync), "two");
    restored.advance(10_001);
    assert_eq!(
        restored.group.members().count(),
        0,
        "sessions run on after a restart"
    );
    assert_eq!(restored.group.state(), GroupState::Empty);
}

#[test]
fn resigning_answers_everything_that_waits() {
    let mut d = Driver::new();
    let (leader, _) = d.stable_pair();
    let parked = d.join_as(&leader);
    let effects = d.group.resign(GroupError::NotCoordinator, d.now());
    d.take(effects);
    assert_eq!(d.refusal(parked), GroupError::NotCoordinator);
}
