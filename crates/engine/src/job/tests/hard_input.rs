//! Records and topics that once ended a job, or made it wrong in silence.

use super::*;
use crate::changelog::Control;
use millstream_core::limits::MESSAGE_BYTES_MAX_DEFAULT;
use millstream_core::ports::{BusError, RecordHeader};

async fn topic_of(bus: &dyn Bus, name: &str, bytes_max: usize) {
    let spec = TopicSpec {
        name: name.into(),
        partitions: 1,
        configs: BTreeMap::from([("max.message.bytes".into(), bytes_max.to_string())]),
    };
    bus.create_topic(spec).await.unwrap();
}

async fn failed(job: &JobHandle) -> String {
    eventually("the job fails", async || job.status() == JobStatus::Failed).await;
    let info = job.info();
    assert_eq!(info.lag_records, None);
    info.error.unwrap()
}

fn batch_bytes(record: &Record) -> usize {
    let record = ProduceRecord {
        timestamp_ms: None,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    record.batch_bytes()
}

#[tokio::test]
async fn an_undecodable_record_as_large_as_a_topic_takes_is_cut_and_marked() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    let bad = "x".repeat(1_048_100);
    let records = vec![
        order("west", 1, 100),
        text_record(&bad),
        order("west", 2, 200),
    ];
    send(bus.as_ref(), "orders", 0, records).await;
    let job = JobHandle::start(spec("j", windows(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(2, 3)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
    let letters = read(bus.as_ref(), "j.dlq").await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(header(letter, "millstream.cut.value.bytes"), "1048100");
    assert_eq!(header(letter, "__connect.errors.topic"), "orders");
    assert_eq!(header(letter, "__connect.errors.offset"), "1");
    let kept = letter.value.as_ref().unwrap();
    assert!(bad.as_bytes().starts_with(kept));
    let bytes = batch_bytes(letter);
    assert!(
        bytes <= MESSAGE_BYTES_MAX_DEFAULT && bytes > MESSAGE_BYTES_MAX_DEFAULT - 16,
        "{bytes}: as much is kept as the topic takes"
    );
}

#[tokio::test]
async fn a_dead_letter_fits_a_topic_that_takes_little() {
    for bytes_max in [900, 1_000, 2_000, 5_000, 20_000] {
        let bus = MemoryBus::shared();
        topic(bus.as_ref(), "orders", 1).await;
        topic_of(bus.as_ref(), "j.dlq", bytes_max).await;
        let trace = RecordHeader {
            key: "trace".into(),
            value: Some(Bytes::from(vec![b'h'; 1_500])),
        };
        let bad = ProduceRecord {
            key: Some(Bytes::from(vec![b'k'; 3_000])),
            headers: vec![trace],
            ..text_record(&"x".repeat(9_000))
        };
        send(bus.as_ref(), "orders", 0, vec![bad]).await;
        let job = JobHandle::start(spec("j", windows(&bounded(1))), env(bus.clone()));
        finished(&job).await;
        let letters = read(bus.as_ref(), "j.dlq").await;
        assert_eq!(letters.len(), 1, "{bytes_max}");
        let letter = &letters[0];
        assert_eq!(header(letter, "__connect.errors.partition"), "0");
        let marked = |name: &str| letter.headers.iter().any(|h| h.key == name);
        let whole = bytes_max == 20_000;
        assert_eq!(marked("millstream.cut.value.bytes"), !whole, "{bytes_max}");
        assert_eq!(marked("trace"), bytes_max > 5_000 || whole, "{bytes_max}");
        assert_eq!(marked("millstream.cut.headers"), !whole, "{bytes_max}");
        assert_eq!(
            marked("millstream.cut.key.bytes"),
            bytes_max < 5_000,
            "{bytes_max}"
        );
    }
}

#[tokio::test]
async fn a_row_larger_than_its_topic_takes_is_a_dead_letter_or_fails_the_job() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    topic_of(bus.as_ref(), "numbers", 120).await;
    let row = |region: &str| {
        text_record(&format!(
            r#"{{"region": "{region}", "amount": 20, "ts": "2026-11-22 20:41:05"}}"#
        ))
    };
    // Leading zeros make a long text of a small number.
    let long = format!("{}7", "0".repeat(100));
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![row("1"), row(&long), row("3")],
    )
    .await;
    let job = JobHandle::start(spec("j", casts(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    assert_eq!(read(bus.as_ref(), "numbers").await.len(), 2);
    let letters = read(bus.as_ref(), "j.dlq").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(header(&letters[0], "__connect.errors.stage"), "SINK");
    assert_eq!(header(&letters[0], "__connect.errors.offset"), "1");
    let why = header(&letters[0], "__connect.errors.exception.message");
    assert!(
        why.contains("takes at most 120 (max.message.bytes)"),
        "{why}"
    );

    let mut strict = spec("strict", casts(&bounded(1)));
    strict.options.error_policy = ErrorPolicy::Fail;
    let job = JobHandle::start(strict, env(bus.clone()));
    assert!(failed(&job).await.starts_with("SINK: "));
}

#[tokio::test]
async fn a_topic_that_takes_less_than_before_does_not_end_the_job() {
    let bus = MemoryBus::shared();
    for name in ["orders", "numbers"] {
        topic(bus.as_ref(), name, 1).await;
    }
    let row = |region: &str| {
        text_record(&format!(
            r#"{{"region": "{region}", "amount": 20, "ts": "2026-11-22 20:41:05"}}"#
        ))
    };
    let job = JobHandle::start(spec("j", casts(&unbounded(1))), env(bus.clone()));
    send(bus.as_ref(), "orders", 0, vec![row("1")]).await;
    in_records(&job, 1).await;
    bus.delete_topic("numbers").await.unwrap();
    topic_of(bus.as_ref(), "numbers", 120).await;
    let long = format!("{}7", "0".repeat(100));
    send(bus.as_ref(), "orders", 0, vec![row(&long), row("3")]).await;
    in_records(&job, 3).await;
    assert_eq!(read(bus.as_ref(), "numbers").await.len(), 1);
    assert_eq!(read(bus.as_ref(), "j.dlq").await.len(), 1);
    assert_eq!(job.info().restarts, 0);
}

#[tokio::test]
async fn results_carry_the_time_of_their_writing() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    // In 1970, longer ago than any topic keeps its records.
    let records = vec![order("west", 1, 100), order("west", 2, 6_000)];
    send(bus.as_ref(), "orders", 0, records).await;
    let before_ms = SystemClock::shared().now_ms();
    let job = JobHandle::start(spec("j", windows(&bounded(1))), env(bus.clone()));
    finished(&job).await;
    let results = read(bus.as_ref(), "revenue").await;
    assert_eq!(results.len(), 2);
    for result in &results {
        assert!(result.timestamp_ms >= before_ms, "{}", result.timestamp_ms);
    }
    assert_eq!(
        crate::operators::sink::newest_input(&results),
        Some(6_000),
        "how new the input was is told beside it"
    );
}

#[tokio::test]
async fn a_deleted_source_topic_is_not_made_again() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 1, 100)]).await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    in_records(&job, 1).await;
    bus.delete_topic("orders").await.unwrap();
    let error = failed(&job).await;
    assert!(
        error.contains("topic orders, which the job reads, was deleted"),
        "{error}"
    );
    assert!(matches!(
        bus.topic("orders").await,
        Err(BusError::UnknownTopic(_))
    ));

    topic(bus.as_ref(), "orders", 1).await;
    send(
        bus.as_ref(),
        "orders",
        0,
        vec![order("west", 1, 100), order("west", 2, 9_000)],
    )
    .await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    let error = failed(&job).await;
    assert!(error.contains("deleted and made again"), "{error}");
    assert!(revenue(bus.as_ref()).await.is_empty());
}

#[tokio::test]
async fn foreign_records_in_a_changelog_are_skipped() {
    const CHANGELOG: &str = "__millstream_j_changelog";
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 5, 1_000)]).await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    in_records(&job, 1).await;
    job.stop().await;

    let own = read(bus.as_ref(), CHANGELOG).await;
    let last = own.last().unwrap();
    let mut control: Control = serde_json::from_slice(last.value.as_ref().unwrap()).unwrap();
    control.partitions[0].offset = 0;
    let forged = |headers| ProduceRecord {
        timestamp_ms: None,
        key: last.key.clone(),
        value: Some(Bytes::from(serde_json::to_vec(&control).unwrap())),
        headers,
    };
    let other = RecordHeader {
        key: "millstream.job".into(),
        value: Some(Bytes::from_static(b"other")),
    };
    let foreign = vec![
        text_record("hello"),
        forged(Vec::new()),
        forged(vec![other]),
        ProduceRecord::default(),
    ];
    send(bus.as_ref(), CHANGELOG, 0, foreign).await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    send(bus.as_ref(), "orders", 0, vec![order("west", 7, 9_000)]).await;
    in_records(&job, 2).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(1, 5)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
}

#[tokio::test]
async fn a_changelog_without_headers_of_the_version_before_is_read() {
    let bus = MemoryBus::shared();
    topic(bus.as_ref(), "orders", 1).await;
    send(bus.as_ref(), "orders", 0, vec![order("west", 5, 1_000)]).await;
    let job = JobHandle::start(spec("j", windows(&unbounded(1))), env(bus.clone()));
    in_records(&job, 1).await;
    job.stop().await;
    // The same, as it was written before, under another name.
    topic(bus.as_ref(), "__millstream_k_changelog", 1).await;
    let mut old = vec![text_record("foreign")];
    for record in read(bus.as_ref(), "__millstream_j_changelog").await {
        let mut value = record.value;
        if let Ok(mut control) = serde_json::from_slice::<Control>(value.as_deref().unwrap()) {
            control.partitions[0].topic_id = None;
            value = Some(Bytes::from(serde_json::to_vec(&control).unwrap()));
        }
        old.push(ProduceRecord {
            timestamp_ms: None,
            key: record.key,
            value,
            headers: Vec::new(),
        });
    }
    send(bus.as_ref(), "__millstream_k_changelog", 0, old).await;
    let job = JobHandle::start(spec("k", windows(&unbounded(1))), env(bus.clone()));
    send(bus.as_ref(), "orders", 0, vec![order("west", 7, 9_000)]).await;
    in_records(&job, 2).await;
    let expected: Revenue = [((sql_time(0), "west".to_owned()), vec![(1, 5)])].into();
    assert_eq!(revenue(bus.as_ref()).await, expected);
}
