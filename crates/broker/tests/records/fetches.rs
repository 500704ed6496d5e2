//! What a fetch returns, when, and within which bounds.

use super::*;

#[tokio::test]
async fn a_fetch_mid_batch_returns_the_whole_batch() {
    let (_dir, broker, mut client) = broker_with("t").await;
    produce(&mut client, "t", 0, batch(&["a", "b", "c"])).await;
    let fetched = only(
        fetch(&mut client, &fetch_request("t", 0, 1))
            .await
            .responses,
    );
    assert_eq!(fetched.high_watermark, 3);
    let read = records(fetched.records);
    assert_eq!(
        read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    broker.stop().await;
}

#[tokio::test]
async fn the_first_batch_is_returned_though_larger_than_the_bounds() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let big = "x".repeat(50_000);
    for partition in [0, 1] {
        produce(&mut client, "t", partition, batch(&[&big])).await;
        produce(&mut client, "t", partition, batch(&[&big])).await;
    }
    let mut request = fetch_request("t", 0, 0);
    request.max_bytes = 1_000;
    request.topics[0].partitions[0].partition_max_bytes = 500;
    request.topics.push(fetch_topic("t", Uuid::nil(), 1, 0));
    let response = fetch(&mut client, &request).await;
    let partitions: Vec<_> = response
        .responses
        .into_iter()
        .flat_map(|t| t.partitions)
        .collect();
    let counts: Vec<_> = partitions
        .into_iter()
        .map(|p| records(p.records).len())
        .collect();
    assert_eq!(
        counts,
        [1, 0],
        "one batch of the first partition, nothing beyond"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_and_one_beyond_it_is_told_at_once() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let waiting = |offset, wait_ms| FetchRequest {
        max_wait_ms: wait_ms,
        ..fetch_request("t", 0, offset)
    };
    let began = Instant::now();
    let fetched = only(fetch(&mut client, &waiting(0, 300)).await.responses);
    assert_eq!((fetched.error_code, records(fetched.records).len()), (0, 0));
    assert!(began.elapsed() >= Duration::from_millis(300));

    let began = Instant::now();
    let fetched = only(fetch(&mut client, &waiting(5, 60_000)).await.responses);
    assert_eq!(code(fetched.error_code), ErrorCode::OffsetOutOfRange);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "an error of reading completes the fetch"
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_partition_that_is_not_there_does_not_hurry_the_others() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let nowhere = || fetch_topic("nowhere", Uuid::nil(), 0, 0);
    let unknown = |response: &FetchResponse, topic: usize| {
        let code = code(response.responses[topic].partitions[0].error_code);
        assert_eq!(code, ErrorCode::UnknownTopicOrPartition);
    };
    let mut request = FetchRequest {
        max_wait_ms: 300,
        min_bytes: 1,
        ..fetch_request("t", 0, 0)
    };
    request.topics.push(nowhere());
    let began = Instant::now();
    unknown(&fetch(&mut client, &request).await, 1);
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");

    // In a session too, to which it belongs.
    request.session_epoch = 0;
    let response = fetch(&mut client, &request).await;
    unknown(&response, 1);
    request = FetchRequest {
        session_id: response.session_id,
        session_epoch: 1,
        topics: Vec::new(),
        ..request
    };
    let began = Instant::now();
    unknown(&fetch(&mut client, &request).await, 0);
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited");

    // Alone there is nothing to wait for.
    let alone = FetchRequest {
        max_wait_ms: 600_000,
        session_id: 0,
        session_epoch: -1,
        topics: vec![nowhere()],
        ..request
    };
    unknown(&fetch(&mut client, &alone).await, 0);
    broker.stop().await;
}

#[tokio::test]
async fn min_bytes_are_collected_before_the_answer() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let request = FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: 3_000,
        ..fetch_request("t", 0, 0)
    };
    let id = client.send(&request, 12).await;
    let mut producer = broker.client().await;
    for _ in 0..4 {
        produce(&mut producer, "t", 0, batch(&["x".repeat(1_000).as_str()])).await;
    }
    let fetched = only(client.answer::<FetchRequest>(12, id).await.responses);
    assert!(fetched.records.unwrap().len() >= 3_000);
    broker.stop().await;
}

#[tokio::test]
async fn what_is_there_beyond_the_batches_that_fit_counts_for_min_bytes() {
    let (_dir, broker, mut client) = broker_with("t").await;
    for _ in 0..4 {
        produce(&mut client, "t", 0, batch(&["x".repeat(1_000).as_str()])).await;
    }
    // Two batches fit, which are less than the 2,500 bytes asked for.
    let mut request = FetchRequest {
        max_wait_ms: 600_000,
        min_bytes: 2_500,
        ..fetch_request("t", 0, 0)
    };
    request.topics[0].partitions[0].partition_max_bytes = 2_500;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert!(fetched.records.unwrap().len() < 2_500);

    // Never more than a full answer is waited for.
    request.topics[0].partitions[0].partition_max_bytes = 1 << 20;
    request.min_bytes = 100_000;
    request.max_bytes = 2_500;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert!(fetched.records.unwrap().len() < 2_500);
    broker.stop().await;
}

#[tokio::test]
async fn min_bytes_are_not_waited_for_at_the_end_of_each_segment() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let segments = [("segment.bytes", "1048576")];
    create_topic(&mut client, "rolled", 1, &segments).await;
    for _ in 0..3 {
        produce(
            &mut client,
            "rolled",
            0,
            batch(&["x".repeat(600_000).as_str()]),
        )
        .await;
    }
    let mut request = FetchRequest {
        max_wait_ms: 600_000,
        min_bytes: 1_000_000,
        ..fetch_request("rolled", 0, 0)
    };
    request.topics[0].partitions[0].partition_max_bytes = 1 << 20;
    let fetched = only(fetch(&mut client, &request).await.responses);
    assert_eq!(records(fetched.records).len(), 1, "a segment has one");
    broker.stop().await;
}

#[tokio::test]
async fn an_incremental_session_tells_only_news() {
    let (_dir, broker, mut client) = broker_with("t").await;
    let mut request = fetch_request("t", 0, 0);
    request.topics.push(fetch_topic("t", Uuid::nil(), 1, 0));
    request.session_epoch = 0;
    let first = fetch(&mut client, &request).await;
    assert_ne!(first.session_id, 0);
    let partitions: usize = first.responses.iter().map(|t| t.partitions.len()).sum();
    assert_eq!(partitions, 2, "a new session answers everything");

    let again = |epoch| FetchRequest {
        session_id: first.session_id,
        session_epoch: epoch,
        topics: Vec::new(),
        ..fetch_request("t", 0, 0)
    };
    let second = fetch(&mut client, &again(1)).await;
    assert_eq!(
        (second.session_id, second.responses.len()),
        (first.session_id, 0)
    );

    produce(&mut client, "t", 1, batch(&["a"])).await;
    let third = only(fetch(&mut client, &again(2)).await.responses);
    assert_eq!((third.partition_index, third.high_watermark), (1, 1));

    let wrong = fetch(&mut client, &again(9)).await;
    assert_eq!(code(wrong.error_code), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(wrong.session_id, 0);
    let unknown = FetchRequest {
        session_id: 12345,
        ..again(1)
    };
    let unknown = fetch(&mut client, &unknown).await;
    assert_eq!(code(unknown.error_code), ErrorCode::FetchSessionIdNotFound);
    broker.stop().await;
}

#[tokio::test]
async fn a_session_notices_that_its_topic_was_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut client = broker.client().await;
    let old = create_topic(&mut client, "t", 1, &[]).await;
    let unknown = Uuid::from_u128(77);
    let request = FetchRequest {
        session_epoch: 0,
        max_bytes: 1 << 20,
        topics: vec![fetch_topic("", old, 0, 0), fetch_topic("", unknown, 0, 0)],
        ..Default::default()
    };
    let first = client.call(&request, 16).await;
    let codes = |response: &FetchResponse| -> Vec<(Uuid, ErrorCode)> {
        response
            .responses
            .iter()
            .map(|t| (t.topic_id, code(t.partitions[0].error_code)))
            .collect()
    };
    assert_eq!(
        codes(&first),
        [(old, ErrorCode::None), (unknown, ErrorCode::UnknownTopicId)]
    );
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(client.call(&delete, 5).await.responses[0].error_code, 0);
    create_topic(&mut client, "t", 1, &[]).await;
    let next = FetchRequest {
        session_id: first.session_id,
        session_epoch: 1,
        topics: Vec::new(),
        ..request
    };
    let second = client.call(&next, 16).await;
    assert_eq!(
        codes(&second),
        [
            (old, ErrorCode::InconsistentTopicId),
            (unknown, ErrorCode::UnknownTopicId)
        ],
        "an id that is not known stays and answers its error"
    );
    broker.stop().await;
}
