//! Transactional ids and producer ids: kept, bounded, forgotten.

use super::*;

#[tokio::test]
async fn producers_keep_their_ids_over_a_restart_and_no_id_is_given_twice() {
    let house = House::new();
    let before = house.coordinator().await;
    let a = before.init_producer("a", TIMEOUT, None).await.unwrap();
    let b = before.init_producer("b", TIMEOUT, None).await.unwrap();
    let free = before.init_idempotent().await.unwrap();
    let after = house.coordinator().await;
    let again = after.init_producer("a", TIMEOUT, None).await.unwrap();
    assert_eq!((again.id, again.epoch.0), (a.id, 1));
    let other = after.init_idempotent().await.unwrap();
    let ids = std::collections::BTreeSet::from([a.id, b.id, free.id, other.id]);
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn timeouts_ids_and_partitions_are_bounded() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    for timeout in [Duration::ZERO, Duration::from_secs(15 * 60 + 1)] {
        let refused = coordinator.init_producer("t", timeout, None).await;
        assert_eq!(refused, Err(TxnError::InvalidTimeout));
    }
    for id in ["a", "b", "c"] {
        coordinator.init_producer(id, TIMEOUT, None).await.unwrap();
    }
    let fourth = coordinator.init_producer("d", TIMEOUT, None).await;
    assert_eq!(fourth, Err(TxnError::TooManyIds));
    let producer = coordinator.init_producer("a", TIMEOUT, None).await.unwrap();
    let six = (0..6).map(partition).collect();
    let added = coordinator.add_partitions("a", producer, six, V1).await;
    assert_eq!(added, Err(TxnError::InvalidRequest));
    assert_eq!(
        coordinator.init_producer("", TIMEOUT, None).await,
        Err(TxnError::InvalidRequest)
    );
}

#[tokio::test]
async fn where_there_is_no_room_the_id_that_was_used_longest_ago_is_forgotten() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let init = async |id| coordinator.init_producer(id, TIMEOUT, None).await;
    init("old").await.unwrap();
    house.clock.advance_ms(10 * 60 * 1000);
    init("b").await.unwrap();
    init("c").await.unwrap();
    assert_eq!(init("new").await, Err(TxnError::TooManyIds));
    coordinator.inner.forget_expired().await;
    assert_eq!(init("new").await, Err(TxnError::TooManyIds), "none is idle");
    house.clock.advance_ms(5 * 60 * 1000);
    coordinator.inner.forget_expired().await;
    init("new").await.unwrap();
    let gone = coordinator.describe("old").await;
    assert_eq!(gone, Err(TxnError::InvalidProducerIdMapping));
    for kept in ["b", "c"] {
        assert!(coordinator.describe(kept).await.is_ok(), "{kept}");
    }
}

#[tokio::test]
async fn an_unused_id_is_forgotten_for_good() {
    let house = House::new();
    let before = house.coordinator().await;
    before.init_producer("t", TIMEOUT, None).await.unwrap();
    house.clock.advance_ms(7 * 24 * 3600 * 1000);
    before.inner.forget_expired().await;
    let gone = before.describe("t").await;
    assert_eq!(gone, Err(TxnError::InvalidProducerIdMapping));
    let after = house.coordinator().await;
    assert_eq!(after.list().await.unwrap().transactions, []);
}

#[tokio::test]
async fn an_id_that_was_never_initialised_cannot_do_anything() {
    let house = House::new();
    let coordinator = house.coordinator().await;
    let nobody = Producer {
        id: 5.into(),
        epoch: 0.into(),
    };
    let unknown = Err(TxnError::InvalidProducerIdMapping);
    assert_eq!(
        coordinator
            .add_partitions("t", nobody, vec![partition(0)], V1)
            .await,
        unknown
    );
    assert_eq!(
        coordinator
            .end("t", nobody, TxnOutcome::Commit, V1)
            .await
            .map(|_| ()),
        unknown
    );
    let verified = coordinator.verify_writing("t", nobody, &partition(0)).await;
    assert_eq!(verified.map(drop), unknown);
}
