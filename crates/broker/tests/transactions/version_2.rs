//! `transaction.version` 2 (KIP-890), and both versions side by side.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_version_2_the_broker_adds_partitions_and_every_end_bumps_the_epoch() {
    let (broker, mut client, _dir) = broker().await;
    let mut expected = Vec::new();
    for version in 12..=13 {
        let id = format!("t{version}");
        let mut me = producer(&mut client, &id).await;
        for (round, commits) in [true, false, true].into_iter().enumerate() {
            assert_eq!(me.epoch, round as i16);
            let value = format!("{version}-{round}");
            for partition in 0..PARTITIONS {
                let sent = send_at(&mut client, &id, &mut me, partition, &value, version).await;
                assert_eq!(sent, 0);
            }
            assert_eq!(committed(&mut client).await.len(), expected.len());
            let before = end_request(&id, &me, commits);
            assert_eq!(end_v2(&mut client, &id, &mut me, commits).await, 0);
            if commits {
                expected.extend([value.clone(), value]);
            }
            let mut seen = committed(&mut client).await;
            seen.sort();
            expected.sort();
            assert_eq!(seen, expected);
            // The answer was lost, and the same is asked again.
            let again = client.call(&before, 5).await;
            let told = (again.error_code, again.producer_id, again.producer_epoch);
            assert_eq!(told, (0, me.id, me.epoch));
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_version_2_nothing_late_gets_into_the_next_transaction() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    assert_eq!(send_at(&mut client, "t", &mut me, 0, "first", 12).await, 0);
    let mut late = Producer {
        sequences: [1, 0],
        ..me
    };
    let late_end = end_request("t", &me, false);
    assert_eq!(end_v2(&mut client, "t", &mut me, true).await, 0);
    let fenced = ErrorCode::InvalidProducerEpoch.code();
    assert_eq!(
        send_at(&mut client, "t", &mut late, 0, "late", 12).await,
        fenced
    );
    assert_eq!(send(&mut client, "t", &mut late, 0, "late").await, fenced);
    assert_eq!(send_at(&mut client, "t", &mut me, 0, "second", 12).await, 0);
    let refused = client.call(&late_end, 5).await;
    assert_eq!(
        (
            refused.error_code,
            refused.producer_id,
            refused.producer_epoch
        ),
        (ErrorCode::ProducerFenced.code(), -1, -1)
    );
    assert_eq!(
        send_at(&mut client, "t", &mut late, 0, "late", 12).await,
        fenced
    );
    assert_eq!(end_v2(&mut client, "t", &mut me, true).await, 0);
    assert_eq!(committed(&mut client).await, ["first", "second"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_version_2_a_batch_does_not_overtake_the_first_one_of_its_partition() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    // The first one is lost on its way.
    me.sequences[0] = 1;
    assert_eq!(
        send_at(&mut client, "t", &mut me, 0, "second", 12).await,
        ErrorCode::OutOfOrderSequenceNumber.code()
    );
    me.sequences[0] = 0;
    for value in ["first", "second"] {
        assert_eq!(send_at(&mut client, "t", &mut me, 0, value, 12).await, 0);
    }
    assert_eq!(end_v2(&mut client, "t", &mut me, true).await, 0);
    assert_eq!(committed(&mut client).await, ["first", "second"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_version_2_offsets_add_their_group_to_the_transaction() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    for version in 0..=5 {
        let nowhere = TxnOffsetCommitRequest {
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "typo".into(),
                partitions: vec![TxnOffsetCommitRequestPartition::default()],
            }],
            ..offset_in_transaction("t", &me, 1)
        };
        assert_eq!(
            txn_offset_code(&mut client, &nowhere, version).await,
            ErrorCode::UnknownTopicOrPartition.code()
        );
        let of_nobody = TxnOffsetCommitRequest {
            group_id: String::new(),
            ..offset_in_transaction("t", &me, 1)
        };
        assert_eq!(
            txn_offset_code(&mut client, &of_nobody, version).await,
            ErrorCode::InvalidGroupId.code()
        );
    }
    // Neither has begun a transaction, which a commit would end.
    assert_eq!(
        end_v2(&mut client, "t", &mut me, true).await,
        ErrorCode::InvalidTxnState.code()
    );
    let mut before = -1;
    for (offset, commits) in [(10, true), (11, false), (12, true)] {
        assert_eq!(txn_commit_offset(&mut client, "t", &me, offset, 5).await, 0);
        assert_eq!(committed_offset(&mut client, false).await, (before, 0));
        let old = Producer {
            sequences: [0; 2],
            ..me
        };
        assert_eq!(end_v2(&mut client, "t", &mut me, commits).await, 0);
        before = if commits { offset } else { before };
        assert_eq!(committed_offset(&mut client, true).await, (before, 0));
        assert_eq!(
            txn_commit_offset(&mut client, "t", &old, 99, 5).await,
            ErrorCode::InvalidProducerEpoch.code()
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_outside_the_transaction_is_told_by_version() {
    let (broker, mut client, _dir) = broker().await;
    let mut me = producer(&mut client, "t").await;
    let (fatal, abortable) = (
        ErrorCode::InvalidTxnState.code(),
        ErrorCode::TransactionAbortable.code(),
    );
    for (version, code) in [(10, fatal), (11, abortable)] {
        me.sequences = [0; 2];
        assert_eq!(
            send_at(&mut client, "t", &mut me, 0, "x", version).await,
            code
        );
    }
    for (version, code) in [(3, fatal), (4, abortable)] {
        assert_eq!(
            txn_commit_offset(&mut client, "t", &me, 1, version).await,
            code
        );
    }
    // An abort of what never began is fine for version 2, and bumps.
    assert_eq!(end_v2(&mut client, "t", &mut me, false).await, 0);
    assert_eq!(me.epoch, 1);
    assert_eq!(end_v2(&mut client, "t", &mut me, true).await, fatal);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_versions_write_side_by_side() {
    let (broker, mut client, _dir) = broker().await;
    let mut old = producer(&mut client, "old").await;
    let mut new = producer(&mut client, "new").await;
    for (round, value) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(add(&mut client, "old", &old, 0).await, 0);
        assert_eq!(send(&mut client, "old", &mut old, 0, value).await, 0);
        assert_eq!(send_at(&mut client, "new", &mut new, 0, value, 12).await, 0);
        assert_eq!(end(&mut client, "old", &old, true, 1).await, 0);
        // What the open transaction of the other wrote comes behind it.
        assert_eq!(committed(&mut client).await.len(), 2 * round + 1);
        assert_eq!(end_v2(&mut client, "new", &mut new, true).await, 0);
        assert_eq!(committed(&mut client).await.len(), 2 * round + 2);
    }
    assert_eq!((old.epoch, new.epoch), (0, 3));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_version_2_is_announced() {
    let (broker, mut client, _dir) = broker().await;
    for version in 3..=4 {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let response = client.call(&request, version).await;
        let finalized = response.finalized_features.iter();
        let level = finalized
            .filter(|feature| feature.name == "transaction.version")
            .map(|feature| feature.max_version_level);
        assert_eq!(level.collect::<Vec<_>>(), [2]);
        assert!(response.finalized_features_epoch >= 0);
        // KAFKA-17492: a lowest level of 0 is for those who can read it.
        assert_eq!(response.supported_features.is_empty(), version == 3);
    }
    broker.stop().await;
}
