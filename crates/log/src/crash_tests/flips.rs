//! A flipped bit in what no sync has covered, in every place that it can be.
//! The checksum of a batch covers neither its base offset nor its leader epoch.

use super::*;
use bytes::Bytes;
use millstream_wire::batch::BatchView;

const LOG: &str = "00000000000000000000.log";

fn append_in(log: &PartitionLog, epoch: i32, batch: Bytes) {
    log.append_as_leader(batch, AppendOrigin::Client, LeaderEpoch(epoch))
        .unwrap();
}

/// Three acknowledged batches of the epoch 1, and four beyond them, of 1, 1, 2
/// and 2. The metadata knows of 2.
fn written() -> (Disk, usize) {
    let mut disk = Disk::new(LogConfig::default());
    disk.newest_epoch = Some(LeaderEpoch(2));
    let (manager, log) = disk.open();
    for i in 0..3 {
        append_in(&log, 1, batch_of(idempotent(7, i), NOW_MS, &[b"told"]));
    }
    log.flush().unwrap();
    manager.checkpoint_logs(1);
    let acknowledged = log.size_bytes() as usize;
    for (i, epoch) in [1, 1, 2, 2].into_iter().enumerate() {
        let sequence = 3 + 2 * i as i32;
        append_in(
            &log,
            epoch,
            batch_of(idempotent(7, sequence), NOW_MS, &[b"un", &value(i)]),
        );
    }
    (disk, acknowledged)
}

fn shown(log: &PartitionLog) -> Vec<BatchView> {
    read_batches(log, UpTo::HighWatermark)
}

fn epochs(log: &PartitionLog) -> Vec<i32> {
    let batches = shown(log).into_iter();
    batches.map(|b| b.header().partition_leader_epoch).collect()
}

/// All but the epoch.
fn content(batch: &BatchView) -> Vec<u8> {
    let bytes = batch.bytes();
    [&bytes[..12], &bytes[16..]].concat()
}

#[test]
fn a_bit_flipped_anywhere_by_power_loss_leaves_a_whole_log_that_takes_writes() {
    let (disk, acknowledged) = written();
    let (_manager, log) = disk.copy().reopen();
    let original = shown(&log);
    let size = log.size_bytes() as usize;
    drop((_manager, log));
    let (mut cut, mut kept) = (0, 0);
    for position in acknowledged..size {
        for bit in 0..8 {
            let mut disk = disk.copy();
            let path = disk.file(LOG);
            let flipped = disk.fs.read_to_vec(&path).unwrap()[position] ^ (1 << bit);
            let file = disk.fs.open(&path, false).unwrap();
            file.write_all_at(&[flipped], position as u64).unwrap();
            disk.lose_power(Keep::Everything);
            let (manager, log) = disk.reopen();
            let found = shown(&log);
            let at = format!("bit {bit} of byte {position}, of {}", found.len());
            assert!(found.len() >= 3, "acknowledged: {at}");
            if found.len() == original.len() {
                kept += 1;
            } else {
                cut += 1;
            }
            for (found, original) in found.iter().zip(&original) {
                assert_eq!(content(found), content(original), "{at}");
            }
            assert!(epochs(&log).is_sorted(), "{:?}: {at}", epochs(&log));
            append_in(&log, 3, batch_of(NOBODY, NOW_MS, &[b"later"]));
            log.flush().unwrap();
            let end = log.end_offset_for_epoch(LeaderEpoch(2)).unwrap();
            assert_eq!(end.1.0, log.log_end_offset().0 - 1, "{at}");
            let before = (epochs(&log), log.log_end_offset());
            drop(manager);
            disk.newest_epoch = Some(LeaderEpoch(3));
            disk.lose_power(Keep::Nothing);
            let (_manager, log) = disk.reopen();
            assert_eq!((epochs(&log), log.log_end_offset()), before, "{at}");
        }
    }
    let outside_the_checksum = 64 + 32;
    assert_eq!(kept, 4 * outside_the_checksum, "they are set right");
    assert!(cut > 1000);
}

#[test]
fn an_epoch_that_cannot_be_is_set_right_when_the_machine_lived() {
    let (mut disk, acknowledged) = written();
    let path = disk.file(LOG);
    let file = disk.fs.open(&path, false).unwrap();
    // 1 becomes 268435457, in a batch with others behind it.
    file.write_all_at(&[0x10], acknowledged as u64 + 12)
        .unwrap();
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(epochs(&log), [1, 1, 1, 1, 1, 2, 2]);
    append_in(&log, 3, batch(1));
}

#[test]
fn a_base_offset_that_cannot_be_is_set_right_when_the_machine_lived() {
    for behind in [0, 1] {
        for bit in 0..64 {
            let (mut disk, acknowledged) = written();
            let path = disk.file(LOG);
            let size = disk.fs.read_to_vec(&path).unwrap().len();
            // The last one, or the first of four.
            let position = match behind {
                0 => size - (size - acknowledged) / 4,
                _ => acknowledged,
            };
            let byte = position + 7 - bit / 8;
            let flipped = disk.fs.read_to_vec(&path).unwrap()[byte] ^ (1 << (bit % 8));
            let file = disk.fs.open(&path, false).unwrap();
            file.write_all_at(&[flipped], byte as u64).unwrap();
            disk.kill();
            let (_manager, log) = disk.reopen();
            let bases: Vec<i64> = shown(&log).iter().map(|b| b.header().base_offset).collect();
            assert_eq!(bases, [0, 1, 2, 3, 5, 7, 9], "bit {bit}");
            append_in(&log, 3, batch(1));
        }
    }
}

/// It is whole, so no write was torn there.
#[test]
fn an_intact_batch_at_an_offset_that_cannot_be_told_is_not_cut_unseen() {
    let (mut disk, acknowledged) = written();
    let path = disk.file(LOG);
    let before = disk.fs.read_to_vec(&path).unwrap();
    let last = before.len() - (before.len() - acknowledged) / 4;
    let file = disk.fs.open(&path, false).unwrap();
    file.write_all_at(&1_000_000_i64.to_be_bytes(), last as u64)
        .unwrap();
    disk.kill();
    let offline = disk.manager().offline();
    let [(_, error)] = offline.as_slice() else {
        panic!("{offline:?}")
    };
    assert!(
        matches!(error.as_ref(), OpenError::Damaged { .. }),
        "{error}"
    );
    assert_eq!(disk.fs.read_to_vec(&path).unwrap().len(), before.len());
    // After a loss of power nobody was promised it; it is kept aside.
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.log_end_offset(), Offset(9));
    assert!(disk.names().iter().any(|name| name.contains(".cut-")));
}

/// What the checkpoint tells of epochs that cannot be, an earlier build wrote.
#[test]
fn writes_go_on_after_a_checkpoint_with_an_epoch_that_cannot_be() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_in(&log, 1, batch(1));
    append_in(&log, 268_435_457, batch(1));
    log.flush().unwrap();
    manager.shutdown().unwrap();
    drop((manager, log));
    disk.newest_epoch = Some(LeaderEpoch(1));
    let (manager, log) = disk.reopen();
    append_in(&log, 2, batch(1));
    let end = log.end_offset_for_epoch(LeaderEpoch(1));
    assert_eq!(end, Some((LeaderEpoch(1), Offset(2))));
    manager.shutdown().unwrap();
    let checkpoint = disk.fs.read_to_vec(&disk.file("leader-epoch-checkpoint"));
    assert_eq!(checkpoint.unwrap(), b"0\n2\n1 0\n2 2\n");
}

/// The batch behind it was torn by the same loss of power.
#[test]
fn a_flipped_base_offset_before_a_torn_tail_is_set_right() {
    let (mut disk, acknowledged) = written();
    let path = disk.file(LOG);
    let size = disk.fs.read_to_vec(&path).unwrap().len();
    let of_one = (size - acknowledged) / 4;
    let file = disk.fs.open(&path, false).unwrap();
    file.write_all_at(&[0x40], (size - 2 * of_one) as u64)
        .unwrap();
    file.set_size(size as u64 - 5).unwrap();
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.reopen();
    let bases: Vec<i64> = shown(&log).iter().map(|b| b.header().base_offset).collect();
    assert_eq!(bases, [0, 1, 2, 3, 5, 7]);
}

/// The batch behind it is in the next segment.
#[test]
fn a_flipped_base_offset_at_the_end_of_a_segment_is_set_right() {
    let mut disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_all(&log, 0..40);
    assert!(log.segments_count() > 1);
    let path = disk.file(LOG);
    let bytes = disk.fs.read_to_vec(&path).unwrap();
    let last = millstream_wire::batch::split_batches(bytes.clone().into());
    let last = last.last().unwrap().unwrap().bytes().len();
    let file = disk.fs.open(&path, false).unwrap();
    let position = bytes.len() - last;
    file.write_all_at(&[bytes[position + 6] ^ 1], position as u64 + 6)
        .unwrap();
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..40));
}
