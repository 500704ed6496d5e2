//! Static members (KIP-345): restarted, replaced, fenced, removed.

use super::*;
use millstream_wire::codec::encode_versioned;
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};

#[test]
fn a_restarted_static_member_keeps_its_assignment_without_a_rebalance_and_fences_the_old() {
    let mut d = Driver::new();
    let a = d.join_static("host-1", "");
    let old = d.outcome(a).member_id;
    d.sync(&old, 1, &[(&old, "all")]);
    let b = d.join_static("host-1", "");
    let outcome = d.outcome(b);
    assert_eq!(outcome.generation, 1, "no rebalance");
    assert_ne!(outcome.member_id, old);
    assert_eq!(
        outcome.leader, old,
        "before version 9 it must not assign anew"
    );
    assert_eq!(d.records.last().unwrap().members[0].id, outcome.member_id);
    let beat = d.group.heartbeat(&old, Some("host-1"), 1, d.now());
    assert_eq!(beat, Err(GroupError::FencedInstanceId));
    let sync = d.sync(&outcome.member_id, 1, &[]);
    assert_eq!(d.assignment(sync), "all");
}

#[test]
fn a_restarted_static_leader_is_told_to_skip_the_assignment() {
    let mut d = Driver::new();
    let a = d.join_static("host-1", "");
    let old = d.outcome(a).member_id;
    d.sync(&old, 1, &[(&old, "all")]);
    let mut request = d.request("");
    request.instance_id = Some("host-1".into());
    request.supports_skip_assignment = true;
    let ticket = d.join(request);
    let outcome = d.outcome(ticket);
    assert!(outcome.skip_assignment);
    assert_eq!(outcome.leader, outcome.member_id);
    assert_eq!(outcome.members.len(), 1);
}

#[test]
fn a_static_member_replaced_while_it_waits_is_fenced() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    let parked = d.join_static("host-1", "");
    let usurper = d.join_static("host-1", "");
    assert_eq!(d.refusal(parked), GroupError::FencedInstanceId);
    d.join_as(&leader);
    d.join_as(&follower);
    assert_eq!(d.outcome(usurper).generation, 3);
    assert_eq!(d.group.members().count(), 3);
}

#[test]
fn a_static_replacement_that_cannot_be_written_is_undone() {
    let mut d = Driver::new();
    let a = d.join_static("host-1", "");
    let old = d.outcome(a).member_id;
    d.sync(&old, 1, &[(&old, "all")]);
    d.hold_records = true;
    let b = d.join_static("host-1", "");
    d.release_records(Err(GroupError::NotAvailable));
    assert_eq!(d.refusal(b), GroupError::NotAvailable);
    assert_eq!(d.group.heartbeat(&old, Some("host-1"), 1, d.now()), Ok(()));
}

#[test]
fn a_static_member_that_misses_a_rebalance_keeps_its_place_for_its_session() {
    let mut d = Driver::new();
    let mut long = d.request("");
    long.instance_id = Some("host-1".into());
    long.session_timeout = Duration::from_secs(300);
    let ticket = d.join(long);
    let first = d.outcome(ticket).member_id;
    d.sync(&first, 1, &[(&first, "all")]);
    let newcomer = d.join_as("");
    d.advance(60_001);
    let outcome = d.outcome(newcomer);
    assert_eq!(
        outcome.members.len(),
        2,
        "the static member is still counted"
    );
    assert_eq!(outcome.leader, outcome.member_id);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut d = Driver::new();
    let a = d.join_static("host-1", "");
    let id = d.outcome(a).member_id;
    assert_eq!(d.leave("", Some("host-2")), Err(GroupError::UnknownMember));
    assert_eq!(
        d.leave("wrong", Some("host-1")),
        Err(GroupError::FencedInstanceId)
    );
    assert_eq!(d.leave("", Some("host-1")), Ok(id));
    assert_eq!(d.group.state(), GroupState::Empty);
}

fn partitions(numbers: &[i32]) -> Vec<TopicPartitions> {
    vec![TopicPartitions {
        topic: "orders".into(),
        partitions: numbers.to_vec(),
    }]
}

/// A group of one static member that had `owned` when it joined and was
/// assigned `assigned`.
fn cooperative(d: &mut Driver, owned: &[i32], assigned: &[i32]) {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["orders".into()],
        owned_partitions: partitions(owned),
        ..Default::default()
    };
    let mut request = d.request("");
    request.instance_id = Some("host-1".into());
    request.protocols = vec![Protocol {
        name: "cooperative-sticky".into(),
        metadata: encode_versioned(&subscription, 3).unwrap(),
    }];
    let ticket = d.join(request);
    let id = d.outcome(ticket).member_id;
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: partitions(assigned),
        user_data: None,
    };
    let generation = d.group.generation();
    let assignment = encode_versioned(&assignment, 3).unwrap();
    d.sync_with(&id, generation, vec![(id.clone(), assignment)]);
}

fn replaced(d: &mut Driver) -> JoinOutcome {
    let mut request = d.request("");
    request.instance_id = Some("host-1".into());
    request.protocols = vec![protocol("cooperative-sticky", "sub")];
    let ticket = d.join(request);
    d.outcome(ticket)
}

#[test]
fn what_a_static_member_gave_up_is_handed_out_although_its_process_ended() {
    let mut d = Driver::new();
    cooperative(&mut d, &[0, 1, 2], &[0, 1]);
    // Partition 2 was to go to another one, once this one had joined again.
    assert_eq!(replaced(&mut d).generation, 2);
}

#[test]
fn a_kill_forgets_neither_the_new_member_id_nor_what_is_owed() {
    let mut d = Driver::new();
    cooperative(&mut d, &[0, 1, 2], &[0, 1]);
    let joined = replaced(&mut d);
    // Killed before the leader has assigned anything in the new generation.
    let record = d.records.last().unwrap().clone();
    let config = Arc::new(GroupConfig::default());
    let mut restored = Driver::of(ClassicGroup::restore(config, record, d.now()));
    let beat = |d: &mut Driver| {
        let now = d.now();
        d.group.heartbeat(&joined.member_id, Some("host-1"), 2, now)
    };
    assert_eq!(beat(&mut restored), Err(GroupError::IllegalGeneration));
    // Or before the new process knew of its id: it comes without one again.
    restored.ids = 100;
    assert_eq!(replaced(&mut restored).generation, 2);
}

#[test]
fn a_static_member_that_kept_what_it_had_comes_back_without_a_rebalance() {
    for (owned, assigned) in [(&[0, 1][..], &[0, 1][..]), (&[], &[0, 1]), (&[1], &[0, 1])] {
        let mut d = Driver::new();
        cooperative(&mut d, owned, assigned);
        assert_eq!(replaced(&mut d).generation, 1, "{owned:?} {assigned:?}");
    }
}
