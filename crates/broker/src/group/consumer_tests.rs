//! Consumer groups through the coordinator, on a journal in memory.

use super::commits::{Committer, OffsetToCommit};
use super::consumer::testing::{FakeSource, FakeTopics};
use super::*;
use crate::journal::memory::{Disk, MemoryJournal};
use crate::journal::{InternalTopic, Journal};
use crate::task::started;
use bytes::Bytes;
use millstream_core::env::SystemClock;
use millstream_core::env::rand::SeededRand;
use millstream_wire::codec::encode_versioned;
use millstream_wire::records::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use std::sync::Arc;
use std::time::Duration;

const TOPIC: InternalTopic = InternalTopic::ConsumerOffsets;
const PATIENCE: Duration = Duration::from_secs(10);

/// A coordinator with one partition and a topic `a` of four.
struct World {
    coordinator: GroupCoordinator,
    journal: Arc<MemoryJournal>,
    topics: Arc<FakeSource>,
}

impl World {
    async fn new() -> Self {
        Self::on(MemoryJournal::shared()).await
    }

    async fn on(journal: Arc<MemoryJournal>) -> Self {
        Self::with_session(journal, Duration::from_secs(45)).await
    }

    async fn with_session(journal: Arc<MemoryJournal>, session_timeout: Duration) -> Self {
        let mut config = GroupConfig::default();
        config.consumer.session_timeout = session_timeout;
        Self::configured(journal, config).await
    }

    async fn configured(journal: Arc<MemoryJournal>, config: GroupConfig) -> Self {
        let topics = Arc::new(FakeSource::default());
        *topics.0.lock() = FakeTopics::of(&[("a", 4)]);
        let coordinator = GroupCoordinator::new(GroupServices {
            config: GroupConfig {
                initial_rebalance_delay: Duration::ZERO,
                offsets_topic_partitions: 1,
                rewrite_bytes_min: 6_000,
                ..config
            },
            journal: Arc::clone(&journal) as _,
            topics: Arc::clone(&topics) as _,
            clock: SystemClock::shared(),
            rand: SeededRand::shared(7),
        });
        coordinator.start().await;
        let loaded = async {
            while coordinator.list().await.unwrap().incomplete.is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, loaded).await.expect("loads");
        Self {
            coordinator,
            journal,
            topics,
        }
    }

    async fn restart(&self) -> Self {
        Self::on(self.journal.after_crash(TOPIC, 0)).await
    }

    async fn beat(&self, request: ConsumerHeartbeat) -> Result<HeartbeatAnswer, GroupError> {
        self.coordinator.consumer_heartbeat("g", request).await
    }

    async fn join(&self, id: &str) -> HeartbeatAnswer {
        self.beat(joining(id)).await.unwrap()
    }

    async fn kind(&self) -> (GroupKind, &'static str) {
        let described = self.coordinator.describe("g").await.unwrap();
        (described.kind, described.state)
    }
}

fn joining(id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.into(),
        rebalance_timeout: Some(Duration::from_secs(60)),
        topics: Some(["a".to_owned()].into()),
        owned: Some(Assignment::default()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        makes_its_id: true,
        ..Default::default()
    }
}

fn beating(id: &str, epoch: i32, owned: Option<Assignment>) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member_id: id.into(),
        epoch,
        owned,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        makes_its_id: true,
        ..Default::default()
    }
}

fn subscription() -> Bytes {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["a".into()],
        ..Default::default()
    };
    encode_versioned(&subscription, 1).unwrap()
}

fn everything() -> Bytes {
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartitions {
            topic: "a".into(),
            partitions: vec![0, 1, 2, 3],
        }],
        user_data: None,
    };
    encode_versioned(&assignment, 1).unwrap()
}

fn classic_join(id: &str) -> JoinRequest {
    JoinRequest {
        member_id: id.into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: subscription(),
        }],
        fresh_member_id: String::new(),
        requires_known_member_id: false,
        supports_skip_assignment: false,
    }
}

fn classic_sync(id: &str, generation: i32) -> SyncRequest {
    SyncRequest {
        member_id: id.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(id.to_owned(), everything())],
    }
}

fn offset(at: i64) -> OffsetToCommit {
    OffsetToCommit {
        topic: "a".into(),
        partition: 0,
        offset: at,
        leader_epoch: -1,
        metadata: String::new(),
    }
}

fn member(id: &str, epoch: i32) -> Committer {
    Committer {
        member_id: id.into(),
        instance_id: None,
        generation: epoch,
    }
}

#[tokio::test]
async fn members_keep_their_epochs_and_partitions_through_a_crash() {
    let world = World::new().await;
    let one = world.join("m1").await;
    assert_eq!((one.epoch, one.assignment.as_ref().unwrap().len()), (1, 4));
    let results = world
        .coordinator
        .commit_offsets("g", &member("m1", 1), vec![offset(7)], None)
        .await;
    assert_eq!(results, Ok(vec![Ok(())]));

    let after = world.restart().await;
    assert_eq!(after.kind().await, (GroupKind::Consumer, "Stable"));
    let before = world.coordinator.describe_consumer("g").await.unwrap();
    assert_eq!(
        after.coordinator.describe_consumer("g").await.unwrap(),
        before
    );
    let batches = after.journal.batches(TOPIC);
    let beat = after.beat(beating("m1", 1, one.assignment)).await.unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, None));
    assert_eq!(
        after.journal.batches(TOPIC),
        batches,
        "nothing to be written"
    );
}

#[tokio::test]
async fn an_answer_waits_for_the_disk_and_so_does_the_next_one() {
    let world = World::new().await;
    world.coordinator.partition_of("g").await.unwrap();
    world.journal.set_disk(Disk::Held);
    let coordinator = world.coordinator.clone();
    let join = async move { coordinator.consumer_heartbeat("g", joining("m1")).await };
    let mut join = Box::pin(started(join).await);
    let coordinator = world.coordinator.clone();
    let beat = async move {
        let request = beating("m1", 1, None);
        coordinator.consumer_heartbeat("g", request).await
    };
    let mut beat = Box::pin(started(beat).await);
    assert!(futures::poll!(&mut join).is_pending());
    assert!(
        futures::poll!(&mut beat).is_pending(),
        "its epoch is not durable yet"
    );
    world.journal.set_disk(Disk::Fast);
    assert_eq!(join.await.unwrap().epoch, 1);
    assert_eq!(beat.await.unwrap().epoch, 1);
}

#[tokio::test]
async fn when_the_disk_fails_nobody_is_told_what_is_not_written() {
    let world = World::new().await;
    world.join("m1").await;
    world.journal.set_disk(Disk::Broken);
    assert_eq!(world.beat(joining("m2")).await, Err(GroupError::Storage));
    let closed = world.beat(beating("m1", 1, None)).await;
    assert_eq!(closed, Err(GroupError::NotAvailable));
}

#[tokio::test]
async fn a_silent_member_is_fenced_by_the_timer() {
    let session = Duration::from_millis(30);
    let world = World::with_session(MemoryJournal::shared(), session).await;
    world.join("m1").await;
    let empties = async {
        while world.kind().await.1 != "Empty" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empties)
        .await
        .expect("the member stayed");
    let fenced = world.beat(beating("m1", 1, None)).await;
    assert_eq!(fenced, Err(GroupError::UnknownMember));
    // Gone for good, not in memory only.
    assert_eq!(world.restart().await.kind().await.1, "Empty");
}

#[tokio::test]
async fn a_session_timeout_that_is_set_for_the_group_holds_from_the_next_heartbeat_on() {
    let world = World::new().await;
    let pace = |millis| GroupPace {
        session_timeout: Duration::from_millis(millis),
        heartbeat_interval: Duration::from_secs(9),
    };
    *world.topics.1.lock() = Some(pace(60_000));
    world.join("m1").await;
    let interval = world.coordinator.consumer_heartbeat_interval("g");
    assert_eq!(interval, Duration::from_secs(9));
    *world.topics.1.lock() = Some(pace(30));
    world.beat(beating("m1", 1, None)).await.unwrap();
    let empties = async {
        while world.kind().await.1 != "Empty" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empties)
        .await
        .expect("the member stayed");
}

#[tokio::test]
async fn an_upgraded_group_comes_back_when_the_last_new_member_leaves() {
    let world = World::new().await;
    let joined = world.coordinator.join("g", classic_join("")).await.unwrap();
    let c1 = joined.member_id;
    world
        .coordinator
        .sync("g", classic_sync(&c1, 1))
        .await
        .unwrap();
    world
        .coordinator
        .commit_offsets("g", &member(&c1, 1), vec![offset(3)], None)
        .await
        .unwrap();

    let two = world.join("m2").await;
    assert_eq!((two.epoch, two.assignment.unwrap().len()), (2, 0));
    assert_eq!(world.kind().await.0, GroupKind::Consumer);
    let rebalance = Err(GroupError::RebalanceInProgress);
    let coordinator = &world.coordinator;
    assert_eq!(coordinator.heartbeat("g", &c1, None, 1).await, rebalance);
    // An eager member gives everything up before it joins again.
    let joined = coordinator.join("g", classic_join(&c1)).await.unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (2, ""));
    let synced = coordinator.sync("g", classic_sync(&c1, 2)).await.unwrap();
    assert!(!synced.assignment.is_empty() && synced.assignment != everything());
    let two = world
        .beat(beating("m2", 2, Some(Assignment::default())))
        .await
        .unwrap();
    let owned = two.assignment.unwrap();
    assert_eq!(owned.len(), 2);
    let described = coordinator.describe_consumer("g").await.unwrap();
    let classic: Vec<bool> = described
        .members
        .iter()
        .map(|m| m.member.is_classic())
        .collect();
    assert_eq!(classic.iter().filter(|c| **c).count(), 1);

    // The same after a crash.
    let world = world.restart().await;
    let coordinator = &world.coordinator;
    assert_eq!(coordinator.heartbeat("g", &c1, None, 2).await, Ok(()));
    world.beat(beating("m2", -1, None)).await.unwrap();
    assert_eq!(
        world.kind().await,
        (GroupKind::Classic, "PreparingRebalance")
    );
    assert_eq!(coordinator.heartbeat("g", &c1, None, 2).await, rebalance);
    let joined = coordinator.join("g", classic_join(&c1)).await.unwrap();
    assert_eq!((joined.generation, &joined.leader), (3, &c1));

    let world = world.restart().await;
    assert_eq!(world.kind().await.0, GroupKind::Classic);
    let wanted = OffsetsWanted::All;
    let offsets = world
        .coordinator
        .fetch_offsets("g", &wanted, Stability::Any)
        .await
        .unwrap();
    assert_eq!(
        offsets[0]
            .committed
            .as_ref()
            .unwrap()
            .as_ref()
            .unwrap()
            .offset,
        3
    );
}

#[tokio::test]
async fn a_waiting_classic_member_is_told_to_join_again_when_its_group_is_upgraded() {
    let world = World::new().await;
    let leader = world.coordinator.join("g", classic_join("")).await.unwrap();
    let syncing = SyncRequest {
        assignments: Vec::new(),
        ..classic_sync(&leader.member_id, 1)
    };
    world.coordinator.sync("g", syncing).await.unwrap();
    let coordinator = world.coordinator.clone();
    let second = started(async move { coordinator.join("g", classic_join("")).await }).await;
    world.join("m2").await;
    let refused = second.await.unwrap_err();
    assert_eq!(refused.error, GroupError::RebalanceInProgress);
}

#[tokio::test]
async fn a_group_without_members_changes_its_protocol_and_keeps_its_offsets() {
    let world = World::new().await;
    let outside = Committer::outside();
    let committed = world
        .coordinator
        .commit_offsets("g", &outside, vec![offset(9)], None);
    committed.await.unwrap();
    world.join("m1").await;
    world.beat(beating("m1", -1, None)).await.unwrap();
    assert_eq!(world.kind().await, (GroupKind::Consumer, "Empty"));
    let joined = world.coordinator.join("g", classic_join("")).await.unwrap();
    assert_eq!(world.kind().await.0, GroupKind::Classic);
    let leaver = Leaver {
        member_id: joined.member_id,
        instance_id: None,
    };
    world.coordinator.leave("g", &[leaver]).await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.kind().await, (GroupKind::Classic, "Empty"));
    world.join("m1").await;
    let world = world.restart().await;
    assert_eq!(world.kind().await, (GroupKind::Consumer, "Stable"));
    let all = world
        .coordinator
        .fetch_offsets("g", &OffsetsWanted::All, Stability::Any);
    assert_eq!(all.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_consumer_group_is_deleted_when_it_is_empty_and_stays_deleted() {
    let world = World::new().await;
    world.join("m1").await;
    let coordinator = &world.coordinator;
    assert_eq!(
        coordinator.delete("g").await,
        Err(GroupError::NonEmptyGroup)
    );
    let never = |_: &[u8], _: &str| false;
    let refused = coordinator
        .delete_offsets("g", vec![("a".into(), 0)], never)
        .await;
    assert_eq!(refused, Ok(vec![Err(GroupError::GroupSubscribedToTopic)]));
    world.beat(beating("m1", -1, None)).await.unwrap();
    assert_eq!(coordinator.delete("g").await, Ok(()));
    assert_eq!(
        coordinator.describe("g").await,
        Err(GroupError::GroupIdNotFound)
    );
    let world = world.restart().await;
    assert!(world.coordinator.list().await.unwrap().groups.is_empty());
    let unknown = world.beat(beating("m1", 1, None)).await;
    assert_eq!(unknown, Err(GroupError::GroupIdNotFound));
}

#[tokio::test]
async fn nobody_joins_or_commits_to_a_group_that_is_being_deleted() {
    let world = World::new().await;
    world.join("m1").await;
    world.beat(beating("m1", -1, None)).await.unwrap();
    world.journal.set_disk(Disk::Held);
    let mut deletion = std::pin::pin!(world.coordinator.delete("g"));
    assert!(futures::poll!(&mut deletion).is_pending());
    let outside = Committer::outside();
    let commit = world
        .coordinator
        .commit_offsets("g", &outside, vec![offset(5)], None);
    // Refused at once: what is accepted waits for the disk.
    let commit = tokio::time::timeout(PATIENCE, commit).await;
    assert_eq!(commit.unwrap(), Err(GroupError::NotAvailable));
    let join = world.coordinator.join("g", classic_join(""));
    let join = tokio::time::timeout(PATIENCE, join).await.unwrap();
    assert_eq!(join.unwrap_err().error, GroupError::NotAvailable);
    world.journal.set_disk(Disk::Fast);
    assert_eq!(deletion.await, Ok(()));
    let described = world.coordinator.describe("g").await;
    assert_eq!(described, Err(GroupError::GroupIdNotFound));
}

#[tokio::test]
async fn a_rewritten_partition_still_has_its_consumer_groups() {
    let world = World::new().await;
    let one = world.join("m1").await;
    let before = world.coordinator.describe_consumer("g").await.unwrap();
    let churn = async {
        let start = || world.journal.start_offset(TOPIC, 0).unwrap();
        while start() == 0 {
            let id = "other";
            world
                .coordinator
                .consumer_heartbeat("churn", joining(id))
                .await
                .unwrap();
            let leave = beating(id, -1, None);
            world
                .coordinator
                .consumer_heartbeat("churn", leave)
                .await
                .unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, churn)
        .await
        .expect("rewritten");
    let world = world.restart().await;
    assert_eq!(
        world.coordinator.describe_consumer("g").await.unwrap(),
        before
    );
    let beat = world.beat(beating("m1", 1, one.assignment)).await.unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, None));
}

#[tokio::test]
async fn a_topic_that_grows_reaches_the_members_with_their_next_heartbeat() {
    let world = World::new().await;
    let one = world.join("m1").await;
    world.topics.0.lock().set("a", 6);
    let beat = world.beat(beating("m1", 1, one.assignment)).await.unwrap();
    assert_eq!((beat.epoch, beat.assignment.unwrap().len()), (2, 6));
}

#[tokio::test]
async fn commits_of_another_epoch_are_refused_and_lists_tell_the_kind() {
    let world = World::new().await;
    world.join("m1").await;
    let coordinator = &world.coordinator;
    let stale = coordinator
        .commit_offsets("g", &member("m1", 0), vec![offset(1)], None)
        .await;
    assert_eq!(stale, Err(GroupError::StaleMemberEpoch));
    let old = coordinator
        .commit_offsets_at("g", &member("m1", 1), vec![offset(1)], None, 8)
        .await;
    assert_eq!(old, Err(GroupError::UnsupportedVersion));
    assert_eq!(
        coordinator.check_fetch("g", Some("m1"), 0).await,
        Err(GroupError::StaleMemberEpoch)
    );
    assert_eq!(coordinator.check_fetch("g", Some("m1"), 1).await, Ok(()));
    let listed = coordinator.list().await.unwrap().groups;
    assert_eq!(
        (listed[0].kind.name(), listed[0].protocol_type.as_str()),
        ("consumer", "consumer")
    );
}

/// The topics that the group has offsets of.
async fn topics_with_offsets(world: &World) -> Vec<String> {
    let all = world
        .coordinator
        .fetch_offsets("g", &OffsetsWanted::All, Stability::Any);
    all.await.unwrap().into_iter().map(|o| o.topic).collect()
}

#[tokio::test]
async fn only_offsets_of_topics_that_no_member_reads_expire() {
    let config = GroupConfig {
        offsets_retention: Duration::ZERO,
        ..GroupConfig::default()
    };
    let world = World::configured(MemoryJournal::shared(), config).await;
    let coordinator = &world.coordinator;
    let unread = || OffsetToCommit {
        topic: "unread".into(),
        ..offset(1)
    };
    world.join("m1").await;
    coordinator
        .commit_offsets("g", &member("m1", 1), vec![offset(1), unread()], None)
        .await
        .unwrap();
    coordinator.inner.expire_offsets().await.unwrap();
    assert_eq!(topics_with_offsets(&world).await, ["a"]);
    world.beat(beating("m1", -1, None)).await.unwrap();

    // The same with a classic group, which says what it reads to its leader.
    let c1 = coordinator
        .join("g", classic_join(""))
        .await
        .unwrap()
        .member_id;
    coordinator.sync("g", classic_sync(&c1, 1)).await.unwrap();
    coordinator
        .commit_offsets("g", &member(&c1, 1), vec![unread()], None)
        .await
        .unwrap();
    coordinator.inner.expire_offsets().await.unwrap();
    assert_eq!(topics_with_offsets(&world).await, ["a"]);
    let leaver = Leaver {
        member_id: c1,
        instance_id: None,
    };
    coordinator.leave("g", &[leaver]).await.unwrap();
    coordinator.inner.expire_offsets().await.unwrap();
    let gone = coordinator.describe("g").await;
    assert_eq!(
        gone,
        Err(GroupError::GroupIdNotFound),
        "nothing is left of it"
    );
}

#[tokio::test]
async fn the_policy_decides_which_way_a_group_with_members_may_go() {
    for (policy, up, down) in [
        (MigrationPolicy::Bidirectional, true, true),
        (MigrationPolicy::Upgrade, true, false),
        (MigrationPolicy::Downgrade, false, true),
        (MigrationPolicy::Disabled, false, false),
    ] {
        let mut config = GroupConfig::default();
        config.consumer.migration = policy;
        let world = World::configured(MemoryJournal::shared(), config).await;
        let coordinator = &world.coordinator;
        coordinator.join("g", classic_join("")).await.unwrap();
        let joined = world.beat(joining("m2")).await;
        assert_eq!(joined.is_ok(), up, "{policy:?}");
        let refused = joined.err();
        assert!(refused.is_none_or(|e| e == GroupError::GroupIdNotFound));

        // A group that is of the new protocol from the start.
        let join = coordinator.consumer_heartbeat("h", joining("m1"));
        join.await.unwrap();
        coordinator.join("h", classic_join("")).await.unwrap();
        let leave = coordinator.consumer_heartbeat("h", beating("m1", -1, None));
        leave.await.unwrap();
        let kind = coordinator.describe("h").await.unwrap().kind;
        assert_eq!(kind == GroupKind::Classic, down, "{policy:?}");
    }
}

#[tokio::test]
async fn a_static_member_may_come_back_with_the_classic_protocol() {
    let world = World::new().await;
    let joining = ConsumerHeartbeat {
        instance_id: Some("host-1".into()),
        ..joining("m1")
    };
    world.beat(joining).await.unwrap();
    let leave = ConsumerHeartbeat {
        instance_id: Some("host-1".into()),
        ..beating("m1", -2, None)
    };
    assert_eq!(world.beat(leave).await.unwrap().epoch, -2);
    let back = JoinRequest {
        instance_id: Some("host-1".into()),
        ..classic_join("")
    };
    let joined = world.coordinator.join("g", back).await.unwrap();
    assert_eq!(joined.leader, joined.member_id, "it leads a classic group");
    assert_eq!(world.kind().await.0, GroupKind::Classic);
    // Its first generation is written with the leader's assignment; until then
    // a restart finds nothing, least of all the consumer group.
    let after = world.restart().await;
    let described = after.coordinator.describe("g").await;
    assert_eq!(described, Err(GroupError::GroupIdNotFound));
}

#[tokio::test]
async fn a_commit_that_an_epoch_overtook_holds_for_partitions_that_stayed() {
    let world = World::new().await;
    let one = world.join("m1").await;
    world.topics.0.lock().set("a", 6);
    let grown = world.beat(beating("m1", 1, one.assignment)).await.unwrap();
    assert_eq!(grown.epoch, 2);
    let commit = async |partition, epoch| {
        let one = OffsetToCommit {
            partition,
            ..offset(1)
        };
        let who = member("m1", epoch);
        world
            .coordinator
            .commit_offsets("g", &who, vec![one], None)
            .await
    };
    assert_eq!(
        commit(0, 1).await,
        Ok(vec![Ok(())]),
        "its own before and after"
    );
    let stale = Err(GroupError::StaleMemberEpoch);
    assert_eq!(commit(5, 1).await, stale, "not yet its own in that epoch");
    assert_eq!(commit(0, 0).await, stale);
    assert_eq!(commit(0, 3).await, stale);
    assert_eq!(commit(5, 2).await, Ok(vec![Ok(())]));
}
