use super::commits::{Committer, OffsetToCommit, OffsetsWanted, Stability};
use super::*;
use crate::journal::memory::{Disk, MemoryJournal};
use crate::journal::{InternalTopic, Journal};
use crate::task::started;
use crate::txn::Producer;
use bytes::Bytes;
use millstream_core::env::clock::ManualClock;
use millstream_core::env::rand::SeededRand;
use millstream_core::env::{Clock, SystemClock};
use millstream_core::ids::{ProducerEpoch, ProducerId};
use millstream_wire::batch::{ControlKind, EndTxnMarker};
use std::sync::Arc;
use std::time::Duration;

const TOPIC: InternalTopic = InternalTopic::ConsumerOffsets;
const PATIENCE: Duration = Duration::from_secs(10);

async fn coordinator_on(journal: Arc<MemoryJournal>, clock: Arc<dyn Clock>) -> GroupCoordinator {
    let coordinator = loading(journal, clock).await;
    wait_until_loaded(&coordinator).await;
    coordinator
}

/// A coordinator that has just begun to read.
async fn loading(journal: Arc<MemoryJournal>, clock: Arc<dyn Clock>) -> GroupCoordinator {
    let coordinator = GroupCoordinator::new(GroupServices {
        topics: Arc::new(super::consumer::testing::FakeSource::default()),
        config: GroupConfig {
            initial_rebalance_delay: Duration::ZERO,
            session_timeout_min: Duration::from_millis(10),
            offsets_topic_partitions: 4,
            groups_max: 8,
            rewrite_bytes_min: 4_000,
            ..GroupConfig::default()
        },
        journal,
        clock,
        rand: SeededRand::shared(1),
    });
    coordinator.start().await;
    coordinator
}

async fn coordinator(journal: &Arc<MemoryJournal>) -> GroupCoordinator {
    coordinator_on(Arc::clone(journal), SystemClock::shared()).await
}

async fn wait_until_loaded(coordinator: &GroupCoordinator) {
    let loaded = async {
        while coordinator.list().await.unwrap().incomplete.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, loaded)
        .await
        .expect("never loaded");
}

fn join_request(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.into(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"sub"),
        }],
        fresh_member_id: String::new(),
        requires_known_member_id: false,
        supports_skip_assignment: false,
    }
}

fn sync_request(
    member: &str,
    generation: i32,
    assignments: &[(&str, &'static str)],
) -> SyncRequest {
    SyncRequest {
        member_id: member.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, a)| ((*id).to_owned(), Bytes::from_static(a.as_bytes())))
            .collect(),
    }
}

fn offset(partition: i32, offset: i64) -> OffsetToCommit {
    OffsetToCommit {
        topic: "orders".into(),
        partition,
        offset,
        leader_epoch: 2,
        metadata: format!("at {offset}"),
    }
}

async fn commit(coordinator: &GroupCoordinator, group: &str, at: i64) {
    let results = coordinator
        .commit_offsets(group, &Committer::outside(), vec![offset(0, at)], None)
        .await;
    assert_eq!(results, Ok(vec![Ok(())]));
}

async fn committed(coordinator: &GroupCoordinator, group: &str) -> Option<i64> {
    let wanted = OffsetsWanted::Partitions(vec![("orders".into(), 0)]);
    let fetched = coordinator
        .fetch_offsets(group, &wanted, Stability::Any)
        .await
        .unwrap();
    fetched[0]
        .committed
        .clone()
        .unwrap()
        .map(|value| value.offset)
}

fn producer(epoch: i16) -> Producer {
    Producer {
        id: ProducerId(7),
        epoch: ProducerEpoch(epoch),
    }
}

async fn commit_in_transaction(coordinator: &GroupCoordinator, group: &str, at: i64) {
    let who = Committer::outside();
    let offsets = vec![offset(0, at)];
    let results = coordinator
        .commit_offsets_in_transaction(group, &who, producer(0), offsets, None)
        .await;
    assert_eq!(results, Ok(vec![Ok(())]));
}

/// Writes the marker as the broker does, and tells the coordinator.
async fn end_transaction(
    journal: &Arc<MemoryJournal>,
    coordinator: &GroupCoordinator,
    group: &str,
    kind: ControlKind,
) {
    let partition = coordinator.partition_of(group).await.unwrap();
    let marker = EndTxnMarker {
        kind,
        coordinator_epoch: 0,
    }
    .to_batch(7, 0, 0)
    .unwrap();
    journal
        .append(TOPIC, partition, marker)
        .unwrap()
        .durable
        .await
        .unwrap();
    coordinator.end_transaction(partition, ProducerId(7), kind == ControlKind::Commit);
}

/// What of a group outlives a restart. When it came to stand where it stands
/// is written with the assignment, a moment before it does.
async fn lasting(coordinator: &GroupCoordinator) -> Result<GroupDescription, GroupError> {
    let described = coordinator.describe("g").await;
    described.map(|group| GroupDescription {
        state_timestamp_ms: 0,
        ..group
    })
}

#[tokio::test]
async fn two_members_rebalance_and_get_their_assignments() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    let first = coordinator.join("g", join_request("")).await.unwrap();
    let leader = first.member_id.clone();
    assert!(leader.starts_with("client-"));
    coordinator
        .sync("g", sync_request(&leader, 1, &[(&leader, "all")]))
        .await
        .unwrap();

    let joiner = coordinator.clone();
    let second = started(async move { joiner.join("g", join_request("")).await }).await;
    let beat = coordinator.heartbeat("g", &leader, None, 1).await;
    assert_eq!(beat, Err(GroupError::RebalanceInProgress));
    let first = coordinator.join("g", join_request(&leader)).await.unwrap();
    let follower = second.await.unwrap().member_id;
    assert_eq!((first.generation, first.members.len()), (2, 2));

    let syncer = coordinator.clone();
    let request = sync_request(&follower, 2, &[]);
    let waiting = started(async move { syncer.sync("g", request).await }).await;
    let assignments = [(leader.as_str(), "one"), (follower.as_str(), "two")];
    let mine = coordinator
        .sync("g", sync_request(&leader, 2, &assignments))
        .await
        .unwrap();
    assert_eq!(
        (mine.assignment, waiting.await.unwrap().assignment),
        ("one".into(), "two".into())
    );

    let described = coordinator.describe("g").await.unwrap();
    assert_eq!(described.state, "Stable");
    assert_eq!(described.protocol, "range");
    assert_eq!(described.members.len(), 2);
    let gone = coordinator
        .leave(
            "g",
            &[Leaver {
                member_id: follower,
                instance_id: None,
            }],
        )
        .await;
    assert!(gone.unwrap()[0].is_ok());
}

#[tokio::test]
async fn a_silent_member_is_removed_by_the_timer() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    let mut request = join_request("");
    request.session_timeout = Duration::from_millis(30);
    request.rebalance_timeout = Duration::from_millis(30);
    coordinator.join("g", request).await.unwrap();
    let empties = async {
        while coordinator.describe("g").await.unwrap().state != "Empty" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empties)
        .await
        .expect("the member stayed");
}

#[tokio::test]
async fn a_commit_is_visible_only_when_it_is_durable() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    commit(&coordinator, "g", 5).await;
    journal.set_disk(Disk::Held);
    let committer = coordinator.clone();
    let pending = started(async move { commit(&committer, "g", 9).await }).await;
    assert_eq!(committed(&coordinator, "g").await, Some(5));
    journal.set_disk(Disk::Fast);
    pending.await;
    assert_eq!(committed(&coordinator, "g").await, Some(9));
}

#[tokio::test]
async fn a_commit_goes_on_though_its_client_went_away() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    journal.set_disk(Disk::Held);
    let committer = coordinator.clone();
    let pending = started(async move { commit(&committer, "g", 9).await }).await;
    drop(pending);
    journal.set_disk(Disk::Fast);
    let lands = async {
        while committed(&coordinator, "g").await != Some(9) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, lands)
        .await
        .expect("the commit was lost");
}

#[tokio::test]
async fn a_commit_that_cannot_be_written_is_refused_and_not_visible() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    commit(&coordinator, "g", 5).await;
    journal.set_disk(Disk::Broken);
    let who = Committer::outside();
    let result = coordinator
        .commit_offsets("g", &who, vec![offset(0, 9)], None)
        .await;
    assert_eq!(result, Err(GroupError::Storage));
    assert_eq!(committed(&coordinator, "g").await, Some(5));
}

#[tokio::test]
async fn metadata_that_is_too_long_is_refused_for_its_partition_only() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    let mut long = offset(1, 1);
    long.metadata = "x".repeat(4097);
    let offsets = vec![offset(0, 1), long, offset(2, 1)];
    let results = coordinator
        .commit_offsets("g", &Committer::outside(), offsets, None)
        .await;
    let too_large = Err(GroupError::OffsetMetadataTooLarge);
    assert_eq!(results, Ok(vec![Ok(()), too_large, Ok(())]));
    let all = coordinator
        .fetch_offsets("g", &OffsetsWanted::All, Stability::Any)
        .await
        .unwrap();
    assert_eq!(
        all.iter().map(|one| one.partition).collect::<Vec<_>>(),
        [0, 2]
    );
}

#[tokio::test]
async fn groups_offsets_and_their_metadata_survive_a_restart() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    let member = before.join("g", join_request("")).await.unwrap().member_id;
    before
        .sync("g", sync_request(&member, 1, &[(&member, "all")]))
        .await
        .unwrap();
    let who = Committer {
        member_id: member.clone(),
        instance_id: None,
        generation: 1,
    };
    before
        .commit_offsets("g", &who, vec![offset(0, 41)], None)
        .await
        .unwrap();
    before
        .commit_offsets("g", &who, vec![offset(0, 42)], None)
        .await
        .unwrap();
    commit(&before, "simple", 7).await;

    let after = coordinator(&journal).await;
    assert_eq!(after.heartbeat("g", &member, None, 1).await, Ok(()));
    assert_eq!(lasting(&after).await, lasting(&before).await);
    let all = after
        .fetch_offsets("g", &OffsetsWanted::All, Stability::Any)
        .await
        .unwrap();
    let value = all[0].committed.clone().unwrap().unwrap();
    assert_eq!(
        (value.offset, value.leader_epoch, value.metadata.as_str()),
        (42, 2, "at 42")
    );
    let listed = after.list().await.unwrap().groups;
    let ids: Vec<_> = listed.iter().map(|g| (g.id.as_str(), g.state)).collect();
    assert_eq!(ids, [("g", "Stable"), ("simple", "Empty")]);
}

#[tokio::test]
async fn offsets_of_a_transaction_appear_at_its_commit_marker() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    commit(&coordinator, "g", 5).await;
    commit_in_transaction(&coordinator, "g", 9).await;
    assert_eq!(committed(&coordinator, "g").await, Some(5));
    let wanted = OffsetsWanted::Partitions(vec![("orders".into(), 0)]);
    let stable = coordinator
        .fetch_offsets("g", &wanted, Stability::Stable)
        .await
        .unwrap();
    assert_eq!(stable[0].committed, Err(GroupError::UnstableOffsetCommit));
    end_transaction(&journal, &coordinator, "g", ControlKind::Commit).await;
    assert_eq!(committed(&coordinator, "g").await, Some(9));
    let stable = coordinator
        .fetch_offsets("g", &wanted, Stability::Stable)
        .await
        .unwrap();
    assert!(stable[0].committed.is_ok());
}

#[tokio::test]
async fn offsets_of_an_aborted_transaction_vanish() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    commit_in_transaction(&coordinator, "g", 9).await;
    end_transaction(&journal, &coordinator, "g", ControlKind::Abort).await;
    assert_eq!(committed(&coordinator, "g").await, None);
}

#[tokio::test]
async fn an_open_transaction_is_still_pending_after_a_restart() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit(&before, "g", 5).await;
    commit_in_transaction(&before, "g", 9).await;
    let after = coordinator(&journal).await;
    assert_eq!(committed(&after, "g").await, Some(5));
    end_transaction(&journal, &after, "g", ControlKind::Commit).await;
    assert_eq!(committed(&after, "g").await, Some(9));
    let again = coordinator(&journal).await;
    assert_eq!(committed(&again, "g").await, Some(9));
}

#[tokio::test]
async fn a_plain_commit_after_a_transactional_one_wins_over_it() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit_in_transaction(&before, "g", 9).await;
    commit(&before, "g", 20).await;
    end_transaction(&journal, &before, "g", ControlKind::Commit).await;
    assert_eq!(
        committed(&before, "g").await,
        Some(20),
        "it is later in the log"
    );
    let after = coordinator(&journal).await;
    assert_eq!(
        committed(&after, "g").await,
        Some(20),
        "and so it is after a replay"
    );
}

#[tokio::test]
async fn a_deleted_group_is_gone_and_stays_gone() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    let member = before.join("g", join_request("")).await.unwrap().member_id;
    before
        .sync("g", sync_request(&member, 1, &[(&member, "all")]))
        .await
        .unwrap();
    commit(&before, "simple", 1).await;
    assert_eq!(before.delete("g").await, Err(GroupError::NonEmptyGroup));
    let leaver = Leaver {
        member_id: member,
        instance_id: None,
    };
    before.leave("g", &[leaver]).await.unwrap();
    assert_eq!(before.delete("g").await, Ok(()));
    assert_eq!(before.delete("simple").await, Ok(()));
    assert_eq!(before.delete("g").await, Err(GroupError::GroupIdNotFound));
    assert_eq!(committed(&before, "simple").await, None);
    let after = coordinator(&journal).await;
    assert_eq!(after.list().await.unwrap().groups, []);
    assert_eq!(after.describe("g").await, Err(GroupError::GroupIdNotFound));
}

#[tokio::test]
async fn offsets_expire_when_nobody_has_been_in_the_group_for_the_retention() {
    let (journal, clock) = (MemoryJournal::shared(), ManualClock::at(1_000));
    let coordinator = coordinator_on(Arc::clone(&journal), clock.clone()).await;
    let mut request = join_request("");
    request.session_timeout = Duration::from_secs(1_000);
    let member = coordinator.join("g", request).await.unwrap().member_id;
    coordinator
        .sync("g", sync_request(&member, 1, &[]))
        .await
        .unwrap();
    let who = Committer {
        member_id: member.clone(),
        instance_id: None,
        generation: 1,
    };
    coordinator
        .commit_offsets("g", &who, vec![offset(0, 1)], None)
        .await
        .unwrap();
    commit(&coordinator, "simple", 1).await;
    let week_ms = 7 * 24 * 3600 * 1000;
    clock.advance_ms(week_ms);
    coordinator.inner.expire_offsets().await.unwrap();
    assert_eq!(
        committed(&coordinator, "g").await,
        Some(1),
        "the group has a member"
    );
    assert_eq!(committed(&coordinator, "simple").await, None);
    coordinator
        .leave(
            "g",
            &[Leaver {
                member_id: member,
                instance_id: None,
            }],
        )
        .await
        .unwrap();
    clock.advance_ms(week_ms - 1);
    coordinator.inner.expire_offsets().await.unwrap();
    assert_eq!(
        committed(&coordinator, "g").await,
        Some(1),
        "empty, but not for long enough"
    );
    clock.advance_ms(1);
    coordinator.inner.expire_offsets().await.unwrap();
    assert_eq!(committed(&coordinator, "g").await, None);
    assert_eq!(
        coordinator.list().await.unwrap().groups,
        [],
        "nothing is left of the groups"
    );
}

#[tokio::test]
async fn a_commit_may_bring_its_own_expiry() {
    let (journal, clock) = (MemoryJournal::shared(), ManualClock::at(1_000));
    let before = coordinator_on(Arc::clone(&journal), clock.clone()).await;
    let retention = Some(Duration::from_secs(60));
    let who = Committer::outside();
    before
        .commit_offsets("g", &who, vec![offset(0, 1)], retention)
        .await
        .unwrap();
    let after = coordinator_on(journal, clock.clone()).await;
    clock.advance_ms(59_999);
    after.inner.expire_offsets().await.unwrap();
    assert_eq!(committed(&after, "g").await, Some(1));
    clock.advance_ms(1);
    after.inner.expire_offsets().await.unwrap();
    assert_eq!(committed(&after, "g").await, None);
}

#[tokio::test]
async fn the_number_of_groups_is_bounded() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    for n in 0..8 {
        commit(&coordinator, &format!("g{n}"), 1).await;
    }
    let who = Committer::outside();
    let ninth = coordinator
        .commit_offsets("g8", &who, vec![offset(0, 1)], None)
        .await;
    assert_eq!(ninth, Err(GroupError::NotAvailable));
    coordinator.delete("g0").await.unwrap();
    commit(&coordinator, "g8", 1).await;
}

#[tokio::test]
async fn what_clients_keep_in_groups_is_bounded() {
    let coordinator = GroupCoordinator::new(GroupServices {
        topics: Arc::new(super::consumer::testing::FakeSource::default()),
        config: GroupConfig {
            initial_rebalance_delay: Duration::ZERO,
            offsets_topic_partitions: 1,
            members_bytes_max: 4 * 1024,
            offsets_bytes_max: 4 * 1024,
            ..GroupConfig::default()
        },
        journal: MemoryJournal::shared(),
        clock: SystemClock::shared(),
        rand: SeededRand::shared(1),
    });
    coordinator.start().await;
    wait_until_loaded(&coordinator).await;
    let mut request = join_request("");
    request.protocols[0].metadata = vec![7; 1_000].into();
    let joined = coordinator.join("g0", request.clone()).await.unwrap();
    let member_id = joined.member_id.clone();
    drop(joined);
    let refused = coordinator.join("g1", request.clone()).await.unwrap_err();
    assert_eq!(refused.error, GroupError::NotAvailable);
    let listed = coordinator.list().await.unwrap().groups;
    assert_eq!(listed.len(), 1, "{listed:?}");
    // Whoever leaves gives the room back.
    let leaver = Leaver {
        member_id,
        instance_id: None,
    };
    let left = coordinator.leave("g0", &[leaver]).await.unwrap();
    assert!(left[0].is_ok());
    let joins = async {
        while coordinator.join("g1", request.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, joins)
        .await
        .expect("no room");

    let who = Committer::outside();
    let commit = async |partition| {
        let offsets = vec![offset(partition, 1)];
        coordinator.commit_offsets("o", &who, offsets, None).await
    };
    let mut fits = 0;
    while commit(fits).await.is_ok() {
        fits += 1;
        assert!(fits < 100, "offsets without a bound");
    }
    assert!(fits > 5, "{fits}");
    assert_eq!(commit(fits).await, Err(GroupError::CommitTooLarge));
    // What is there already goes on, and what is deleted makes room.
    assert_eq!(commit(0).await, Ok(vec![Ok(())]));
    coordinator.delete("o").await.unwrap();
    assert_eq!(commit(fits).await, Ok(vec![Ok(())]));
}

#[tokio::test]
async fn a_member_of_a_group_that_does_not_exist_cannot_commit() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    let who = Committer {
        member_id: "m".into(),
        instance_id: None,
        generation: 3,
    };
    let result = coordinator
        .commit_offsets("g", &who, vec![offset(0, 1)], None)
        .await;
    assert_eq!(result, Err(GroupError::GroupIdNotFound));
    assert_eq!(coordinator.list().await.unwrap().groups, []);
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit(&before, "g", 1).await;
    before.topic_deleted("orders").await.unwrap();
    assert_eq!(committed(&before, "g").await, None);
    let after = coordinator(&journal).await;
    assert_eq!(committed(&after, "g").await, None);
}

#[tokio::test]
async fn offsets_go_with_a_topic_that_is_deleted_while_they_are_read() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit(&before, "g", 5).await;
    let journal = journal.after_crash(TOPIC, 0);
    // One attempt of each partition, so that the reading lasts a while.
    journal.fail_reads(4);
    let after = loading(Arc::clone(&journal), SystemClock::shared()).await;
    after.topic_deleted("orders").await.unwrap();
    assert!(after.list().await.unwrap().incomplete.is_some());
    wait_until_loaded(&after).await;
    let forgotten = async {
        while committed(&after, "g").await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    let forgotten = tokio::time::timeout(PATIENCE, forgotten).await;
    forgotten.expect("the offset stayed");
    let again = coordinator(&journal).await;
    assert_eq!(committed(&again, "g").await, None);
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_is_tried_again_and_holds_up_no_other() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit(&before, "g", 5).await;
    let after = journal.after_crash(InternalTopic::ConsumerOffsets, 0);
    // The first attempt of each of the four partitions, and one more.
    after.fail_reads(5);
    let after = coordinator(&after).await;
    assert_eq!(committed(&after, "g").await, Some(5));
}

#[tokio::test]
async fn a_deletion_of_more_offsets_than_fit_one_batch_takes_several() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    let group = "g".repeat(200);
    let offsets: Vec<_> = (0..2_000).map(|partition| offset(partition, 1)).collect();
    let who = Committer::outside();
    for offsets in offsets.chunks(500) {
        let committed = before.commit_offsets(&group, &who, offsets.to_vec(), None);
        committed.await.unwrap();
    }
    let batches = journal.batches(InternalTopic::ConsumerOffsets);
    before.topic_deleted("orders").await.unwrap();
    assert!(journal.batches(InternalTopic::ConsumerOffsets) > batches + 1);
    let after = coordinator(&journal).await;
    for coordinator in [&before, &after] {
        let all = coordinator.fetch_offsets(&group, &OffsetsWanted::All, Stability::Any);
        assert_eq!(all.await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn asking_creates_no_topic() {
    let journal = MemoryJournal::shared();
    let coordinator = coordinator(&journal).await;
    assert_eq!(coordinator.list().await.unwrap().groups, []);
    assert_eq!(
        coordinator.describe("g").await,
        Err(GroupError::GroupIdNotFound)
    );
    assert_eq!(committed(&coordinator, "g").await, None);
    assert_eq!(journal.partitions(TOPIC), None);
}

#[tokio::test]
async fn stopping_answers_everything_that_waits() {
    let coordinator = coordinator(&MemoryJournal::shared()).await;
    let first = coordinator.join("g", join_request("")).await.unwrap();
    let leader = first.member_id;
    coordinator
        .sync("g", sync_request(&leader, 1, &[]))
        .await
        .unwrap();
    let joiner = coordinator.clone();
    let waiting = started(async move { joiner.join("g", join_request("")).await }).await;
    coordinator.shutdown();
    assert_eq!(waiting.await.unwrap_err().error, GroupError::NotAvailable);
    let late = coordinator.heartbeat("g", &leader, None, 1).await;
    assert_eq!(late, Err(GroupError::NotAvailable));
}

#[tokio::test]
async fn a_partition_is_rewritten_to_what_lives_and_nothing_is_lost() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    let member = before.join("g", join_request("")).await.unwrap().member_id;
    before
        .sync("g", sync_request(&member, 1, &[(&member, "all")]))
        .await
        .unwrap();
    commit(&before, "other", 1).await;
    let who = Committer {
        member_id: member.clone(),
        instance_id: None,
        generation: 1,
    };
    for at in 0..1_000 {
        before
            .commit_offsets("g", &who, vec![offset(0, at)], None)
            .await
            .unwrap();
        if at % 10 == 0 {
            let offsets = vec![offset(1, at)];
            before
                .commit_offsets_in_transaction("g", &who, producer(0), offsets, None)
                .await
                .unwrap();
            end_transaction(&journal, &before, "g", ControlKind::Commit).await;
        }
    }
    assert!(
        journal.batches(TOPIC) < 200,
        "{} batches are left",
        journal.batches(TOPIC)
    );
    let after = coordinator(&journal).await;
    assert_eq!(lasting(&after).await, lasting(&before).await);
    assert_eq!(committed(&after, "g").await, Some(999));
    assert_eq!(committed(&after, "other").await, Some(1));
    let all = after
        .fetch_offsets("g", &OffsetsWanted::All, Stability::Any)
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].committed.clone().unwrap().unwrap().offset, 990);
}

#[tokio::test]
async fn an_open_transaction_puts_a_rewrite_off() {
    let journal = MemoryJournal::shared();
    let before = coordinator(&journal).await;
    commit(&before, "g", 1).await;
    commit_in_transaction(&before, "g", 500).await;
    for _ in 0..100 {
        commit_in_transaction(&before, "g", 500).await;
    }
    assert_eq!(journal.batches(TOPIC), 102);
    let after = coordinator(&journal).await;
    end_transaction(&journal, &after, "g", ControlKind::Commit).await;
    assert_eq!(committed(&after, "g").await, Some(500));
    commit(&after, "g", 501).await;
    let trimmed = async {
        while journal.batches(TOPIC) > 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, trimmed)
        .await
        .expect("it was never rewritten");
    assert_eq!(
        committed(&coordinator(&journal).await, "g").await,
        Some(501)
    );
}
