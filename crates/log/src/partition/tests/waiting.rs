//! Waiting for the high watermark, and who is woken.

use super::*;

#[tokio::test]
async fn waiting_for_the_high_watermark_ends_at_the_sync_or_the_failure() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let end = append(&log, batch(3)).end_offset();
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_high_watermark(end).await }
    });
    assert!(!waiting.is_finished());
    log.flush().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    waited.unwrap().unwrap().unwrap();

    let end = append(&log, batch(3)).end_offset();
    disk.fs.fail_syncs(|_| true);
    log.flush().unwrap_err();
    let failed = tokio::time::timeout(Duration::from_secs(10), log.wait_high_watermark(end)).await;
    failed.unwrap().unwrap_err();
}

#[tokio::test]
async fn one_waker_serves_many_partitions() {
    let disk = Disk::new(LogConfig::default());
    let (manager, log) = disk.open();
    let other = TopicPartition::new("other", 0);
    let other = manager
        .create(&other, topic_id(), LogConfig::default())
        .unwrap();
    let waker = Arc::new(tokio::sync::Notify::new());
    log.wake_on_progress(&waker);
    other.wake_on_progress(&waker);
    append(&other, batch(1));
    other.flush().unwrap();
    tokio::time::timeout(Duration::from_secs(10), waker.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_waker_is_told_what_may_be_read_and_nothing_else() {
    let disk = Disk::new(LogConfig::default());
    let (_manager, log) = disk.open();
    let waker = Arc::new(tokio::sync::Notify::new());
    let is_woken = || is_ready(waker.notified());
    log.wake_on_progress(&waker);
    append(&log, batch(2));
    assert!(!is_woken(), "nobody may read it yet");
    log.flush().unwrap();
    assert!(is_woken());
    log.wake_on_progress(&waker);
    log.delete_records_before(Offset(1)).unwrap();
    assert!(is_woken(), "the log begins later");
    log.wake_on_progress(&waker);
    append(&log, batch_of(transactional(1, 0), NOW_MS, &[b"x"]));
    log.flush().unwrap();
    assert!(is_woken(), "committed, but not stable");
    log.wake_on_progress(&waker);
    end_transaction(&log, 1, ControlKind::Commit);
    assert!(!is_woken());
    log.flush().unwrap();
    assert!(is_woken());
    log.wake_on_progress(&waker);
    log.truncate_to(Offset(2)).unwrap();
    assert!(is_woken(), "the log ends earlier");
    log.wake_on_progress(&waker);
    append(&log, batch(1));
    disk.fs.fail_syncs(|_| true);
    log.flush().unwrap_err();
    assert!(is_woken(), "the log has stopped");
}

/// Whether the future is ready at once.
fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
}
