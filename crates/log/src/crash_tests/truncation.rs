//! Truncation, retention and deletion of records that power or the disk cuts off.

use super::*;

#[test]
fn records_that_were_never_synced_can_be_deleted_before_power_loss() {
    for keep in [Keep::Nothing, Keep::Random(1), Keep::Random(2)] {
        let mut disk = Disk::new(LogConfig {
            durability: Durability::PageCache,
            // Within one segment: what is durable of it ends below.
            ..LogConfig::default()
        });
        let (manager, log) = disk.open();
        append_all(&log, 0..5);
        for i in 5..100 {
            append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
        }
        log.delete_records_before(Offset(55)).unwrap();
        drop(manager);
        disk.lose_power(keep);
        let (_manager, log) = disk.reopen();
        assert_eq!(log.log_start_offset(), Offset(55));
        assert!(log.log_end_offset() >= Offset(55));
    }
}

/// A producer whose last batch lies in a segment that is below the log start,
/// and that no checkpoint has seen.
#[test]
fn producers_outlive_the_segments_below_the_log_start() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"a"]));
    manager.checkpoint_logs(1);
    end_transaction(&log, 1, ControlKind::Commit);
    append(&log, batch_of(transactional(1, 1), NOW_MS, &[b"b"]));
    end_transaction(&log, 1, ControlKind::Commit);
    log.flush().unwrap();
    log.delete_records_before(Offset(4)).unwrap();
    // The next append begins a segment, and the one before is not needed.
    log.update_config(LogConfig {
        segment_bytes: 1,
        ..LogConfig::default()
    });
    append(&log, batch(8));
    log.flush().unwrap();
    assert_eq!(log.segments_count(), 2);
    let before = log.producers();
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(log.producers(), before);
    assert_eq!(log.enforce_retention(NOW_MS).unwrap(), 1);
    disk.kill();
    let (_manager, log) = disk.reopen();
    assert_eq!(log.segments_count(), 1);
    assert_eq!(log.producers(), before);
    append(&log, batch_of(transactional(1, 2), NOW_MS, &[b"c"]));
}

#[test]
fn retention_survives_power_loss_at_any_point() {
    for seed in 0..200 {
        let mut disk = Disk::new(LogConfig {
            retention_bytes: Some(3000),
            ..small_segments()
        });
        let (_manager, log) = disk.open();
        append_all(&log, 0..150);
        disk.fs.power_off_after((seed % 5) as usize);
        let deleted = log.enforce_retention(NOW_MS).is_ok();
        let start_before = log.log_start_offset();
        disk.lose_power(Keep::Random(seed));
        let (_manager, log) = disk.reopen();
        let start = log.log_start_offset();
        assert!(!deleted || start == start_before, "{seed}");
        assert_eq!(committed(&log), expected(start.0 as usize..150), "{seed}");
    }
}

#[test]
fn truncation_survives_power_loss_at_any_point() {
    for seed in 0..200 {
        let mut disk = Disk::new(small_segments());
        let (manager, log) = disk.open();
        append_all(&log, 0..100);
        manager.checkpoint_logs(1);
        disk.fs.power_off_after((seed % 7) as usize);
        let cut = log.truncate_to(Offset(30)).is_ok();
        disk.lose_power(Keep::Random(seed));
        let (_manager, log) = disk.reopen();
        let end = log.log_end_offset().0 as usize;
        assert!(
            (30..=100).contains(&end) && (!cut || end == 30),
            "{seed}: {end}"
        );
        assert_eq!(committed(&log), expected(0..end), "{seed}");
        append_all(&log, end..end + 5);
        assert_eq!(committed(&log), expected(0..end + 5), "{seed}");
    }
}

#[test]
fn retention_never_leaves_a_segment_without_its_log() {
    let mut disk = Disk::new(LogConfig {
        retention_bytes: Some(3000),
        ..small_segments()
    });
    let (_manager, log) = disk.open();
    append_all(&log, 0..150);
    assert!(log.enforce_retention(NOW_MS).unwrap() > 1);
    let start = log.log_start_offset();
    disk.lose_power(Keep::Nothing);
    // The renaming is on disk although the removal is not.
    let first = disk
        .names()
        .into_iter()
        .find(|name| name.ends_with(".log"))
        .unwrap();
    assert_eq!(first, format!("{start:0>20}.log"));
    let (_manager, log) = disk.reopen();
    assert_eq!(
        committed(&log).first().map(|(offset, _)| Offset(*offset)),
        Some(start)
    );
    assert!(!disk.names().iter().any(|name| name.ends_with(".deleted")));
}

#[test]
fn a_truncation_survives_power_loss() {
    for keep in [
        Keep::Nothing,
        Keep::Random(1),
        Keep::Random(2),
        Keep::Random(3),
    ] {
        let mut disk = Disk::new(small_segments());
        let (manager, log) = disk.open();
        append_all(&log, 0..100);
        manager.checkpoint_logs(1);
        log.truncate_to(Offset(30)).unwrap();
        disk.lose_power(keep);
        let (_manager, log) = disk.reopen();
        assert_eq!(committed(&log), expected(0..30));
    }
}

/// Killed, or failed, at any change of a truncation; then power loss before
/// anything else is written. What a start has shown in between holds.
#[test]
fn what_a_truncation_that_was_cut_off_has_taken_stays_gone() {
    // Within the only segment, all of it, within the log start's batch; each
    // with later segments too.
    for (to, start, config) in [
        (30, 0, LogConfig::default()),
        (0, 0, LogConfig::default()),
        (53, 53, LogConfig::default()),
        (0, 0, small_segments()),
        (30, 0, small_segments()),
        (53, 53, small_segments()),
    ] {
        for fails in [false, true] {
            let cut_off = (0..300).take_while(|changes| {
                let was_cut_off = truncation_cut_off(*changes, fails, (to, start), &config);
                was_cut_off.is_break()
            });
            assert!((6..300).contains(&cut_off.count()));
        }
    }
}

/// Breaks when the truncation did not come to its end.
fn truncation_cut_off(
    changes: usize,
    fails: bool,
    (to, start): (i64, i64),
    config: &LogConfig,
) -> ControlFlow<()> {
    let mut disk = Disk::new(config.clone());
    let (manager, log) = disk.open();
    append_all(&log, 0..50);
    append(&log, batch(5));
    append_all(&log, 55..90);
    manager.checkpoint_logs(1);
    log.delete_records_before(Offset(start)).unwrap();
    if fails {
        let at = disk.fs.changes_count() + changes;
        disk.fs
            .fail_changes(move |change| (change.earlier == at).then_some(ErrorKind::Other));
    } else {
        disk.fs.power_off_after_changes(changes);
    }
    let truncated = log.truncate_to(Offset(to));
    disk.kill();
    let (manager, log) = disk.reopen();
    let shown = (log.log_start_offset(), log.log_end_offset());
    drop((manager, log));
    disk.lose_power(Keep::Nothing);
    let (_manager, log) = disk.reopen();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        shown,
        "to {to}, change {changes}, an error: {fails}"
    );
    match truncated {
        Ok(_) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// The disk is full at each step of a roll, then no longer. A smaller batch
/// still fits the old segment, which so reaches beyond where the new one would
/// have begun.
#[test]
fn a_roll_that_a_full_disk_refused_leaves_no_segment() {
    let large = vec![0; 520];
    for step in 0..4 {
        let mut disk = Disk::new(LogConfig {
            segment_bytes: 1200,
            ..LogConfig::default()
        });
        let (manager, log) = disk.open();
        append(&log, batch_of(NOBODY, NOW_MS, &[&large]));
        append(&log, batch_of(NOBODY, NOW_MS, &[b"value-1"]));
        log.flush().unwrap();
        let at = disk.fs.changes_count() + step;
        disk.fs
            .fail_changes(move |change| (change.earlier == at).then_some(ErrorKind::StorageFull));
        let refused = log.append_as_leader(
            batch_of(NOBODY, NOW_MS, &[&large]),
            AppendOrigin::Client,
            LeaderEpoch(0),
        );
        assert!(refused.is_err() && log.failure().is_none(), "step {step}");
        disk.fs.heal();
        append_all(&log, 2..5);
        assert_eq!(log.segments_count(), 1);
        manager.checkpoint_logs(1);
        disk.lose_power(Keep::Nothing);
        let (_manager, log) = disk.reopen();
        assert_eq!(committed(&log)[1..], expected(1..5), "step {step}");
    }
}

/// The disk fails when the new log start is in the file and not yet told.
#[test]
fn a_deletion_that_failed_is_not_missed_after_a_truncation_below_it() {
    let mut disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    append_all(&log, 0..20);
    disk.fs
        .fail_syncs(|call| call.kind == SyncKind::Folder && call.path.ends_with("data"));
    assert!(log.delete_records_before(Offset(10)).is_err());
    disk.fs.heal();
    assert_eq!(log.log_start_offset(), Offset(0));
    assert_eq!(log.truncate_to(Offset(5)).unwrap(), Offset(5));
    disk.lose_power(Keep::Random(1));
    let (_manager, log) = disk.reopen();
    assert_eq!(committed(&log), expected(0..5));
}

#[test]
fn what_is_appended_after_a_truncation_is_verified() {
    let mut disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    append_all(&log, 0..100);
    manager.checkpoint_logs(1);
    log.truncate_to(Offset(30)).unwrap();
    for i in 30..60 {
        append(&log, batch_of(NOBODY, NOW_MS, &[&value(i)]));
    }
    // Never synced; its middle is torn.
    let position = log.size_bytes() - 200;
    disk.lose_power(Keep::Everything);
    disk.fs
        .damage(&disk.file("00000000000000000000.log"), position as usize);
    let (_manager, log) = disk.reopen();
    assert!(log.log_end_offset() < Offset(60));
    let end = log.log_end_offset().0 as usize;
    assert_eq!(committed(&log), expected(0..end));
}
