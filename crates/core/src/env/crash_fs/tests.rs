use super::content::SECTOR_BYTES;
use super::*;

fn fs() -> CrashFs {
    let fs = CrashFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

fn put(fs: &CrashFs, path: &str, bytes: &[u8]) -> Arc<dyn FsFile> {
    let file = fs.open(Path::new(path), true).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn get(fs: &CrashFs, path: &str) -> Option<Vec<u8>> {
    fs.read_to_vec(Path::new(path)).ok()
}

#[test]
fn content_needs_a_sync_of_the_file_and_its_name_one_of_the_folder() {
    let fs = fs();
    put(&fs, "/d/both", b"x").sync_data().unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    put(&fs, "/d/content-only", b"x").sync_data().unwrap();
    put(&fs, "/d/nothing", b"x");
    let after = fs.crash(Keep::Nothing);
    assert_eq!(get(&after, "/d/both").unwrap(), b"x");
    assert_eq!(get(&after, "/d/content-only"), None);
    assert_eq!(get(&after, "/d/nothing"), None);
    assert_eq!(
        get(&fs.crash(Keep::Everything), "/d/nothing").unwrap(),
        b"x"
    );
}

#[test]
fn a_name_without_synced_content_is_an_empty_file() {
    let fs = fs();
    put(&fs, "/d/a", b"x");
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a").unwrap(), b"");
}

#[test]
fn a_rename_is_old_or_new_and_never_neither() {
    for seed in 0..200 {
        let fs = fs();
        put(&fs, "/d/a", b"old").sync_data().unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        fs.replace(Path::new("/d/a"), b"new").unwrap();
        put(&fs, "/d/a.tmp", b"newer").sync_data().unwrap();
        fs.rename(Path::new("/d/a.tmp"), Path::new("/d/a")).unwrap();
        let found = get(&fs.crash(Keep::Random(seed)), "/d/a").unwrap();
        assert!(found == b"new" || found == b"newer", "{seed}: {found:?}");
    }
}

#[test]
fn an_unsynced_write_can_be_torn_with_its_end_kept() {
    let torn = (0..200).any(|seed| {
        let fs = fs();
        let file = put(&fs, "/d/a", b"");
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[7; 4 * SECTOR_BYTES], 0).unwrap();
        let found = get(&fs.crash(Keep::Random(seed)), "/d/a").unwrap();
        found.len() == 4 * SECTOR_BYTES && found[0] == 0
    });
    assert!(torn);
}

#[test]
fn synced_bytes_survive_whatever_is_pending() {
    for seed in 0..200 {
        let fs = fs();
        let file = put(&fs, "/d/a", &[1; 1000]);
        file.sync_data().unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[2; 3000], 1000).unwrap();
        let found = get(&fs.crash(Keep::Random(seed)), "/d/a").unwrap();
        assert_eq!(found[..1000], [1; 1000]);
    }
}

#[test]
fn a_removed_name_comes_back_without_a_sync_of_its_folder() {
    let fs = fs();
    put(&fs, "/d/a", b"x").sync_data().unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.remove_file(Path::new("/d/a")).unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a").unwrap(), b"x");
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a"), None);
}

#[test]
fn a_renamed_folder_takes_its_files_along() {
    let fs = fs();
    fs.create_dir_all(Path::new("/d/t-0")).unwrap();
    put(&fs, "/d/t-0/a", b"x").sync_data().unwrap();
    fs.sync_dir(Path::new("/d/t-0")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.rename(Path::new("/d/t-0"), Path::new("/d/t-0.gone"))
        .unwrap();
    assert_eq!(get(&fs, "/d/t-0.gone/a").unwrap(), b"x");
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/t-0/a").unwrap(), b"x");
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(
        get(&fs.crash(Keep::Nothing), "/d/t-0.gone/a").unwrap(),
        b"x"
    );
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_without_the_bytes() {
    let fs = fs();
    let file = put(&fs, "/d/a", b"lost");
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.fail_syncs(|call| call.path.ends_with("a"));
    assert!(file.sync_data().is_err());
    fs.heal();
    file.sync_data().unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a").unwrap(), b"");
}

#[test]
fn ignored_and_counted_syncs() {
    let fs = fs();
    fs.ignore_syncs(|call| call.kind == SyncKind::File && call.earlier == 1);
    let file = put(&fs, "/d/a", b"1");
    fs.sync_dir(Path::new("/d")).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"2", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a").unwrap(), b"1");
    assert_eq!(fs.syncs_of(SyncKind::File, "/a"), 2);
    file.sync_data().unwrap();
    assert_eq!(get(&fs.crash(Keep::Nothing), "/d/a").unwrap(), b"2");
}

#[test]
fn after_the_power_is_off_nothing_changes() {
    let fs = fs();
    let file = put(&fs, "/d/a", b"1");
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.power_off_after(1);
    file.sync_data().unwrap();
    assert!(file.write_all_at(b"2", 0).is_err());
    assert!(fs.rename(Path::new("/d/a"), Path::new("/d/b")).is_err());
    assert!(file.sync_data().is_err());
    assert_eq!(get(&fs.crash(Keep::Everything), "/d/a").unwrap(), b"1");
}

#[test]
fn a_rename_moves_the_file_that_had_the_name_then_and_no_older_one() {
    for seed in 0..200 {
        let fs = fs();
        put(&fs, "/d/log", b"old").sync_data().unwrap();
        // Left by a writer that came no further.
        fs.open(Path::new("/d/log.tmp"), true).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        fs.remove_file(Path::new("/d/log.tmp")).unwrap();
        put(&fs, "/d/log.tmp", b"new").sync_data().unwrap();
        fs.rename(Path::new("/d/log.tmp"), Path::new("/d/log"))
            .unwrap();
        let found = get(&fs.crash(Keep::Random(seed)), "/d/log").unwrap();
        assert!(found == b"old" || found == b"new", "seed {seed}: {found:?}");
    }
}
