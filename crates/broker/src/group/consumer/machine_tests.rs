use super::testing::{Consumer, Driven, joining};
use super::*;
use crate::group::config::{ConsumerGroupConfig, GroupConfig};
use crate::group::error::GroupError;
use crate::group::join::JoinRequest;
use crate::group::liveness::{CommitIdentity, CommitKind};
use crate::group::machine::{ClassicGroup, Effect, JoinOutcome};
use crate::group::member::{Protocol, Ticket};
use crate::group::sync::SyncRequest;
use millstream_wire::codec::{decode_versioned, encode_versioned};
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const STABLE: ConsumerGroupState = ConsumerGroupState::Stable;

/// Polls all until nothing moves; nobody ever owns what another owns.
fn settle(world: &mut Driven, consumers: &mut [&mut Consumer]) {
    for _ in 0..20 {
        for consumer in consumers.iter_mut() {
            consumer.poll_or_rejoin(world);
        }
        check_exclusive(consumers);
        if world.group.state() == STABLE {
            return;
        }
    }
    panic!("the group does not settle: {:?}", world.group);
}

fn check_exclusive(consumers: &[&mut Consumer]) {
    let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
    for consumer in consumers {
        for partition in consumer.owned.iter() {
            let before = owners.insert(partition, &consumer.id);
            assert_eq!(before, None, "{partition:?} also of {}", consumer.id);
        }
    }
}

#[test]
fn a_lone_member_gets_everything_at_once() {
    let mut world = Driven::new(&[("a", 3), ("b", 2), ("other", 1)]);
    let one = Consumer::join(&mut world, "m1", &["a", "b", "missing"]);
    assert_eq!((one.epoch, one.owned.len()), (1, 5));
    assert_eq!(world.group.state(), STABLE);
    let again = world.send(&one.request()).unwrap();
    assert_eq!((again.epoch, again.assignment), (1, None), "nothing is new");
}

#[test]
fn a_second_member_gets_its_share_only_after_the_first_gave_it_up() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    assert_eq!(
        (two.epoch, two.owned.len()),
        (2, 0),
        "all is still with the first"
    );
    assert_eq!(world.group.state(), ConsumerGroupState::Reconciling);
    two.poll(&mut world).unwrap();
    assert!(two.owned.is_empty());

    // Told what to keep, the first still reports what it owned.
    let all = one.owned.clone();
    one.poll(&mut world).unwrap();
    assert_eq!((one.epoch, one.owned.len()), (1, 2));
    let mut slow = one.request();
    slow.owned = Some(all);
    let answer = world.send(&slow).unwrap();
    assert_eq!((answer.epoch, answer.assignment), (1, None));
    two.poll(&mut world).unwrap();
    assert!(two.owned.is_empty());

    one.poll(&mut world).unwrap();
    assert_eq!(one.epoch, 2, "given up, so on to the next epoch");
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!((one.owned.len(), two.owned.len()), (2, 2));
}

#[test]
fn a_member_that_leaves_frees_its_partitions_for_the_others() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    settle(&mut world, &mut [&mut one, &mut two]);
    let leave = ConsumerHeartbeat {
        epoch: -1,
        ..two.request()
    };
    let (leaving, answer) = world.group.leave(&leave).unwrap();
    assert_eq!((answer.epoch, answer.assignment), (-1, None));
    assert!(matches!(leaving, Leaving::ForGood(id) if id == "m2"));
    world.remove(&["m2"]);
    assert_eq!(world.group.state(), ConsumerGroupState::Assigning);
    one.poll(&mut world).unwrap();
    assert_eq!((one.epoch, one.owned.len()), (3, 4));
    assert_eq!(two.poll(&mut world), Err(GroupError::UnknownMember));
    world.remove(&["m1"]);
    assert_eq!(world.group.state(), ConsumerGroupState::Empty);
}

#[test]
fn a_repeated_heartbeat_is_welcome_and_a_lost_member_is_fenced() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let two = Consumer::join(&mut world, "m2", &["a"]);
    one.poll(&mut world).unwrap();
    let before = one.clone();
    one.poll(&mut world).unwrap();
    assert_eq!((before.epoch, one.epoch), (1, 2));
    // The answer was lost: the same again, with the epoch before.
    assert_eq!(world.send(&before.request()).unwrap().epoch, 2);
    // But not without saying what it owns, nor with more than it was given.
    let silent = ConsumerHeartbeat {
        owned: None,
        ..before.request()
    };
    assert_eq!(world.send(&silent), Err(GroupError::FencedMemberEpoch));
    let mut greedy = before.request();
    greedy.owned = Some((0..4).map(|p| (world.topics.id("a"), p)).collect());
    assert_eq!(world.send(&greedy), Err(GroupError::FencedMemberEpoch));
    let ahead = ConsumerHeartbeat {
        epoch: 9,
        ..two.request()
    };
    assert_eq!(world.send(&ahead), Err(GroupError::FencedMemberEpoch));
    // A fenced member joins again with what it had.
    let back = Consumer::join(&mut world, "m1", &["a"]);
    assert_eq!((back.epoch, back.owned), (2, one.owned));
}

#[test]
fn a_full_request_is_answered_with_everything() {
    let mut world = Driven::new(&[("a", 2)]);
    let one = Consumer::join(&mut world, "m1", &["a"]);
    let full = ConsumerHeartbeat {
        epoch: one.epoch,
        owned: Some(one.owned.clone()),
        ..joining("m1", &["a"])
    };
    assert_eq!(world.send(&full).unwrap().assignment, Some(one.owned));
}

#[test]
fn requests_that_contradict_themselves_are_refused_in_kafkas_words() {
    let mut world = Driven::new(&[("a", 2)]);
    let good = || joining("m", &["a"]);
    let cases = [
        (
            ConsumerHeartbeat {
                member_id: String::new(),
                ..good()
            },
            "MemberId can't be empty.",
        ),
        (
            ConsumerHeartbeat {
                instance_id: Some(String::new()),
                ..good()
            },
            "InstanceId can't be empty.",
        ),
        (
            ConsumerHeartbeat {
                rack_id: Some(String::new()),
                ..good()
            },
            "RackId can't be empty.",
        ),
        (
            ConsumerHeartbeat {
                rebalance_timeout: None,
                ..good()
            },
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            ConsumerHeartbeat {
                owned: None,
                ..good()
            },
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            ConsumerHeartbeat {
                topics: None,
                ..good()
            },
            "SubscribedTopicNames must be set in first request.",
        ),
        (
            ConsumerHeartbeat {
                epoch: -2,
                ..good()
            },
            "InstanceId can't be null.",
        ),
        (
            ConsumerHeartbeat {
                epoch: -3,
                ..good()
            },
            "MemberEpoch is invalid.",
        ),
    ];
    for (request, why) in cases {
        assert_eq!(world.send(&request), Err(GroupError::InvalidHeartbeat(why)));
    }
    let assignor = ConsumerHeartbeat {
        assignor: Some("sticky".into()),
        ..good()
    };
    assert_eq!(world.send(&assignor), Err(GroupError::UnsupportedAssignor));
    let regex = ConsumerHeartbeat {
        regex: Some("(".into()),
        ..good()
    };
    assert_eq!(
        world.send(&regex),
        Err(GroupError::InvalidRegularExpression)
    );
    let unknown = ConsumerHeartbeat { epoch: 3, ..good() };
    assert_eq!(world.send(&unknown), Err(GroupError::UnknownMember));
    // Version 0: the broker makes the id.
    let nameless = ConsumerHeartbeat {
        member_id: String::new(),
        makes_its_id: false,
        ..good()
    };
    assert_eq!(world.send(&nameless).unwrap().member_id, "fresh");
}

#[test]
fn a_full_group_takes_nobody_but_those_it_knows() {
    let consumer = ConsumerGroupConfig {
        members_max: 1,
        ..Default::default()
    };
    let config = GroupConfig {
        consumer,
        ..Default::default()
    };
    let mut world = Driven::with(&[("a", 2)], config);
    Consumer::join(&mut world, "m1", &["a"]);
    assert_eq!(
        world.send(&joining("m2", &["a"])),
        Err(GroupError::GroupMaxSizeReached)
    );
    assert!(world.send(&joining("m1", &["a"])).is_ok());
}

#[test]
fn silence_ends_a_session_and_unrevoked_partitions_end_it_sooner() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    let all = one.owned.clone();
    one.poll(&mut world).unwrap();
    let stubborn = ConsumerHeartbeat {
        owned: Some(all),
        ..one.request()
    };
    for _ in 0..2 {
        world.pass(Duration::from_secs(29));
        world.send(&stubborn).unwrap();
        two.poll(&mut world).unwrap();
        assert_eq!(world.group.overdue(world.now), Vec::<String>::new());
    }
    // 60 s of rebalance timeout are over, although it was heard of.
    world.pass(Duration::from_secs(2));
    assert_eq!(world.group.overdue(world.now), ["m1"]);
    world.remove(&["m1"]);
    two.poll(&mut world).unwrap();
    assert_eq!(two.owned.len(), 4);
    world.pass(Duration::from_secs(44));
    assert!(world.group.overdue(world.now).is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.group.overdue(world.now), ["m2"]);
    assert_eq!(world.group.next_deadline(), Some(world.now.monotonic));
}

#[test]
fn a_static_member_that_leaves_for_a_while_keeps_its_partitions() {
    let mut world = Driven::new(&[("a", 4)]);
    let with_instance = |id: &str| ConsumerHeartbeat {
        instance_id: Some("host-1".into()),
        ..joining(id, &["a"])
    };
    let mut one = Consumer::join_with(&mut world, &with_instance("m1"));
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    settle(&mut world, &mut [&mut one, &mut two]);
    assert_eq!(
        world.send(&with_instance("m3")),
        Err(GroupError::UnreleasedInstanceId)
    );
    let leave = ConsumerHeartbeat {
        epoch: -2,
        ..one.request()
    };
    let (Leaving::ForAWhile(records), answer) = world.group.leave(&leave).unwrap() else {
        panic!("it is to come back");
    };
    assert_eq!(answer.epoch, -2);
    world.group.apply_all(records, None);
    two.poll(&mut world).unwrap();
    assert_eq!((two.epoch, two.owned.len()), (2, 2), "nothing moved");

    let back = Consumer::join_with(&mut world, &with_instance("m3"));
    assert_eq!(
        (back.epoch, &back.owned),
        (2, &one.owned),
        "no new epoch, the same partitions"
    );
    assert_eq!(one.poll(&mut world), Err(GroupError::FencedInstanceId));
    assert_eq!(world.group.members().len(), 2);
    // It stays away: its session ends like any other.
    let leave = ConsumerHeartbeat {
        epoch: -2,
        ..back.request()
    };
    let (Leaving::ForAWhile(records), _) = world.group.leave(&leave).unwrap() else {
        panic!("it is to come back");
    };
    world.group.apply_all(records, None);
    world.pass(Duration::from_secs(44));
    two.poll(&mut world).unwrap();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.group.overdue(world.now), ["m3"]);
}

#[test]
fn topics_that_come_grow_and_go_change_the_assignment() {
    let mut world = Driven::new(&[("a", 2)]);
    let mut one = Consumer::join(&mut world, "m1", &["a", "b"]);
    assert_eq!(one.owned.len(), 2);
    for (step, expected) in [(3, 5), (6, 8)] {
        world.topics.set("b", step);
        one.poll(&mut world).unwrap();
        assert_eq!(one.owned.len(), expected);
    }
    let epoch = one.epoch;
    world.topics.set("unrelated", 1);
    one.poll(&mut world).unwrap();
    assert_eq!(one.epoch, epoch, "a topic that nobody wants is nothing new");
    world.topics.remove("b");
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.owned.len(), 2);
}

#[test]
fn a_pattern_follows_the_topics_that_it_matches() {
    let mut world = Driven::new(&[("orders-1", 1), ("other", 1)]);
    let request = ConsumerHeartbeat {
        topics: None,
        regex: Some("orders-.*".into()),
        ..joining("m1", &[])
    };
    let mut one = Consumer::join_with(&mut world, &request);
    assert_eq!(one.owned.len(), 1);
    world.topics.set("orders-2", 3);
    one.poll(&mut world).unwrap();
    assert_eq!(one.owned.len(), 4);
    assert!(world.group.subscribes_to("orders-2") && !world.group.subscribes_to("other"));
    world.topics.remove("orders-1");
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.owned.len(), 3);
    // By name and by pattern at once; then the pattern is taken back.
    let both = ConsumerHeartbeat {
        topics: Some(["other".to_owned()].into()),
        ..one.request()
    };
    one.say(&mut world, &both);
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.owned.len(), 4);
    let without = ConsumerHeartbeat {
        regex: Some(String::new()),
        ..one.request()
    };
    one.say(&mut world, &without);
    settle(&mut world, &mut [&mut one]);
    assert_eq!(one.owned.len(), 1);
    assert!(
        world.group.regexes.is_empty(),
        "a pattern without members is forgotten"
    );
}

#[test]
fn after_a_restart_members_go_on_in_their_epochs() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    one.poll(&mut world).unwrap();
    world.restart();
    assert_eq!(world.group.overdue(world.now), Vec::<String>::new());
    settle(&mut world, &mut [&mut one, &mut two]);
    let (epochs, owned) = (
        (one.epoch, two.epoch),
        (one.owned.clone(), two.owned.clone()),
    );
    world.restart();
    one.poll(&mut world).unwrap();
    two.poll(&mut world).unwrap();
    assert_eq!((one.epoch, two.epoch), epochs);
    assert_eq!((one.owned, two.owned), owned);
    assert_eq!(world.group.state(), STABLE);
}

#[test]
fn the_assignor_is_the_one_that_most_members_ask_for() {
    let mut world = Driven::new(&[("a", 4)]);
    let asking = |id: &str, assignor: &str| ConsumerHeartbeat {
        assignor: Some(assignor.into()),
        ..joining(id, &["a"])
    };
    Consumer::join(&mut world, "m1", &["a"]);
    assert_eq!(world.group.assignor_name(), "uniform");
    Consumer::join_with(&mut world, &asking("m2", "range"));
    assert_eq!(world.group.assignor_name(), "range");
    Consumer::join_with(&mut world, &asking("m3", "uniform"));
    assert_eq!(
        world.group.assignor_name(),
        "uniform",
        "of equals the default"
    );
}

fn identity(member_id: &str, generation: i32) -> CommitIdentity<'_> {
    CommitIdentity {
        member_id,
        instance_id: None,
        generation,
    }
}

#[test]
fn only_members_in_their_epoch_commit_and_fetch() {
    let mut world = Driven::new(&[("a", 4)]);
    let plain = CommitKind::Plain;
    let check = |world: &Driven, id, epoch| world.group.check_commit(identity(id, epoch), plain, 9);
    assert_eq!(
        check(&world, "", -1),
        Ok(()),
        "an administrator, while nobody is in it"
    );
    Consumer::join(&mut world, "m1", &["a"]);
    assert_eq!(check(&world, "", -1), Err(GroupError::UnknownMember));
    assert_eq!(check(&world, "m1", 1), Ok(()));
    assert_eq!(check(&world, "m1", 0), Err(GroupError::StaleMemberEpoch));
    let old = world.group.check_commit(identity("m1", 1), plain, 8);
    assert_eq!(old, Err(GroupError::UnsupportedVersion));
    let transactional = CommitKind::Transactional;
    let in_transaction = |id, epoch| {
        world
            .group
            .check_commit(identity(id, epoch), transactional, 5)
    };
    assert_eq!(in_transaction("", -1), Ok(()));
    assert_eq!(in_transaction("m1", 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(world.group.check_fetch(None, -1), Ok(()));
    assert_eq!(world.group.check_fetch(Some("m1"), 1), Ok(()));
    assert_eq!(
        world.group.check_fetch(Some("m1"), 2),
        Err(GroupError::StaleMemberEpoch)
    );
    assert_eq!(
        world.group.check_fetch(Some("m9"), 2),
        Err(GroupError::UnknownMember)
    );
}

fn subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> bytes::Bytes {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        owned_partitions: owned
            .iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic: (*topic).to_owned(),
                partitions: partitions.to_vec(),
            })
            .collect(),
        ..Default::default()
    };
    encode_versioned(&subscription, 3).unwrap()
}

fn classic_join(id: &str, owned: &[(&str, &[i32])]) -> JoinRequest {
    JoinRequest {
        member_id: id.into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "cooperative-sticky".into(),
            metadata: subscription(&["a"], owned),
        }],
        fresh_member_id: "fresh-classic".into(),
        requires_known_member_id: true,
        supports_skip_assignment: true,
    }
}

fn sync_request(id: &str, generation: i32) -> SyncRequest {
    SyncRequest {
        member_id: id.into(),
        instance_id: None,
        generation,
        protocol_type: Some("consumer".into()),
        protocol: Some("cooperative-sticky".into()),
        assignments: Vec::new(),
    }
}

impl Driven {
    fn join_classic(&mut self, request: &JoinRequest) -> Result<JoinOutcome, GroupError> {
        let decision = self.group.join(request, &self.topics, self.now)?;
        self.group
            .apply_all(decision.records, Some(decision.topics_seen));
        self.group.renew(&decision.outcome.member_id, self.now);
        self.group.await_sync(&decision.outcome.member_id, self.now);
        Ok(decision.outcome)
    }

    /// The partitions of topic "a" that a classic member is told.
    fn sync_classic(&mut self, id: &str, generation: i32) -> Result<Vec<i32>, GroupError> {
        let synced = self
            .group
            .sync(&sync_request(id, generation), &self.topics, self.now)?;
        let (_, assignment) =
            decode_versioned::<ConsumerProtocolAssignment>(synced.assignment).unwrap();
        let mut topics = assignment.assigned_partitions.into_iter();
        Ok(topics
            .next()
            .map(|topic| topic.partitions)
            .unwrap_or_default())
    }
}

/// A classic group of one stable member, with all of topic "a".
fn classic_group(world: &Driven) -> ClassicGroup {
    let config = GroupConfig {
        initial_rebalance_delay: Duration::ZERO,
        ..GroupConfig::default()
    };
    let mut classic = ClassicGroup::new(Arc::new(config), world.now);
    let mut request = classic_join("", &[]);
    request.fresh_member_id = "c1".into();
    request.requires_known_member_id = false;
    classic.join(request, Ticket(1), world.now);
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartitions {
            topic: "a".into(),
            partitions: vec![0, 1, 2, 3],
        }],
        user_data: None,
    };
    let mut sync = sync_request("c1", 1);
    sync.assignments = vec![("c1".into(), encode_versioned(&assignment, 3).unwrap())];
    for effect in classic.sync(sync, Ticket(2), world.now) {
        if let Effect::Persist(id, _) = effect {
            classic.persisted(id, Ok(()), world.now);
        }
    }
    classic
}

#[test]
fn a_classic_group_goes_on_in_a_consumer_group_and_comes_back() {
    let mut world = Driven::new(&[("a", 4)]);
    let classic = classic_group(&world);
    let config = Arc::clone(&world.group.config);
    let (group, records) = from_classic(&classic, &config, &world.topics, world.now).unwrap();
    let mut replayed = ConsumerGroup::new(Arc::clone(&config));
    replayed.apply_all(records, None);
    assert_eq!(replayed.records(), group.records());
    world.group = group;
    assert_eq!((world.group.epoch(), world.group.state()), (1, STABLE));
    assert_eq!(
        world.group.classic_heartbeat("c1", None, 1, world.now),
        Ok(())
    );

    // A member of the new protocol joins: the classic one is to give up half.
    let mut two = Consumer::join(&mut world, "m2", &["a"]);
    assert_eq!((two.epoch, two.owned.len()), (2, 0));
    let rebalance = Err(GroupError::RebalanceInProgress);
    assert_eq!(
        world.group.classic_heartbeat("c1", None, 1, world.now),
        rebalance
    );
    let joined = world
        .join_classic(&classic_join("c1", &[("a", &[0, 1, 2, 3])]))
        .unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (1, ""));
    let kept = world.sync_classic("c1", 1).unwrap();
    assert_eq!(kept.len(), 2);
    // It has given up and joins again, now in the epoch of the group.
    assert_eq!(
        world.group.classic_heartbeat("c1", None, 1, world.now),
        rebalance
    );
    let joined = world
        .join_classic(&classic_join("c1", &[("a", &kept)]))
        .unwrap();
    assert_eq!(joined.generation, 2);
    assert_eq!(world.sync_classic("c1", 2).unwrap(), kept);
    assert_eq!(
        world.group.classic_heartbeat("c1", None, 2, world.now),
        Ok(())
    );
    let stale = world.group.classic_heartbeat("c1", None, 1, world.now);
    assert_eq!(stale, Err(GroupError::IllegalGeneration));
    two.poll(&mut world).unwrap();
    assert_eq!(two.owned.len(), 2);
    assert_eq!(world.group.state(), STABLE);

    // The last member of the new protocol leaves: back to the classic one.
    let leavers = ["m2".to_owned()];
    assert!(world.group.is_classic_without(&leavers));
    assert!(!world.group.is_classic_without(&[]));
    let mut back = to_classic(&world.group, &leavers, &world.topics, world.now);
    assert_eq!(
        (back.generation(), back.protocol()),
        (2, Some("cooperative-sticky"))
    );
    back.rejoin_all(world.now);
    assert_eq!(back.heartbeat("c1", None, 2, world.now), rebalance);
    let effects = back.join(classic_join("c1", &[("a", &kept)]), Ticket(3), world.now);
    assert!(matches!(&effects[..], [Effect::Joined(_, Ok(joined))] if joined.generation == 3));
}

#[test]
fn a_new_classic_member_joins_a_consumer_group_in_two_steps() {
    let mut world = Driven::new(&[("a", 4)]);
    let mut one = Consumer::join(&mut world, "m1", &["a"]);
    let asked = world.join_classic(&classic_join("", &[]));
    assert_eq!(asked, Err(GroupError::MemberIdRequired));
    let joined = world
        .join_classic(&classic_join("fresh-classic", &[]))
        .unwrap();
    assert_eq!(joined.generation, 2);
    assert_eq!(
        world.sync_classic("fresh-classic", 2).unwrap(),
        Vec::<i32>::new()
    );
    one.poll(&mut world).unwrap();
    one.poll(&mut world).unwrap();
    // What it waits for has become free.
    let heartbeat = world
        .group
        .classic_heartbeat("fresh-classic", None, 2, world.now);
    assert_eq!(heartbeat, Err(GroupError::RebalanceInProgress));
    world
        .join_classic(&classic_join("fresh-classic", &[]))
        .unwrap();
    assert_eq!(world.sync_classic("fresh-classic", 2).unwrap().len(), 2);
    let mut other = classic_join("", &[]);
    other.protocol_type = "connect".into();
    assert_eq!(
        world.join_classic(&other),
        Err(GroupError::InconsistentProtocol)
    );
    let mut other = classic_join("x", &[]);
    other.protocols[0].name = "range".into();
    assert_eq!(
        world.join_classic(&other),
        Err(GroupError::InconsistentProtocol)
    );
}

#[test]
fn a_classic_member_that_never_syncs_or_joins_again_is_removed() {
    let mut world = Driven::new(&[("a", 4)]);
    Consumer::join(&mut world, "m1", &["a"]);
    world.join_classic(&classic_join("c1", &[])).unwrap();
    for _ in 0..7 {
        world.pass(Duration::from_secs(9));
        let _ = world.group.classic_heartbeat("c1", None, 2, world.now);
        world.group.renew("m1", world.now);
    }
    assert_eq!(
        world.group.overdue(world.now),
        ["c1"],
        "it has 60 s to sync"
    );
}

/// What can happen to a group.
#[derive(Debug, Clone)]
enum Event {
    Join(usize, u8),
    Poll(usize),
    Lose(usize),
    Leave(usize),
    Topic(u8, i32),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0usize..5, 1u8..8).prop_map(|(m, topics)| Event::Join(m, topics)),
        8 => (0usize..5).prop_map(Event::Poll),
        2 => (0usize..5).prop_map(Event::Lose),
        1 => (0usize..5).prop_map(Event::Leave),
        1 => (0u8..3, 1i32..7).prop_map(|(topic, count)| Event::Topic(topic, count)),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    /// Whatever happens, no partition is ever with two members, and when it
    /// is over every wanted partition is with one.
    #[test]
    fn partitions_have_one_owner_in_any_order_of_events(events in prop::collection::vec(event(), 1..60)) {
        let names = ["t0", "t1", "t2"];
        let mut world = Driven::new(&[("t0", 3), ("t1", 2)]);
        let mut members: Vec<Option<Consumer>> = vec![None; 5];
        let mut counts: BTreeMap<&str, i32> = [("t0", 3), ("t1", 2)].into();
        for event in events {
            match event {
                Event::Join(m, topics) => {
                    let wanted: Vec<&str> = names.iter().copied().enumerate()
                        .filter(|(bit, _)| topics & (1 << bit) != 0).map(|(_, n)| n).collect();
                    // A member that joins has given up what it had.
                    members[m] = None;
                    members[m] = Some(Consumer::join(&mut world, &format!("m{m}"), &wanted));
                }
                Event::Poll(m) => if let Some(member) = &mut members[m] {
                    member.poll_or_rejoin(&mut world);
                },
                // The answer is lost: the member stays as it was.
                Event::Lose(m) => if let Some(member) = &mut members[m] {
                    member.lose(&mut world);
                },
                Event::Leave(m) => if members[m].take().is_some() {
                    world.remove(&[&format!("m{m}")]);
                },
                Event::Topic(topic, count) => {
                    let name = names[usize::from(topic)];
                    let count = count.max(counts.get(name).copied().unwrap_or(0));
                    counts.insert(name, count);
                    world.topics.set(name, count);
                }
                Event::Restart => world.restart(),
            }
            let living: Vec<&mut Consumer> = members.iter_mut().flatten().collect();
            check_exclusive(&living);
        }
        let mut living: Vec<&mut Consumer> = members.iter_mut().flatten().collect();
        if living.is_empty() {
            return Ok(());
        }
        // A change of topics is seen at the first heartbeat after it.
        living[0].poll_or_rejoin(&mut world);
        settle(&mut world, &mut living);
        let owned: usize = living.iter().map(|member| member.owned.len()).sum();
        let wanted: i32 = counts.iter().filter(|(name, _)| world.group.subscribes_to(name)).map(|(_, c)| c).sum();
        prop_assert_eq!(owned, usize::try_from(wanted).unwrap());
    }
}
