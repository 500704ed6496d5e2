use super::*;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("orders", n)
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
    }
}

fn init(machine: &mut TxnMachine, now_ms: i64) -> Producer {
    let InitDecision::Write(transit) = machine.init(None, None, TIMEOUT, now_ms).unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
    machine.producer()
}

fn add(machine: &mut TxnMachine, who: Producer, n: i32, now_ms: i64) {
    let AddDecision::Write(transit) = machine
        .add_partitions(who, &[partition(n)], ClientVersion::V1, now_ms)
        .unwrap()
    else {
        panic!("nothing to write");
    };
    machine.complete(transit);
}

fn decide(machine: &mut TxnMachine, who: Producer, outcome: TxnOutcome) {
    let EndDecision::Write(transit) = end(machine, who, outcome).unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
}

fn end(
    machine: &mut TxnMachine,
    who: Producer,
    outcome: TxnOutcome,
) -> Result<EndDecision, TxnError> {
    machine.end(who, outcome, ClientVersion::V1, None, 0)
}

fn time_out(machine: &mut TxnMachine, fresh: Option<ProducerId>, now_ms: i64) {
    let EndDecision::Write(transit) = machine.time_out(fresh, now_ms).unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
}

fn finish(machine: &mut TxnMachine) {
    let transit = machine.finish(0).unwrap();
    machine.complete(transit);
}

#[test]
fn a_new_id_begins_at_epoch_zero_and_each_instance_fences_the_last() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let first = init(&mut machine, 0);
    assert_eq!(first, producer(7, 0));
    let second = init(&mut machine, 1);
    assert_eq!(second, producer(7, 1));
    assert_eq!(
        machine.add_partitions(first, &[partition(0)], ClientVersion::V1, 2),
        Err(TxnError::Fenced)
    );
    assert_eq!(
        end(&mut machine, first, TxnOutcome::Commit),
        Err(TxnError::Fenced)
    );
}

#[test]
fn a_transaction_goes_from_ongoing_over_prepare_to_complete() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    add(&mut machine, me, 0, 10);
    add(&mut machine, me, 1, 20);
    assert_eq!(machine.image().state, TxnState::Ongoing);
    assert_eq!(
        machine.image().started_ms,
        Some(10),
        "the clock runs from the first partition"
    );
    decide(&mut machine, me, TxnOutcome::Commit);
    assert_eq!(machine.decided(), Some(TxnOutcome::Commit));
    assert_eq!(
        machine.image().partitions.len(),
        2,
        "the markers go to both"
    );
    finish(&mut machine);
    assert_eq!(machine.image().state, TxnState::CompleteCommit);
    assert!(machine.image().partitions.is_empty());
    assert_eq!(
        machine.producer(),
        me,
        "the producer goes on with its epoch"
    );
}

#[test]
fn adding_the_same_partitions_again_writes_nothing() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    add(&mut machine, me, 0, 0);
    assert_eq!(
        machine.add_partitions(me, &[partition(0)], ClientVersion::V1, 0),
        Ok(AddDecision::AlreadyThere)
    );
}

#[test]
fn one_change_at_a_time() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    let AddDecision::Write(transit) = machine
        .add_partitions(me, &[partition(0)], ClientVersion::V1, 0)
        .unwrap()
    else {
        panic!("nothing to write");
    };
    let busy = TxnError::ConcurrentTransactions;
    assert_eq!(
        machine.add_partitions(me, &[partition(1)], ClientVersion::V1, 0),
        Err(busy)
    );
    assert_eq!(end(&mut machine, me, TxnOutcome::Commit), Err(busy));
    assert_eq!(machine.init(None, None, TIMEOUT, 0), Err(busy));
    machine.complete(transit);
    decide(&mut machine, me, TxnOutcome::Abort);
    assert_eq!(
        machine.add_partitions(me, &[partition(1)], ClientVersion::V1, 0),
        Err(busy),
        "markers are on their way"
    );
    assert_eq!(machine.init(None, None, TIMEOUT, 0), Err(busy));
}

#[test]
fn a_change_that_could_not_be_written_leaves_the_state_as_it_was() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    assert!(matches!(
        machine.add_partitions(me, &[partition(0)], ClientVersion::V1, 0),
        Ok(AddDecision::Write(_))
    ));
    machine.cancel();
    assert_eq!(machine.image().state, TxnState::Empty);
    add(&mut machine, me, 0, 0);
}

#[test]
fn a_retried_end_is_answered_and_the_opposite_one_refused() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    add(&mut machine, me, 0, 0);
    decide(&mut machine, me, TxnOutcome::Commit);
    let busy = Err(TxnError::ConcurrentTransactions);
    assert_eq!(end(&mut machine, me, TxnOutcome::Commit), busy);
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Abort),
        Err(TxnError::InvalidState)
    );
    finish(&mut machine);
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Commit),
        Ok(EndDecision::Ended(me))
    );
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Abort),
        Err(TxnError::InvalidState)
    );
}

#[test]
fn ending_a_transaction_that_added_nothing_is_fine() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Commit),
        Ok(EndDecision::Ended(me))
    );
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Abort),
        Ok(EndDecision::Ended(me))
    );
}

#[test]
fn a_delayed_end_of_an_older_epoch_does_not_touch_the_newer_transaction() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let old = init(&mut machine, 0);
    let new = init(&mut machine, 0);
    add(&mut machine, new, 0, 0);
    assert_eq!(
        end(&mut machine, old, TxnOutcome::Abort),
        Err(TxnError::Fenced)
    );
    assert_eq!(machine.image().state, TxnState::Ongoing);
}

#[test]
fn a_new_instance_first_aborts_what_the_old_one_left_open() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let old = init(&mut machine, 0);
    add(&mut machine, old, 0, 0);
    let InitDecision::AbortFirst(transit) = machine.init(None, None, TIMEOUT, 5).unwrap() else {
        panic!("the open transaction was forgotten");
    };
    machine.complete(transit);
    assert_eq!(machine.decided(), Some(TxnOutcome::Abort));
    assert_eq!(
        machine.producer(),
        producer(7, 1),
        "markers carry the bumped epoch"
    );
    assert_eq!(
        end(&mut machine, old, TxnOutcome::Commit),
        Err(TxnError::Fenced)
    );
    finish(&mut machine);
    assert_eq!(init(&mut machine, 6), producer(7, 2));
}

#[test]
fn a_transaction_times_out_into_an_abort_that_fences_its_producer() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    assert!(!machine.has_timed_out(i64::MAX), "no transaction is open");
    add(&mut machine, me, 0, 1_000);
    assert!(!machine.has_timed_out(60_999));
    assert!(machine.has_timed_out(61_000));
    time_out(&mut machine, None, 61_000);
    assert_eq!(machine.image().state, TxnState::PrepareAbort);
    assert_eq!(
        end(&mut machine, me, TxnOutcome::Commit),
        Err(TxnError::Fenced)
    );
    assert_eq!(
        machine.add_partitions(me, &[partition(0)], ClientVersion::V1, 0),
        Err(TxnError::Fenced)
    );
}

#[test]
fn a_living_producer_bumps_its_epoch_and_may_retry_the_bump() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    let InitDecision::Write(transit) = machine.init(Some(me), None, TIMEOUT, 0).unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
    assert_eq!(machine.producer(), producer(7, 1));
    assert_eq!(
        machine.init(Some(me), None, TIMEOUT, 0),
        Ok(InitDecision::Answer(producer(7, 1))),
        "the answer was lost"
    );
    init(&mut machine, 0);
    assert_eq!(
        machine.init(Some(me), None, TIMEOUT, 0),
        Err(TxnError::Fenced)
    );
    assert_eq!(
        machine.init(Some(producer(8, 0)), None, TIMEOUT, 0),
        Err(TxnError::Fenced)
    );
}

#[test]
fn a_stale_bump_does_not_abort_the_transaction_of_its_successor() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let old = init(&mut machine, 0);
    let new = init(&mut machine, 0);
    add(&mut machine, new, 0, 0);
    assert_eq!(
        machine.init(Some(old), None, TIMEOUT, 0),
        Err(TxnError::Fenced)
    );
    assert_eq!(machine.image().state, TxnState::Ongoing);
    assert!(!machine.in_transit());
}

#[test]
fn used_up_epochs_take_a_new_producer_id() {
    let mut image = TxnMachine::new(ProducerId(7), 0).image().clone();
    image.epoch = ProducerEpoch(i16::MAX - 1);
    let mut machine = TxnMachine::restore(image);
    let old = machine.producer();
    assert_eq!(
        machine.init(Some(old), None, TIMEOUT, 0),
        Ok(InitDecision::NeedsProducerId)
    );
    let InitDecision::Write(transit) = machine
        .init(Some(old), Some(ProducerId(99)), TIMEOUT, 0)
        .unwrap()
    else {
        panic!("nothing to write");
    };
    machine.complete(transit);
    assert_eq!(machine.producer(), producer(99, 0));
    assert_eq!(
        machine.init(Some(old), None, TIMEOUT, 0),
        Ok(InitDecision::Answer(producer(99, 0))),
        "a retry over the change of id"
    );
}

#[test]
fn the_last_epoch_can_still_be_fenced_and_a_new_producer_id_takes_over() {
    let mut image = TxnMachine::new(ProducerId(7), 0).image().clone();
    image.epoch = ProducerEpoch(i16::MAX - 1);
    image.state = TxnState::Ongoing;
    image.partitions.insert(partition(0));
    let mut machine = TxnMachine::restore(image);
    assert_eq!(
        machine.init(None, None, TIMEOUT, 0),
        Ok(InitDecision::NeedsProducerId)
    );
    let fresh = Some(ProducerId(99));
    let InitDecision::AbortFirst(transit) = machine.init(None, fresh, TIMEOUT, 0).unwrap() else {
        panic!("the open transaction was forgotten");
    };
    assert_eq!(transit.next.producer_id, ProducerId(7));
    assert_eq!(transit.next.epoch, ProducerEpoch(i16::MAX));
    machine.complete(transit);
    finish(&mut machine);
    assert_eq!(machine.producer(), producer(99, 0));
    assert_eq!(init(&mut machine, 0), producer(99, 1));
}

#[test]
fn a_batch_outside_the_transaction_is_not_verified() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    let outside = Err(TxnError::PartitionNotInTransaction);
    assert_eq!(machine.verify(me, &partition(0)), outside);
    add(&mut machine, me, 0, 0);
    assert_eq!(machine.verify(me, &partition(0)), Ok(()));
    assert_eq!(machine.verify(me, &partition(1)), outside);
    assert_eq!(
        machine.verify(producer(7, 5), &partition(0)),
        Err(TxnError::Fenced)
    );
    let stranger = machine.verify(producer(8, 0), &partition(0));
    assert_eq!(stranger, Err(TxnError::InvalidProducerIdMapping));
    decide(&mut machine, me, TxnOutcome::Commit);
    assert_eq!(
        machine.verify(me, &partition(0)),
        Err(TxnError::ConcurrentTransactions)
    );
    finish(&mut machine);
    assert_eq!(
        machine.verify(me, &partition(0)),
        outside,
        "late batches are refused"
    );
}

#[test]
fn only_idle_ids_expire() {
    let week = Duration::from_secs(7 * 24 * 3600);
    let week_ms = 7 * 24 * 3600 * 1000;
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    assert!(!machine.has_expired(week_ms - 1, week));
    assert!(machine.has_expired(week_ms, week));
    add(&mut machine, me, 0, 0);
    assert!(!machine.has_expired(week_ms, week), "a transaction is open");
}

#[test]
fn states_keep_kafkas_numbers() {
    for code in 0..=6 {
        assert_eq!(TxnState::from_code(code).map(TxnState::code), Some(code));
    }
    assert_eq!(TxnState::from_code(7), None);
}

const V2: ClientVersion = ClientVersion::V2;

fn add_v2(machine: &mut TxnMachine, who: Producer, n: i32) {
    let added = machine.add_partitions(who, &[partition(n)], V2, 0);
    let AddDecision::Write(transit) = added.unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
}

fn end_v2(
    machine: &mut TxnMachine,
    who: Producer,
    outcome: TxnOutcome,
) -> Result<EndDecision, TxnError> {
    machine.end(who, outcome, V2, None, 0)
}

/// Ends the transaction and gives who goes on.
fn end_through(machine: &mut TxnMachine, who: Producer, outcome: TxnOutcome) -> Producer {
    let EndDecision::Write(transit) = end_v2(machine, who, outcome).unwrap() else {
        panic!("nothing to write");
    };
    let next = transit.next.successor();
    machine.complete(transit);
    finish(machine);
    assert_eq!(machine.producer(), next);
    next
}

#[test]
fn with_version_2_every_end_bumps_the_epoch_and_markers_carry_the_new_one() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    add_v2(&mut machine, me, 0);
    let EndDecision::Write(transit) = end_v2(&mut machine, me, TxnOutcome::Commit).unwrap() else {
        panic!("nothing to write");
    };
    machine.complete(transit);
    assert_eq!(machine.producer(), producer(7, 1));
    assert_eq!(machine.image().client_version, V2);
    finish(&mut machine);
    let me = machine.producer();
    assert_eq!(me, producer(7, 1));
    add_v2(&mut machine, me, 0);
    assert_eq!(
        end_through(&mut machine, me, TxnOutcome::Abort),
        producer(7, 2)
    );
}

#[test]
fn with_version_2_a_retried_end_is_told_from_the_end_of_the_next_transaction() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let first = init(&mut machine, 0);
    add_v2(&mut machine, first, 0);
    let EndDecision::Write(transit) = end_v2(&mut machine, first, TxnOutcome::Commit).unwrap()
    else {
        panic!("nothing to write");
    };
    let (busy, refused) = (TxnError::ConcurrentTransactions, TxnError::InvalidState);
    assert_eq!(end_v2(&mut machine, first, TxnOutcome::Commit), Err(busy));
    machine.complete(transit);
    assert_eq!(end_v2(&mut machine, first, TxnOutcome::Commit), Err(busy));
    assert_eq!(end_v2(&mut machine, first, TxnOutcome::Abort), Err(refused));
    finish(&mut machine);
    let second = machine.producer();
    assert_eq!(
        end_v2(&mut machine, first, TxnOutcome::Commit),
        Ok(EndDecision::Ended(second))
    );
    assert_eq!(end_v2(&mut machine, first, TxnOutcome::Abort), Err(refused));
    assert_eq!(
        end_v2(&mut machine, second, TxnOutcome::Commit),
        Err(refused),
        "nothing has begun"
    );
    add_v2(&mut machine, second, 0);
    for outcome in [TxnOutcome::Commit, TxnOutcome::Abort] {
        assert_eq!(
            end_v2(&mut machine, first, outcome),
            Err(TxnError::Fenced),
            "a delayed end never touches a later transaction"
        );
    }
    assert_eq!(machine.image().state, TxnState::Ongoing);
}

#[test]
fn with_version_2_an_abort_of_nothing_bumps_and_a_commit_of_nothing_is_refused() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    let refused = Err(TxnError::InvalidState);
    assert_eq!(end_v2(&mut machine, me, TxnOutcome::Commit), refused);
    let before = producer(7, -1);
    assert_eq!(
        end_v2(&mut machine, before, TxnOutcome::Abort),
        Err(TxnError::Fenced),
        "an InitProducerId cannot be retried as an end"
    );
    let me = end_through(&mut machine, me, TxnOutcome::Abort);
    assert_eq!(me, producer(7, 1));
    let me = end_through(&mut machine, me, TxnOutcome::Abort);
    assert_eq!(me, producer(7, 2));
    add_v2(&mut machine, me, 0);
    let me = end_through(&mut machine, me, TxnOutcome::Commit);
    assert_eq!(
        end_through(&mut machine, me, TxnOutcome::Abort),
        producer(7, 4)
    );
}

#[test]
fn with_version_2_used_up_epochs_hand_over_to_a_new_producer_id() {
    let mut image = TxnMachine::new(ProducerId(7), 0).image().clone();
    image.epoch = ProducerEpoch(i16::MAX - 1);
    let mut machine = TxnMachine::restore(image);
    let me = machine.producer();
    add_v2(&mut machine, me, 0);
    assert_eq!(
        end_v2(&mut machine, me, TxnOutcome::Commit),
        Ok(EndDecision::NeedsProducerId)
    );
    let fresh = Some(ProducerId(99));
    let EndDecision::Write(transit) = machine.end(me, TxnOutcome::Commit, V2, fresh, 0).unwrap()
    else {
        panic!("nothing to write");
    };
    machine.complete(transit);
    assert_eq!(
        machine.producer(),
        producer(7, i16::MAX),
        "the markers are of the old id"
    );
    assert_eq!(machine.image().next_producer_id, ProducerId(99));
    finish(&mut machine);
    let next = producer(99, 0);
    assert_eq!(machine.producer(), next);
    assert_eq!(machine.image().previous_producer_id, ProducerId(7));
    assert_eq!(
        end_v2(&mut machine, me, TxnOutcome::Commit),
        Ok(EndDecision::Ended(next)),
        "a retry over the change of id"
    );
    add_v2(&mut machine, next, 0);
    assert_eq!(
        end_v2(&mut machine, me, TxnOutcome::Commit),
        Err(TxnError::InvalidProducerIdMapping)
    );
}

#[test]
fn with_version_2_a_client_finds_the_abort_of_its_timeout_done_and_cannot_commit() {
    for epoch in [0, i16::MAX - 2, i16::MAX - 1] {
        let mut image = TxnMachine::new(ProducerId(7), 0).image().clone();
        image.epoch = ProducerEpoch(epoch);
        image.timeout = TIMEOUT;
        let mut machine = TxnMachine::restore(image);
        let me = machine.producer();
        add_v2(&mut machine, me, 0);
        time_out(&mut machine, Some(ProducerId(99)), 60_000);
        let refused = Err(TxnError::InvalidState);
        assert_eq!(end_v2(&mut machine, me, TxnOutcome::Commit), refused);
        finish(&mut machine);
        assert_eq!(end_v2(&mut machine, me, TxnOutcome::Commit), refused);
        let next = machine.producer();
        assert_ne!(next, me);
        assert_eq!(
            end_v2(&mut machine, me, TxnOutcome::Abort),
            Ok(EndDecision::Ended(next))
        );
        // Unless a new instance has taken over.
        let taken = machine.init(None, Some(ProducerId(100)), TIMEOUT, 0);
        let InitDecision::Write(transit) = taken.unwrap() else {
            panic!("nothing to write");
        };
        machine.complete(transit);
        for outcome in [TxnOutcome::Commit, TxnOutcome::Abort] {
            assert!(matches!(
                end_v2(&mut machine, me, outcome),
                Err(TxnError::Fenced | TxnError::InvalidProducerIdMapping)
            ));
        }
    }
}

#[test]
fn clients_of_both_versions_take_turns_on_one_id() {
    let mut machine = TxnMachine::new(ProducerId(7), 0);
    let me = init(&mut machine, 0);
    add(&mut machine, me, 0, 0);
    decide(&mut machine, me, TxnOutcome::Commit);
    finish(&mut machine);
    assert_eq!(machine.producer(), me, "version 1 keeps the epoch");
    add_v2(&mut machine, me, 0);
    let me = end_through(&mut machine, me, TxnOutcome::Commit);
    add(&mut machine, me, 0, 0);
    decide(&mut machine, me, TxnOutcome::Abort);
    assert_eq!(machine.image().client_version, ClientVersion::V1);
    assert_eq!(machine.producer(), producer(7, 1));
}
