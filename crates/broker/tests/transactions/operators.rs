//! What operators and other brokers ask: descriptions, lists, markers of their own, batches.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_may_add_and_verify_in_batches() {
    let (broker, mut client, _dir) = broker().await;
    let me = producer(&mut client, "t").await;
    let mut transaction = AddPartitionsToTxnTransaction {
        transactional_id: "t".into(),
        producer_id: me.id,
        producer_epoch: me.epoch,
        verify_only: true,
        topics: vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: vec![0],
        }],
    };
    let mut call = async |transaction: &AddPartitionsToTxnTransaction, version| {
        let request = AddPartitionsToTxnRequest {
            transactions: vec![transaction.clone()],
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        let topic = &response.results_by_transaction[0].topic_results[0];
        topic.results_by_partition[0].partition_error_code
    };
    assert_eq!(
        call(&transaction, 4).await,
        ErrorCode::InvalidTxnState.code()
    );
    transaction.verify_only = false;
    assert_eq!(call(&transaction, 5).await, 0);
    transaction.verify_only = true;
    assert_eq!(call(&transaction, 5).await, 0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producers_of_a_partition_are_described_with_their_open_transactions() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    add(&mut client, "t", &me, 3).await;
    assert_eq!(send(&mut client, "t", &mut me, 1, "open").await, 0);
    let request = DescribeProducersRequest {
        topics: vec![TopicRequest {
            name: TOPIC.into(),
            partition_indexes: vec![0, 1, 9],
        }],
    };
    let partitions = client.call(&request, 0).await.topics.remove(0).partitions;
    assert_eq!(partitions[0].active_producers, []);
    let open = &partitions[1].active_producers[0];
    assert_eq!(
        (open.producer_id, open.current_txn_start_offset),
        (me.id, 0)
    );
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(partitions[2].error_code, unknown);
    assert_eq!(end(&mut client, "t", &me, false, 4).await, 0);
    let partitions = client.call(&request, 0).await.topics.remove(0).partitions;
    assert_eq!(
        partitions[1].active_producers[0].current_txn_start_offset,
        -1
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_a_transaction_that_hangs() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    let mut expected = Vec::new();
    for version in 1..=2 {
        assert_eq!(send_at(&mut client, "t", &mut me, 0, "open", 12).await, 0);
        let mut marker = WritableTxnMarker {
            producer_id: me.id,
            producer_epoch: me.epoch - 1,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic {
                name: TOPIC.into(),
                partition_indexes: vec![0, 77],
            }],
            coordinator_epoch: 0,
            transaction_version: 0,
        };
        let mut call = async |marker: &WritableTxnMarker| {
            let markers = vec![marker.clone()];
            let request = WriteTxnMarkersRequest { markers };
            let partitions = &client.call(&request, version).await.markers[0].topics[0].partitions;
            (partitions[0].error_code, partitions[1].error_code)
        };
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let older = ErrorCode::InvalidProducerEpoch.code();
        if me.epoch > 0 {
            assert_eq!(call(&marker).await, (older, unknown));
        }
        marker.producer_epoch = me.epoch;
        if version == 2 {
            marker.transaction_version = 2;
            assert_eq!(call(&marker).await, (older, unknown), "not bumped");
            marker.transaction_version = 0;
        }
        // There never was a coordinator of that epoch: its marker would make
        // those of the one that there is look old.
        marker.coordinator_epoch = 1;
        let fenced = ErrorCode::TransactionCoordinatorFenced.code();
        assert_eq!(call(&marker).await, (fenced, fenced));
        marker.coordinator_epoch = 0;
        assert_eq!(call(&marker).await, (0, unknown));
        // The last stable offset has moved on: what comes later is seen.
        let mut other = producer(&mut client, "other").await;
        assert_eq!(
            send_at(&mut client, "other", &mut other, 0, "seen", 12).await,
            0
        );
        assert_eq!(end_v2(&mut client, "other", &mut other, true).await, 0);
        expected.push("seen");
        assert_eq!(committed(&mut client).await, expected);
        assert_eq!(end_v2(&mut client, "t", &mut me, false).await, 0);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_listed_by_pattern_state_and_duration() {
    let (broker, mut client, _dir) = broker().await;
    for id in ["job-1", "job-2", "other"] {
        let mut me = producer(&mut client, id).await;
        assert_eq!(send_at(&mut client, id, &mut me, 0, "x", 12).await, 0);
        if id == "job-2" {
            assert_eq!(end_v2(&mut client, id, &mut me, true).await, 0);
        }
    }
    let mut ids = async |request: ListTransactionsRequest| {
        let response = client.call(&request, 2).await;
        let ids = response.transaction_states.into_iter();
        let ids: Vec<String> = ids.map(|state| state.transactional_id).collect();
        (response.error_code, ids.join(" "))
    };
    let all = ListTransactionsRequest {
        duration_filter: -1,
        ..Default::default()
    };
    assert_eq!(ids(all.clone()).await, (0, "job-1 job-2 other".into()));
    let pattern = |pattern: &str| ListTransactionsRequest {
        transactional_id_pattern: Some(pattern.into()),
        ..all.clone()
    };
    assert_eq!(ids(pattern("job-.*")).await, (0, "job-1 job-2".into()));
    assert_eq!(ids(pattern("job")).await, (0, String::new()));
    let bad = ErrorCode::InvalidRegularExpression.code();
    assert_eq!(ids(pattern("(")).await, (bad, String::new()));
    let open = ListTransactionsRequest {
        state_filters: vec!["Ongoing".into()],
        ..pattern("job-.*")
    };
    assert_eq!(ids(open).await, (0, "job-1".into()));
    let long = ListTransactionsRequest {
        duration_filter: 3_600_000,
        ..all.clone()
    };
    assert_eq!(ids(long).await, (0, String::new()));
    broker.stop().await;
}
