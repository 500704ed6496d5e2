use super::*;
use millstream_core::env::RealFs;
use openraft::testing::{StoreBuilder, Suite, blank_ent};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(RealFs::shared(), dir.path()).unwrap();
        let machine = StateMachine::open(RealFs::shared(), dir.path()).unwrap();
        Ok((dir, log, machine))
    }
}

/// openraft's own conformance suite: an oracle that we did not write.
#[test]
fn storage_passes_openrafts_own_suite() {
    Suite::test_all(Builder).unwrap();
}

fn entries(range: std::ops::Range<u64>) -> Vec<Entry> {
    range
        .map(|index| blank_ent::<TypeConfig>(1, 1, index))
        .collect()
}

fn written(dir: &std::path::Path, appends: &[(u64, u64)]) -> std::path::PathBuf {
    let path = dir.join("log");
    let (mut log, _) = log_file::LogFile::open(RealFs::shared(), path.clone()).unwrap();
    for (start, end) in appends {
        log.append(&entries(*start..*end)).unwrap();
    }
    path
}

fn reopen(path: &std::path::Path) -> std::io::Result<Vec<u64>> {
    let (_, recovered) = log_file::LogFile::open(RealFs::shared(), path.to_owned())?;
    Ok(recovered.entries.iter().map(|e| e.log_id.index).collect())
}

#[test]
fn a_torn_tail_is_cut_off_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &[(0, 2)]);
    let whole = std::fs::read(&path).unwrap();
    written(dir.path(), &[(2, 3)]);
    let longer = std::fs::read(&path).unwrap();
    for cut in whole.len()..longer.len() {
        std::fs::write(&path, &longer[..cut]).unwrap();
        assert_eq!(reopen(&path).unwrap(), [0, 1], "cut at {cut}");
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn zeros_after_a_lost_write_are_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &[(0, 2)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend([0; 4096]);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(reopen(&path).unwrap(), [0, 1]);
}

#[test]
fn damage_before_a_good_frame_is_refused_not_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &[(0, 1)]);
    let position = std::fs::metadata(&path).unwrap().len() as usize;
    written(dir.path(), &[(1, 2), (2, 3)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[position + frame::FRAME_HEADER_BYTES + 3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = reopen(&path).unwrap_err().to_string();
    assert!(
        error.contains(&format!("damaged at byte {position}")),
        "{error}"
    );
}

#[test]
fn a_damaged_vote_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vote"), b"garbage and more").unwrap();
    let error = LogStore::open(RealFs::shared(), dir.path())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("'vote' is damaged"), "{error}");
}
