use super::*;
use crate::error::AppendError;
use crate::partition::AppendOrigin;
use crate::testing::{Producer, batch_of, idempotent, transactional};
use millstream_wire::batch::{BatchHeader, BatchView, ControlKind, EndTxnMarker};

const NOW_MS: i64 = 1_700_000_000_000;

/// The header of a batch of `records`, placed at `offset`.
fn header(producer: Producer, offset: i64, records: usize) -> BatchHeader {
    let batch = batch_of(producer, NOW_MS, &vec![&b"v"[..]; records]);
    let mut header = BatchView::parse(&batch).unwrap().header().clone();
    header.base_offset = offset;
    header
}

fn check(state: &ProducerState, header: &BatchHeader) -> Result<Checked, AppendError> {
    ProducerAppend::default().check(state, header, AppendOrigin::Client)
}

fn append(state: &mut ProducerState, header: &BatchHeader) {
    assert_eq!(check(state, header).unwrap(), Checked::New);
    let mut append = ProducerAppend::default();
    append.add(state, header);
    state.apply(append);
}

fn end(
    state: &mut ProducerState,
    id: i64,
    epoch: i16,
    offset: i64,
    kind: ControlKind,
) -> Vec<AbortedTransaction> {
    let marker = EndTxnMarker {
        kind,
        coordinator_epoch: 3,
    };
    let batch = marker.to_batch(id, epoch, NOW_MS).unwrap();
    let mut header = BatchView::parse(&batch).unwrap().header().clone();
    header.base_offset = offset;
    let mut append = ProducerAppend::default();
    let origin = AppendOrigin::Coordinator;
    append.check_marker(state, &header, marker, origin).unwrap();
    append.add_marker(state, &header, marker);
    state.apply(append)
}

#[test]
fn sequences_wrap_after_two_to_the_31() {
    let mut state = ProducerState::default();
    append(&mut state, &header(idempotent(1, i32::MAX - 1), 0, 2));
    append(&mut state, &header(idempotent(1, 0), 2, 1));
    let mut state = ProducerState::default();
    // A batch that wraps in its middle.
    append(&mut state, &header(idempotent(1, i32::MAX), 0, 3));
    assert_eq!(state.get(1).unwrap().last_sequence(), 1);
    append(&mut state, &header(idempotent(1, 2), 3, 1));
    let again = check(&state, &header(idempotent(1, i32::MAX), 9, 3)).unwrap();
    assert!(matches!(
        again,
        Checked::Duplicate {
            first_offset: 0,
            last_offset: 2,
            ..
        }
    ));
}

#[test]
fn duplicates_are_known_for_five_batches_and_no_more() {
    let mut state = ProducerState::default();
    for i in 0..6 {
        append(&mut state, &header(idempotent(1, i), i64::from(i), 1));
    }
    assert!(matches!(
        check(&state, &header(idempotent(1, 0), 0, 1)),
        Err(AppendError::OutOfOrderSequence { .. })
    ));
    for i in 1..6 {
        let again = check(&state, &header(idempotent(1, i), 0, 1)).unwrap();
        assert!(
            matches!(again, Checked::Duplicate { first_offset, .. } if first_offset == i64::from(i))
        );
    }
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero() {
    let mut state = ProducerState::default();
    let at = |epoch, sequence| Producer {
        epoch,
        ..idempotent(1, sequence)
    };
    append(&mut state, &header(at(5, 0), 0, 3));
    assert!(matches!(
        check(&state, &header(at(4, 3), 3, 1)),
        Err(AppendError::InvalidProducerEpoch { .. })
    ));
    assert!(matches!(
        check(&state, &header(at(6, 3), 3, 1)),
        Err(AppendError::OutOfOrderSequence { .. })
    ));
    append(&mut state, &header(at(6, 0), 3, 1));
}

#[test]
fn a_marker_with_a_newer_epoch_fences_and_restarts_sequences() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(1, 0), 0, 3));
    // KIP-890: each transaction ends with a higher epoch.
    end(&mut state, 1, 1, 3, ControlKind::Commit);
    assert!(matches!(
        check(&state, &header(transactional(1, 3), 4, 1)),
        Err(AppendError::InvalidProducerEpoch { .. })
    ));
    append(
        &mut state,
        &header(
            Producer {
                epoch: 1,
                ..transactional(1, 0)
            },
            4,
            1,
        ),
    );
}

#[test]
fn an_expired_producer_may_go_on() {
    let mut state = ProducerState::default();
    append(&mut state, &header(idempotent(1, 0), 0, 3));
    append(&mut state, &header(transactional(2, 0), 3, 3));
    state.expire(NOW_MS + 1);
    assert!(state.get(1).is_none());
    assert!(state.get(2).is_some(), "its transaction is open");
    append(&mut state, &header(idempotent(1, 77), 6, 1));
}

#[test]
fn the_number_of_producers_is_bounded() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(0, 0), 0, 1));
    let mut all = ProducerAppend::default();
    for id in 1..=PRODUCERS_MAX as i64 {
        let header = BatchHeader {
            producer_id: id,
            max_timestamp: NOW_MS + id,
            ..header(idempotent(1, 0), id, 1)
        };
        // Straight into the entries: one append would take its time.
        let mut one = ProducerAppend::default();
        one.add(&state, &header);
        state.apply(one);
    }
    all.add(&state, &header(idempotent(i64::MAX, 0), 1 << 40, 1));
    state.apply(all);
    assert!(state.entries().len() <= PRODUCERS_MAX);
    assert!(
        state.get(0).is_some(),
        "an open transaction is never forgotten"
    );
    assert!(state.get(1).is_none(), "the longest silent one goes first");
    assert!(state.get(PRODUCERS_MAX as i64).is_some());
}

#[test]
fn a_batch_outside_the_open_transaction_is_refused() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(1, 0), 0, 1));
    assert!(matches!(
        check(&state, &header(idempotent(1, 1), 1, 1)),
        Err(AppendError::InvalidTxnState(_))
    ));
}

#[test]
fn an_older_coordinator_is_fenced() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(1, 0), 0, 1));
    end(&mut state, 1, 0, 1, ControlKind::Commit);
    let marker = EndTxnMarker {
        kind: ControlKind::Abort,
        coordinator_epoch: 2,
    };
    let late = header(transactional(1, 0), 2, 1);
    let origin = AppendOrigin::Coordinator;
    let refused = ProducerAppend::default().check_marker(&state, &late, marker, origin);
    assert!(matches!(
        refused,
        Err(AppendError::CoordinatorFenced {
            epoch: 2,
            current: 3
        })
    ));
}

#[test]
fn with_version_2_a_marker_of_the_open_transactions_own_epoch_is_a_late_one() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(1, 0), 0, 1));
    end(&mut state, 1, 1, 1, ControlKind::Commit);
    let marker = EndTxnMarker {
        kind: ControlKind::Abort,
        coordinator_epoch: 3,
    };
    let check = |state: &ProducerState, epoch, origin| {
        let mut header = header(transactional(1, 0), 9, 1);
        header.producer_epoch = epoch;
        ProducerAppend::default().check_marker(state, &header, marker, origin)
    };
    let v2 = AppendOrigin::CoordinatorV2;
    assert!(
        check(&state, 1, v2).is_ok(),
        "written again, it ends nothing"
    );
    assert!(check(&state, 0, v2).is_err());
    let mut next = header(transactional(1, 0), 2, 1);
    next.producer_epoch = 1;
    append(&mut state, &next);
    assert!(matches!(
        check(&state, 1, v2),
        Err(AppendError::InvalidProducerEpoch { .. })
    ));
    assert!(check(&state, 1, AppendOrigin::Coordinator).is_ok());
    assert!(check(&state, 2, v2).is_ok());
    assert!(check(&state, i16::MAX, v2).is_ok());
}

#[test]
fn aborted_transactions_know_the_last_stable_offset_after_them() {
    let mut state = ProducerState::default();
    append(&mut state, &header(transactional(1, 0), 0, 2));
    append(&mut state, &header(transactional(2, 0), 2, 2));
    let first = end(&mut state, 1, 0, 4, ControlKind::Abort);
    assert_eq!(first[0].last_stable_offset, Offset(2));
    let second = end(&mut state, 2, 0, 5, ControlKind::Abort);
    assert_eq!(second[0].last_stable_offset, Offset(6));
    assert_eq!(
        state.first_unstable(),
        Some(Offset(0)),
        "the markers are not committed"
    );
    state.on_high_watermark(Offset(5));
    assert_eq!(state.first_unstable(), Some(Offset(2)));
    state.on_high_watermark(Offset(6));
    assert_eq!(state.first_unstable(), None);
}

#[test]
fn snapshots_keep_all_five_batches_and_open_transactions() {
    let mut state = ProducerState::default();
    for i in 0..7 {
        append(
            &mut state,
            &header(idempotent(1, 2 * i), i64::from(2 * i), 2),
        );
    }
    append(&mut state, &header(transactional(2, 0), 14, 1));
    end(&mut state, 3, 0, 15, ControlKind::Commit);
    state.on_high_watermark(Offset(16));
    let bytes = encode(&state);
    assert_eq!(decode(&bytes).unwrap(), state);
    assert_eq!(
        decode(&encode(&ProducerState::default())).unwrap(),
        ProducerState::default()
    );
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(decode(&damaged).is_err(), "{at}");
        assert!(decode(&bytes[..at]).is_err(), "{at}");
    }
}

#[test]
fn what_was_sent_after_a_batch_that_was_refused_for_now_does_not_take_its_place() {
    let mut state = ProducerState::default();
    let batch = |sequence| header(transactional(1, sequence), 0, 1);
    let epoch = batch(0).producer_epoch;
    state.hold_up(1, epoch, 3);
    state.hold_up(1, epoch, 0);
    state.hold_up(1, epoch, 3);
    let refused = check(&state, &batch(3));
    assert!(
        matches!(refused, Err(AppendError::OutOfOrderSequence { .. })),
        "{refused:?}"
    );
    append(&mut state, &batch(0));
    append(&mut state, &batch(1));
    // Whoever is known goes on where it was: nobody else can stop it.
    state.hold_up(1, epoch, 0);
    append(&mut state, &batch(2));
    // Nor does it last for another epoch, or beyond a marker.
    let mut state = ProducerState::default();
    state.hold_up(1, epoch, 0);
    state.hold_up(2, epoch - 1, 0);
    end(&mut state, 1, epoch, 0, ControlKind::Abort);
    assert_eq!(state.held_up(1, epoch), None);
    assert_eq!(state.held_up(2, epoch), None);
    for id in 0..2 * HELD_UP_MAX as i64 {
        state.hold_up(id, 0, 0);
    }
    assert_eq!(state.held_up.len(), HELD_UP_MAX);
}
