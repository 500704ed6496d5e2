//! Every crate and package that goes into the binary has its licence in
//! `notices/`, in the version that goes in.

#![allow(clippy::expect_used, reason = "a test")]

use std::collections::HashSet;
use std::process::Command;

const HINT: &str = "run scripts/notices.sh";

fn notices(file: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read_to_string(format!("{root}/../../notices/{file}")).expect("notices")
}

/// What `millstream` is linked from, as `name version`, without build scripts,
/// tests and our own crates. Of cargo's commands only `tree` knows which
/// optional dependencies are really built.
fn in_the_binary() -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "millstream"])
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none"])
        .args(["--format", "{p}"])
        .output()
        .expect("cargo tree");
    assert!(tree.status.success(), "cargo tree: {}", tree.status);
    String::from_utf8_lossy(&tree.stdout)
        .lines()
        .filter(|line| !line.contains("(/"))
        .filter_map(|line| line.trim_end_matches(" (*)").split_once(" v"))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

#[test]
fn every_crate_in_the_binary_has_a_notice() {
    let text = notices("rust.txt");
    let told: HashSet<&str> = text.lines().map(str::trim).collect();
    let built: HashSet<String> = in_the_binary().into_iter().collect();
    let missing: Vec<&String> = built
        .iter()
        .filter(|name| !told.contains(name.as_str()))
        .collect();
    assert!(built.len() > 100, "only {} crates found", built.len());
    assert!(missing.is_empty(), "{HINT}: no notice of {missing:?}");
}

#[test]
fn every_package_of_the_web_app_has_a_notice() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = std::fs::read_to_string(format!("{root}/../../web/package.json")).expect("package");
    let package: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let told = notices("web.txt");
    let direct = package["dependencies"].as_object().expect("dependencies");
    assert!(!direct.is_empty());
    for (name, version) in direct {
        let line = format!("\n{name} {} (", version.as_str().expect("a version"));
        assert!(
            told.contains(&line),
            "{HINT}: no notice of {name} {version}"
        );
    }
}
