//! What every implementation of the bus must do, as tests that panic.
//!
//! Run against the in-memory bus, the embedded broker and librdkafka on a
//! Millstream and on an Apache Kafka broker. `prefix` keeps runs on one
//! broker apart: topics, groups and transactional ids start with it.
//!
//! Visibility after a commit is waited for with a bound: Apache Kafka answers
//! EndTxn before the markers are in the partitions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a conformance suite is a test"
)]

use super::bus::{
    Bus, BusError, Isolation, OffsetAt, ProduceRecord, Record, RecordHeader, TopicSpec,
    all_partitions,
};
use crate::ids::{Offset, TopicPartition};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
const TXN_TIMEOUT: Duration = Duration::from_secs(60);
const BYTES: usize = 1024 * 1024;

/// Every check, one after the other.
pub async fn run_all(bus: Arc<dyn Bus>, prefix: &str) {
    let bus = bus.as_ref();
    topics_are_created_listed_and_deleted(bus, prefix).await;
    offsets_know_earliest_latest_stable_and_time(bus, prefix).await;
    a_reader_polls_seeks_and_waits(bus, prefix).await;
    a_dropped_poll_loses_nothing(bus, prefix).await;
    a_reader_outside_the_log_is_told(bus, prefix).await;
    a_writer_keeps_order_and_returns_offsets(bus, prefix).await;
    headers_and_nulls_survive(bus, prefix).await;
    big_sends_arrive_whole(bus, prefix).await;
    an_oversized_record_is_refused(bus, prefix).await;
    a_transaction_is_seen_when_committed(bus, prefix).await;
    an_aborted_transaction_is_never_seen(bus, prefix).await;
    a_transaction_spans_partitions(bus, prefix).await;
    an_empty_transaction_commits(bus, prefix).await;
    a_new_instance_fences_the_old(bus, prefix).await;
    a_new_instance_aborts_what_was_left_open(bus, prefix).await;
    group_offsets_are_seen_when_committed(bus, prefix).await;
    deleted_records_are_gone(bus, prefix).await;
}

/// Creates, lists, describes and deletes; errors name the cause.
pub async fn topics_are_created_listed_and_deleted(bus: &dyn Bus, prefix: &str) {
    let name = format!("{prefix}-topics");
    assert_eq!(
        bus.topic(&name).await,
        Err(BusError::UnknownTopic(name.clone()))
    );
    let configs = BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]);
    let spec = TopicSpec {
        name: name.clone(),
        partitions: 3,
        configs,
    };
    let made = bus.create_topic(spec.clone()).await.unwrap();
    assert_eq!((made.name.as_str(), made.partitions), (name.as_str(), 3));
    assert_eq!(
        bus.create_topic(spec).await,
        Err(BusError::TopicExists(name.clone()))
    );
    assert_eq!(bus.topic(&name).await.unwrap().partitions, 3);
    let listed = bus.topics().await.unwrap();
    assert!(listed.iter().any(|t| t.name == name && t.partitions == 3));
    assert!(
        listed.windows(2).all(|w| w[0].name < w[1].name),
        "sorted by name"
    );

    let bad = TopicSpec {
        name: format!("{prefix} bad/name"),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    assert!(matches!(
        bus.create_topic(bad).await,
        Err(BusError::Invalid(_))
    ));

    bus.delete_topic(&name).await.unwrap();
    eventually("the topic is gone", async || {
        matches!(bus.topic(&name).await, Err(BusError::UnknownTopic(_)))
    })
    .await;
    assert_eq!(
        bus.delete_topic(&name).await,
        Err(BusError::UnknownTopic(name))
    );
}

/// Earliest, latest, by timestamp; in the order asked.
pub async fn offsets_know_earliest_latest_stable_and_time(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-offsets"), 2).await;
    let mut writer = bus.writer().await.unwrap();
    let records = (1..=10)
        .map(|i| ProduceRecord {
            timestamp_ms: Some(i * 1_000),
            ..text(&format!("v{i}"))
        })
        .collect();
    writer.send(&parts[1], records).await.unwrap();
    let asked = [parts[1].clone(), parts[0].clone()];
    let at = async |at| bus.offsets(&asked, at).await.unwrap();
    assert_eq!(at(OffsetAt::Earliest).await, [Offset(0), Offset(0)]);
    assert_eq!(at(OffsetAt::Latest).await, [Offset(10), Offset(0)]);
    assert_eq!(at(OffsetAt::LatestStable).await, [Offset(10), Offset(0)]);
    assert_eq!(
        at(OffsetAt::TimestampMs(3_500)).await,
        [Offset(3), Offset(0)]
    );
    assert_eq!(
        at(OffsetAt::TimestampMs(99_000)).await,
        [Offset(10), Offset(0)]
    );
    let unknown = TopicPartition::new(format!("{prefix}-not-there"), 0);
    assert!(matches!(
        bus.offsets(&[unknown], OffsetAt::Latest).await,
        Err(BusError::UnknownTopic(_))
    ));
}

/// Reads in order, waits for what is not there yet, goes back.
pub async fn a_reader_polls_seeks_and_waits(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-reader"), 2).await;
    let mut writer = bus.writer().await.unwrap();
    let start = [(parts[0].clone(), Offset(0))];
    let mut reader = bus
        .reader(&start, Isolation::ReadUncommitted)
        .await
        .unwrap();
    assert!(
        reader
            .poll(Duration::from_millis(20), BYTES)
            .await
            .unwrap()
            .is_empty()
    );

    writer
        .send(&parts[0], vec![text("a"), text("b"), text("c")])
        .await
        .unwrap();
    let read = read_until(reader.as_mut(), 3).await;
    assert_eq!(
        read.iter().map(|r| r.offset.0).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(values(&read), ["a", "b", "c"]);

    let waiting = async {
        let began = Instant::now();
        let read = read_until(reader.as_mut(), 1).await;
        (read, began.elapsed())
    };
    let writing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        writer.send(&parts[0], vec![text("d")]).await.unwrap();
    };
    let ((read, _), ()) = tokio::join!(waiting, writing);
    assert_eq!(values(&read), ["d"]);

    reader.seek(&parts[0], Offset(1)).await.unwrap();
    assert_eq!(
        values(&read_until(reader.as_mut(), 3).await),
        ["b", "c", "d"]
    );

    writer.send(&parts[1], vec![text("z")]).await.unwrap();
    reader.seek(&parts[1], Offset(0)).await.unwrap();
    assert_eq!(values(&read_until(reader.as_mut(), 1).await), ["z"]);
}

/// A poll dropped at any moment: the next one goes on where it was.
pub async fn a_dropped_poll_loses_nothing(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-dropped"), 1).await;
    let mut writer = bus.writer().await.unwrap();
    let mut reader = bus
        .reader(&[(parts[0].clone(), Offset(0))], Isolation::ReadUncommitted)
        .await
        .unwrap();
    for i in 0..20 {
        writer
            .send(&parts[0], vec![text(&format!("{i}"))])
            .await
            .unwrap();
    }
    let mut read = Vec::new();
    let began = Instant::now();
    let mut patience_us = 1;
    while read.len() < 20 {
        assert!(began.elapsed() < PATIENCE, "read {} of 20", read.len());
        patience_us = (patience_us * 2).min(200_000);
        let poll = reader.poll(POLL, 1);
        if let Ok(chunks) = tokio::time::timeout(Duration::from_micros(patience_us), poll).await {
            read.extend(chunks.unwrap().into_iter().flat_map(|c| c.records));
        }
    }
    let expected: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    assert_eq!(values(&read), expected);
}

/// Of three sends the middle one is damaged by `damage`, which is told where:
/// the others are read, and the range between them says why it is missing. Not
/// part of [`run_all`]: how to damage what is stored is each bus's own.
pub async fn what_cannot_be_read_is_set_apart(
    bus: &dyn Bus,
    prefix: &str,
    damage: impl AsyncFnOnce(&TopicPartition, Offset, Offset),
) {
    let parts = create(bus, &format!("{prefix}-damaged"), 1).await;
    let mut writer = bus.writer().await.unwrap();
    for sent in [["a", "b"], ["c", "d"], ["e", "f"]] {
        let records = sent.map(text).to_vec();
        writer.send(&parts[0], records).await.unwrap();
    }
    damage(&parts[0], Offset(2), Offset(3)).await;
    for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
        for bytes_max in [1, BYTES] {
            let start = [(parts[0].clone(), Offset(0))];
            let mut reader = bus.reader(&start, isolation).await.unwrap();
            let (mut records, mut unreadable) = (Vec::new(), Vec::new());
            let mut next_offset = Offset(0);
            let began = Instant::now();
            while next_offset < Offset(6) {
                assert!(began.elapsed() < PATIENCE, "read to {next_offset} of 6");
                for chunk in reader.poll(POLL, bytes_max).await.unwrap() {
                    assert!(chunk.next_offset > next_offset);
                    next_offset = chunk.next_offset;
                    records.extend(chunk.records);
                    unreadable.extend(chunk.unreadable);
                }
            }
            assert_eq!(values(&records), ["a", "b", "e", "f"]);
            assert_eq!(unreadable.len(), 1, "{unreadable:?}");
            assert_eq!(
                (unreadable[0].first_offset, unreadable[0].last_offset),
                (Offset(2), Offset(3))
            );
            assert!(!unreadable[0].reason.is_empty());
        }
    }
    // Between the damage and the end, and within the damage.
    for (from, expected) in [(4, vec!["e", "f"]), (3, vec!["e", "f"])] {
        let start = [(parts[0].clone(), Offset(from))];
        let mut reader = bus.reader(&start, Isolation::ReadCommitted).await.unwrap();
        assert_eq!(values(&read_until(reader.as_mut(), 2).await), expected);
    }
}

/// Reading below the start or above the end is an error, not a reset.
pub async fn a_reader_outside_the_log_is_told(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-outside"), 1).await;
    let start = [(parts[0].clone(), Offset(50))];
    let began = Instant::now();
    loop {
        let result = match bus.reader(&start, Isolation::ReadCommitted).await {
            Ok(mut reader) => reader.poll(POLL, BYTES).await,
            Err(e) => Err(e),
        };
        match result {
            Err(BusError::OffsetOutOfRange { .. }) => return,
            Ok(chunks) if chunks.is_empty() && began.elapsed() < PATIENCE => {}
            other => panic!("offset 50 of an empty partition gave {other:?}"),
        }
    }
}

/// Offsets count up; order within a partition is that of the sends.
pub async fn a_writer_keeps_order_and_returns_offsets(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-order"), 2).await;
    let mut writer = bus.writer().await.unwrap();
    let mut next = [0_i64; 2];
    let mut expected: [Vec<String>; 2] = [Vec::new(), Vec::new()];
    for i in 0..60_usize {
        let p = i % 3 % 2;
        let count = i % 4 + 1;
        let records: Vec<_> = (0..count)
            .map(|j| {
                let value = format!("{i}/{j}");
                expected[p].push(value.clone());
                ProduceRecord {
                    key: Some(Bytes::from(format!("k{p}"))),
                    ..text(&value)
                }
            })
            .collect();
        let first = writer.send(&parts[p], records).await.unwrap();
        assert_eq!(first, Offset(next[p]));
        next[p] += count as i64;
    }
    for p in 0..2 {
        let read = read_all(bus, &parts[p], Isolation::ReadCommitted).await;
        assert_eq!(values(&read), expected[p], "order of partition {p}");
    }
    let unknown = TopicPartition::new(format!("{prefix}-not-there"), 0);
    let refused = writer.send(&unknown, vec![text("x")]).await;
    assert!(
        matches!(refused, Err(BusError::UnknownTopic(_))),
        "{refused:?}"
    );
}

/// Null and empty keys and values, repeated and null headers, timestamps.
pub async fn headers_and_nulls_survive(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-nulls"), 1).await;
    let header = |key: &str, value: Option<&'static str>| RecordHeader {
        key: key.to_owned(),
        value: value.map(|v| Bytes::from_static(v.as_bytes())),
    };
    let sent = vec![
        ProduceRecord {
            timestamp_ms: Some(1_234),
            ..Default::default()
        },
        ProduceRecord {
            timestamp_ms: Some(5),
            key: Some(Bytes::new()),
            value: Some(Bytes::new()),
            headers: vec![header("empty", Some("")), header("null", None)],
        },
        ProduceRecord {
            timestamp_ms: Some(1_700_000_000_000),
            key: Some(Bytes::from_static(b"\x00\xff")),
            value: Some(Bytes::from("值")),
            headers: vec![
                header("again", Some("1")),
                header("other", Some("x")),
                header("again", Some("2")),
            ],
        },
    ];
    let mut writer = bus.writer().await.unwrap();
    writer.send(&parts[0], sent.clone()).await.unwrap();
    let read = read_all(bus, &parts[0], Isolation::ReadCommitted).await;
    let read: Vec<_> = read
        .into_iter()
        .map(|r| ProduceRecord {
            timestamp_ms: Some(r.timestamp_ms),
            key: r.key,
            value: r.value,
            headers: r.headers,
        })
        .collect();
    assert_eq!(read, sent);
}

/// More in one send than one batch can hold.
pub async fn big_sends_arrive_whole(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-big"), 1).await;
    let body = "x".repeat(1_000);
    let records = |name: &str| -> Vec<ProduceRecord> {
        (0..5_000)
            .map(|i| text(&format!("{name}{i}-{body}")))
            .collect()
    };
    let mut writer = bus.writer().await.unwrap();
    assert_eq!(
        writer.send(&parts[0], records("w")).await.unwrap(),
        Offset(0)
    );
    let mut txn = bus
        .transaction_writer(&format!("{prefix}-big-txn"), TXN_TIMEOUT)
        .await
        .unwrap();
    txn.begin().await.unwrap();
    txn.send(&parts[0], records("t")).await.unwrap();
    txn.send(&parts[0], vec![text(&"y".repeat(900_000))])
        .await
        .unwrap();
    txn.commit().await.unwrap();
    eventually("all big records", async || {
        stable_end(bus, &parts[0]).await >= 10_001
    })
    .await;
    let read = read_all(bus, &parts[0], Isolation::ReadCommitted).await;
    assert_eq!(read.len(), 10_001);
    for (i, record) in read[..5_000].iter().enumerate() {
        let value = record.value.as_ref().unwrap();
        assert!(value.starts_with(format!("w{i}-").as_bytes()), "record {i}");
    }
    for (i, record) in read[5_000..10_000].iter().enumerate() {
        let value = record.value.as_ref().unwrap();
        assert!(value.starts_with(format!("t{i}-").as_bytes()), "record {i}");
    }
    assert_eq!(read[10_000].value.as_ref().unwrap().len(), 900_000);
}

/// A record above `max.message.bytes` is refused by name.
pub async fn an_oversized_record_is_refused(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-oversized"), 1).await;
    let mut writer = bus.writer().await.unwrap();
    let refused = writer
        .send(&parts[0], vec![text(&"z".repeat(2_000_000))])
        .await;
    assert!(matches!(refused, Err(BusError::TooLarge(_))), "{refused:?}");
    writer.send(&parts[0], vec![text("fits")]).await.unwrap();
    let read = read_all(bus, &parts[0], Isolation::ReadCommitted).await;
    assert_eq!(values(&read), ["fits"]);
}

/// Nothing at read_committed before the commit, everything after.
pub async fn a_transaction_is_seen_when_committed(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-commit"), 1).await;
    let tp = &parts[0];
    let mut txn = transaction(bus, &format!("{prefix}-commit")).await;
    txn.begin().await.unwrap();
    txn.send(tp, vec![text("a"), text("b")]).await.unwrap();
    eventually("the records are in the log", async || {
        bus.offsets(std::slice::from_ref(tp), OffsetAt::Latest)
            .await
            .unwrap()
            == [Offset(2)]
    })
    .await;
    assert_eq!(stable_end(bus, tp).await, 0, "an open transaction holds it");
    assert_eq!(
        values(&read_all(bus, tp, Isolation::ReadUncommitted).await),
        ["a", "b"]
    );
    let mut reader = bus
        .reader(&[(tp.clone(), Offset(0))], Isolation::ReadCommitted)
        .await
        .unwrap();
    assert!(reader.poll(POLL, BYTES).await.unwrap().is_empty());
    txn.commit().await.unwrap();
    assert_eq!(values(&read_until(reader.as_mut(), 2).await), ["a", "b"]);
    eventually("the stable end is past the marker", async || {
        stable_end(bus, tp).await == 3
    })
    .await;

    txn.begin().await.unwrap();
    txn.send(tp, vec![text("c")]).await.unwrap();
    txn.commit().await.unwrap();
    let read = read_until(reader.as_mut(), 1).await;
    assert_eq!(values(&read), ["c"]);
    assert_eq!(read[0].offset, Offset(3), "the marker took offset 2");
}

/// Aborted records stay unseen, and later ones are seen.
pub async fn an_aborted_transaction_is_never_seen(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-abort"), 1).await;
    let tp = &parts[0];
    let mut txn = transaction(bus, &format!("{prefix}-abort")).await;
    for round in 0..3 {
        txn.begin().await.unwrap();
        txn.send(tp, vec![text("never")]).await.unwrap();
        txn.abort().await.unwrap();
        txn.begin().await.unwrap();
        txn.send(tp, vec![text(&format!("seen {round}"))])
            .await
            .unwrap();
        txn.commit().await.unwrap();
    }
    let mut writer = bus.writer().await.unwrap();
    writer.send(tp, vec![text("plain")]).await.unwrap();
    eventually("the plain record is stable", async || {
        let at = OffsetAt::Latest;
        let end = bus.offsets(std::slice::from_ref(tp), at).await.unwrap()[0];
        stable_end(bus, tp).await == end.0
    })
    .await;
    let read = read_all(bus, tp, Isolation::ReadCommitted).await;
    assert_eq!(values(&read), ["seen 0", "seen 1", "seen 2", "plain"]);
}

/// All partitions of a transaction become visible.
pub async fn a_transaction_spans_partitions(bus: &dyn Bus, prefix: &str) {
    let mut parts = create(bus, &format!("{prefix}-span-a"), 3).await;
    parts.extend(create(bus, &format!("{prefix}-span-b"), 1).await);
    let mut txn = transaction(bus, &format!("{prefix}-span")).await;
    txn.begin().await.unwrap();
    for (i, tp) in parts.iter().enumerate() {
        txn.send(tp, vec![text(&format!("{i}"))]).await.unwrap();
    }
    txn.commit().await.unwrap();
    for (i, tp) in parts.iter().enumerate() {
        eventually("the commit is visible", async || {
            stable_end(bus, tp).await == 2
        })
        .await;
        let read = read_all(bus, tp, Isolation::ReadCommitted).await;
        assert_eq!(values(&read), [format!("{i}")]);
    }
}

/// Committing or aborting nothing is fine.
pub async fn an_empty_transaction_commits(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-empty"), 1).await;
    let mut txn = transaction(bus, &format!("{prefix}-empty")).await;
    txn.begin().await.unwrap();
    txn.commit().await.unwrap();
    txn.begin().await.unwrap();
    txn.abort().await.unwrap();
    txn.begin().await.unwrap();
    txn.send(&parts[0], vec![text("x")]).await.unwrap();
    txn.commit().await.unwrap();
    eventually("the commit is visible", async || {
        stable_end(bus, &parts[0]).await == 2
    })
    .await;
}

/// The zombie's work is lost, and it learns why.
pub async fn a_new_instance_fences_the_old(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-fence"), 1).await;
    let id = format!("{prefix}-fence");
    let mut old = transaction(bus, &id).await;
    old.begin().await.unwrap();
    old.send(&parts[0], vec![text("zombie")]).await.unwrap();
    let mut new = transaction(bus, &id).await;
    let fenced = old.commit().await;
    assert!(matches!(fenced, Err(BusError::Fenced(_))), "{fenced:?}");
    new.begin().await.unwrap();
    new.send(&parts[0], vec![text("alive")]).await.unwrap();
    new.commit().await.unwrap();
    eventually("the new instance's record", async || {
        let read = read_all(bus, &parts[0], Isolation::ReadCommitted).await;
        values(&read) == ["alive"]
    })
    .await;
}

/// InitProducerId completes what the last instance left: nothing is open
/// when the new writer is handed out.
pub async fn a_new_instance_aborts_what_was_left_open(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-left"), 1).await;
    let id = format!("{prefix}-left");
    let mut old = transaction(bus, &id).await;
    old.begin().await.unwrap();
    old.send(&parts[0], vec![text("left")]).await.unwrap();
    eventually("the record is in the log", async || {
        bus.offsets(&parts, OffsetAt::Latest).await.unwrap() == [Offset(1)]
    })
    .await;
    drop(old);
    let _new = transaction(bus, &id).await;
    assert_eq!(stable_end(bus, &parts[0]).await, 2, "record and marker");
    let read = read_all(bus, &parts[0], Isolation::ReadCommitted).await;
    assert_eq!(values(&read), Vec::<String>::new());
}

/// Offsets sent in a transaction count from its commit on, not before, and
/// not when it aborts.
pub async fn group_offsets_are_seen_when_committed(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-group"), 2).await;
    let group = format!("{prefix}-group");
    let committed = async || bus.committed(&group, &parts).await.unwrap();
    assert_eq!(committed().await, [None, None]);
    let mut txn = transaction(bus, &format!("{prefix}-group")).await;
    txn.begin().await.unwrap();
    txn.send_offsets(&group, &[(parts[0].clone(), Offset(7))])
        .await
        .unwrap();
    assert_eq!(committed().await, [None, None]);
    txn.commit().await.unwrap();
    eventually("the offsets are there", async || {
        committed().await == [Some(Offset(7)), None]
    })
    .await;
    txn.begin().await.unwrap();
    txn.send_offsets(&group, &[(parts[1].clone(), Offset(9))])
        .await
        .unwrap();
    txn.abort().await.unwrap();
    assert_eq!(committed().await, [Some(Offset(7)), None]);
}

/// DeleteRecords moves the start of the log.
pub async fn deleted_records_are_gone(bus: &dyn Bus, prefix: &str) {
    let parts = create(bus, &format!("{prefix}-delete"), 1).await;
    let tp = &parts[0];
    let mut writer = bus.writer().await.unwrap();
    let records = (0..10).map(|i| text(&i.to_string())).collect();
    writer.send(tp, records).await.unwrap();
    bus.delete_records(&[(tp.clone(), Offset(6))])
        .await
        .unwrap();
    let earliest = bus
        .offsets(std::slice::from_ref(tp), OffsetAt::Earliest)
        .await
        .unwrap();
    assert_eq!(earliest, [Offset(6)]);
    let read = read_all(bus, tp, Isolation::ReadCommitted).await;
    assert_eq!(values(&read), ["6", "7", "8", "9"]);
    bus.delete_records(&[(tp.clone(), Offset(10))])
        .await
        .unwrap();
    assert_eq!(writer.send(tp, vec![text("10")]).await.unwrap(), Offset(10));
}

async fn create(bus: &dyn Bus, name: &str, partitions: i32) -> Vec<TopicPartition> {
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions,
        configs: BTreeMap::new(),
    };
    bus.create_topic(spec).await.unwrap();
    all_partitions(name, partitions)
}

async fn transaction(bus: &dyn Bus, id: &str) -> Box<dyn super::bus::TransactionWriter> {
    bus.transaction_writer(id, TXN_TIMEOUT).await.unwrap()
}

async fn stable_end(bus: &dyn Bus, tp: &TopicPartition) -> i64 {
    bus.offsets(std::slice::from_ref(tp), OffsetAt::LatestStable)
        .await
        .unwrap()[0]
        .0
}

/// Everything from the start to the end at this isolation.
async fn read_all(bus: &dyn Bus, tp: &TopicPartition, isolation: Isolation) -> Vec<Record> {
    let at = match isolation {
        Isolation::ReadUncommitted => OffsetAt::Latest,
        Isolation::ReadCommitted => OffsetAt::LatestStable,
    };
    let part = std::slice::from_ref(tp);
    let start = bus.offsets(part, OffsetAt::Earliest).await.unwrap()[0];
    let end = bus.offsets(part, at).await.unwrap()[0];
    let mut records = Vec::new();
    if start == end {
        return records;
    }
    let mut reader = bus.reader(&[(tp.clone(), start)], isolation).await.unwrap();
    let began = Instant::now();
    loop {
        for chunk in reader.poll(POLL, BYTES).await.unwrap() {
            assert_eq!(&chunk.topic_partition, tp);
            assert!(chunk.next_offset <= chunk.end_offset);
            let done = chunk.next_offset >= end;
            records.extend(chunk.records);
            if done {
                return records;
            }
        }
        assert!(began.elapsed() < PATIENCE, "{tp} was not read to {end}");
    }
}

/// Polls until `count` records came, and fails on more.
async fn read_until(reader: &mut dyn super::bus::BusReader, count: usize) -> Vec<Record> {
    let began = Instant::now();
    let mut records = Vec::new();
    while records.len() < count {
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {count} records",
            records.len()
        );
        for chunk in reader.poll(POLL, BYTES).await.unwrap() {
            records.extend(chunk.records);
        }
    }
    assert_eq!(records.len(), count);
    records
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn text(value: &str) -> ProduceRecord {
    ProduceRecord {
        value: Some(Bytes::from(value.to_owned())),
        ..Default::default()
    }
}

fn values(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|r| String::from_utf8_lossy(r.value.as_deref().unwrap_or_default()).into_owned())
        .collect()
}
