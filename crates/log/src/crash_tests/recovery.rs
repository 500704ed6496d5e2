//! What a start finds after power loss or SIGKILL, and what it shows from then on.

use super::*;

#[test]
fn what_a_recovery_shows_survives_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append_all(&log, 0..3);
    drop(manager);
    for i in 3..40 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    assert!(log.segments_count() > 1);
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(
        committed(&log),
        expected(0..40),
        "it is readable, so it is promised"
    );
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..40));
}

/// After a failed sync the kernel has the records in memory and takes them
/// for written. A process that starts anew shows them, so it must write them.
#[test]
fn what_a_failed_sync_dropped_and_a_recovery_shows_survives_power_loss() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append_all(&log, 0..3);
    for i in 3..40 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    disk.fs
        .fail_syncs(|call| call.path.to_string_lossy().ends_with(".log"));
    assert!(log.flush().is_err());
    drop(manager);
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..40));
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..40));
}

#[test]
fn a_segment_whose_creator_was_killed_keeps_its_name() {
    let mut disk = Disk::new(LogConfig::default());
    let (_manager, _log) = disk.open();
    disk.kill();
    let (manager, log) = disk.reopen();
    append_all(&log, 0..3);
    drop(manager);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..3));
}

/// Of the names that a creation had not synced, power loss kept the log's.
#[test]
fn an_empty_log_without_its_topic_is_created_anew() {
    let mut disk = Disk::new(LogConfig::default());
    drop(disk.open());
    disk.fs
        .remove_file(&disk.file("partition.metadata"))
        .unwrap();
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.open();
    append_all(&log, 0..3);
    disk.fs
        .remove_file(&disk.file("partition.metadata"))
        .unwrap();
    disk.lose_power(Keep::Everything);
    assert_eq!(
        disk.manager().offline().len(),
        1,
        "with records it is damage"
    );
}

/// A kill after the folder was made and before its name was synced, and then,
/// with records promised in it, power loss.
#[test]
fn a_partition_whose_creator_was_killed_keeps_its_name() {
    let mut disk = Disk::new(LogConfig::default());
    let manager = disk.manager();
    disk.fs
        .fail_syncs(|call| call.kind == SyncKind::Folder && call.path == Path::new("/var/data"));
    let created = manager.create(&orders(), topic_id(), LogConfig::default());
    assert!(created.is_err());
    drop(manager);
    disk.kill();
    let (manager, log) = disk.open();
    append_all(&log, 0..3);
    drop(manager);
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..3));
}

#[test]
fn segments_cut_by_a_recovery_stay_gone() {
    let mut disk = Disk::new(small_segments());
    let (_manager, log) = disk.open();
    append_all(&log, 0..10);
    for i in 10..60 {
        append(&log, batch_of(NOBODY, NOW_MS, &[b"lost", &value(i)]));
    }
    let later = log.segments_count();
    assert!(later > 2);
    // The end of the first segment is lost, all names and later bytes are kept.
    disk.fs
        .ignore_syncs(|call| call.path.ends_with("00000000000000000000.log"));
    disk.fs.sync_dir(Path::new("/var/data/orders-0")).unwrap();
    for name in disk.names().iter().filter(|name| name.ends_with(".log")) {
        disk.fs
            .open(&disk.file(name), false)
            .unwrap()
            .sync_data()
            .unwrap();
    }
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..10));
    disk.lose_power(Keep::Nothing);
    assert_eq!(
        disk.names()
            .iter()
            .filter(|name| name.ends_with(".log"))
            .count(),
        1
    );
    let (_manager, log) = disk.reopen();
    append_all(&log, 10..20);
    assert_eq!(committed(&log), expected(0..20));
}

/// 20 acknowledged records, 20 that are not, and a tear in the middle of them.
fn torn_middle(disk: &Disk) -> u64 {
    let (_manager, log) = disk.open();
    append_all(&log, 0..20);
    let position = log.size_bytes() + 70;
    for i in 20..40 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    position
}

#[test]
fn a_torn_tail_is_cut() {
    let mut disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_all(&log, 0..20);
    let size = log.size_bytes();
    let file = disk
        .fs
        .open(&disk.file("00000000000000000000.log"), false)
        .unwrap();
    file.write_all_at(&batch(3)[..150], size).unwrap();
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..20));
    assert_eq!(log.size_bytes(), size);
    append_all(&log, 20..25);
    assert_eq!(committed(&log), expected(0..25));
}

/// The first sector of the torn batch reads as zeros and the rest is intact:
/// what is left looks like the header of a batch at offset 0.
#[test]
fn what_is_left_of_a_torn_header_does_not_mislead() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..20);
    manager.checkpoint_logs(1);
    let size = log.size_bytes();
    let mut torn = batch(1).to_vec();
    torn[..11].fill(0);
    let file = disk
        .fs
        .open(&disk.file("00000000000000000000.log"), false)
        .unwrap();
    file.write_all_at(&torn, size).unwrap();
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..20));
}

#[test]
fn damage_before_intact_batches_is_not_cut_when_the_machine_lived() {
    let mut disk = Disk::new(LogConfig::default());
    let position = torn_middle(&disk);
    let path = disk.file("00000000000000000000.log");
    disk.fs.damage(&path, position as usize);
    let before = disk.fs.read_to_vec(&path).unwrap();
    disk.kill();
    let manager = disk.manager();
    let offline = manager.offline();
    let [(_, error)] = offline.as_slice() else {
        panic!("{offline:?}")
    };
    assert!(
        matches!(
            error.as_ref(),
            OpenError::Damaged {
                offset: Offset(20),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        disk.fs.read_to_vec(&path).unwrap(),
        before,
        "nothing was changed"
    );
    let refused = manager.create(&orders(), topic_id(), LogConfig::default());
    assert!(matches!(refused, Err(OpenError::Offline { .. })));
}

#[test]
fn what_power_loss_tore_is_cut_and_kept_aside() {
    let mut disk = Disk::new(LogConfig::default());
    let position = torn_middle(&disk);
    let path = disk.file("00000000000000000000.log");
    disk.fs.damage(&path, position as usize);
    let before = disk.fs.read_to_vec(&path).unwrap();
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..20));
    let size = log.size_bytes() as usize;
    disk.lose_power(Keep::Nothing);
    let cut = disk
        .names()
        .into_iter()
        .find(|name| name.contains(".cut-"))
        .unwrap();
    assert_eq!(
        disk.fs.read_to_vec(&disk.file(&cut)).unwrap(),
        before[size..]
    );
}

/// Power loss tears a log; the first start after it is killed before it is
/// through, and the second one is of the same boot.
#[test]
fn a_recovery_that_was_killed_still_knows_of_the_power_loss() {
    let mut disk = Disk::new(LogConfig::default());
    let position = torn_middle(&disk);
    let path = disk.file("00000000000000000000.log");
    disk.fs.damage(&path, position as usize);
    disk.lose_power(Keep::Everything);
    // The lock, and no more: the mark of the boot must not be there yet.
    disk.fs.power_off_after_changes(1);
    drop(disk.try_manager());
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..20));
}

/// An I/O error, at any change of the start after a power loss, keeps the
/// partition offline; the start after that is of the same boot, after a kill or
/// a stop.
#[test]
fn a_recovery_that_an_io_error_ended_still_knows_of_the_power_loss() {
    let mut went_offline = 0;
    for (change, stops) in (0..12).flat_map(|n| [(n, false), (n, true)]) {
        let mut disk = Disk::new(LogConfig::default());
        let position = torn_middle(&disk);
        let path = disk.file("00000000000000000000.log");
        disk.fs.damage(&path, position as usize);
        disk.lose_power(Keep::Everything);
        disk.fs
            .fail_changes(move |c| (c.earlier == change).then_some(ErrorKind::Other));
        if let Ok(manager) = disk.try_manager() {
            went_offline += manager.offline().len();
            disk.fs.heal();
            if stops && !manager.offline().is_empty() {
                manager.shutdown().unwrap();
            }
        }
        disk.kill();
        let (_manager, log) = disk.reopen();
        assert_eq!(committed(&log), expected(0..20), "change {change}");
    }
    assert!(went_offline > 0);
}

#[test]
fn records_missing_below_the_recovery_point_are_reported() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..20);
    manager.checkpoint_logs(1);
    let file = disk
        .fs
        .open(&disk.file("00000000000000000000.log"), false)
        .unwrap();
    file.set_size(file.size().unwrap() - 10).unwrap();
    disk.kill();
    let offline = disk.manager().offline();
    let [(_, error)] = offline.as_slice() else {
        panic!("{offline:?}")
    };
    let missing = |e: &OpenError| {
        matches!(
            e,
            OpenError::Missing {
                found: Offset(19),
                expected: Offset(20),
                ..
            }
        )
    };
    assert!(missing(error), "{error}");
}

#[test]
fn a_clean_stop_is_opened_without_a_scan() {
    let disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append_all(&log, 0..100);
    append(&log, batch_of(transactional(1, 0), NOW_MS + 5, &[b"open"]));
    let (before, end) = (log.producers(), log.log_end_offset());
    manager.shutdown().unwrap();
    drop(manager);
    let syncs = disk.fs.syncs_of(SyncKind::File, ".log");
    let (_manager, log) = disk.reopen();
    assert_eq!(
        disk.fs.syncs_of(SyncKind::File, ".log"),
        syncs,
        "no recovery took place"
    );
    assert_eq!(
        (log.recovery_point(), log.bytes_since_checkpoint()),
        (end, 0)
    );
    assert_eq!(log.producers(), before);
    assert_eq!(log.last_stable_offset(), Offset(100));
    assert_eq!(
        log.max_timestamp().unwrap().map(|t| t.offset),
        Some(Offset(100))
    );
    assert_eq!(committed(&log)[..100], expected(0..100));
}

#[test]
fn a_clean_shutdown_mark_is_taken_once() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..10);
    manager.shutdown().unwrap();
    let (_manager, log) = disk.reopen();
    append_all(&log, 10..20);
    disk.lose_power(Keep::Nothing);
    assert!(!disk.fs.exists(Path::new("/var/data/.kafka_cleanshutdown")));
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..20));
}

/// The indexes of a closed segment beyond the recovery point are not looked at
/// before its batches are.
#[test]
fn a_torn_segment_without_its_indexes_is_cut() {
    let mut disk = Disk::new(small_segments());
    let (manager, log) = disk.open();
    append_all(&log, 0..3);
    manager.checkpoint_logs(1);
    let told = log.size_bytes();
    for i in 3..40 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    assert!(log.segments_count() > 1);
    drop(manager);
    for (extension, size) in [("timeindex", 0), ("index", 3)] {
        let path = disk.file(&format!("00000000000000000000.{extension}"));
        match size {
            0 => disk.fs.remove_file(&path).unwrap(),
            _ => disk.fs.open(&path, true).unwrap().set_size(size).unwrap(),
        }
    }
    let file = disk.fs.open(&disk.file("00000000000000000000.log"), false);
    // The length of the second batch that nobody was promised.
    let position = told + (told / 3) + 8;
    file.unwrap().write_all_at(&[0x7f], position).unwrap();
    disk.lose_power(Keep::Everything);
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..4));
    append_all(&log, 4..20);
    assert_eq!(committed(&log), expected(0..20));
}
