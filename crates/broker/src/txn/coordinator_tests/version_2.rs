//! `transaction.version` 2 (KIP-890): an epoch for each transaction.

use super::*;

#[tokio::test]
async fn with_version_2_the_epoch_goes_on_over_a_crash_at_every_step_of_an_end() {
    let house = House::new();
    let before = house.coordinator().await;
    let first = before.init_producer("t", TIMEOUT, None).await.unwrap();
    let add = vec![partition(0), partition(1)];
    before
        .add_partitions("t", first, add.clone(), V2)
        .await
        .unwrap();
    let ended = before.end("t", first, TxnOutcome::Commit, V2).await;
    let second = ended.unwrap();
    assert_eq!((second.id, second.epoch.0), (first.id, 1));
    let expected: Vec<_> = (0..2).map(|p| (p, TxnOutcome::Commit, 1)).collect();
    assert_eq!(house.partitions.outcomes(), expected);
    // Lost are: nothing, the end, the decision, the beginning.
    for lost in 0..4 {
        let after = house
            .coordinator_on(house.journal.after_crash(TOPIC, lost))
            .await;
        // What a client does whose answer was lost.
        let ended = after.end("t", first, TxnOutcome::Commit, V2).await;
        let expected = match lost {
            0..=2 => Ok(second),
            _ => Err(TxnError::InvalidState),
        };
        assert_eq!(ended, expected, "{lost} lost");
        let marked = house.partitions.outcomes();
        assert!(
            marked
                .iter()
                .all(|(_, o, e)| (*o, *e) == (TxnOutcome::Commit, 1))
        );
        if lost < 3 {
            after
                .add_partitions("t", second, add.clone(), V2)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn with_version_2_a_new_producer_id_takes_over_when_the_epochs_are_used_up() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let mut producer = coordinator.init_producer("t", TIMEOUT, None).await.unwrap();
    let first = producer;
    let mut ends = 0;
    while producer.id == first.id {
        assert!(ends < 40_000);
        ends += 1;
        producer = coordinator
            .end("t", producer, TxnOutcome::Abort, V2)
            .await
            .unwrap();
    }
    assert_eq!(
        ends,
        i32::from(i16::MAX),
        "one transaction an epoch, 0 to 32766"
    );
    assert_eq!(producer.epoch.0, 0);
    let after = house.coordinator().await;
    let last = Producer {
        id: first.id,
        epoch: (i16::MAX - 1).into(),
    };
    let retried = after.end("t", last, TxnOutcome::Abort, V2).await;
    assert_eq!(
        retried,
        Ok(producer),
        "a retry over the change and a restart"
    );
}
