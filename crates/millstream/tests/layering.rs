//! The house's layers: a crate may name only crates of lower rows.
//!
//! ```text
//! millstream
//! console
//! ops
//! broker   engine
//! cluster  connect  sql
//! log
//! wire
//! core
//! ```

#![allow(clippy::expect_used, reason = "a test")]

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Rows from the bottom up. Crates of one row do not see each other.
const LAYERS: [&[&str]; 8] = [
    &["millstream-core"],
    &["millstream-wire"],
    &["millstream-log"],
    &["millstream-cluster", "millstream-connect", "millstream-sql"],
    &["millstream-broker", "millstream-engine"],
    &["millstream-ops"],
    &["millstream-console"],
    &["millstream"],
];

/// Only these may name Arrow or DataFusion, so that a change to the broker
/// compiles in seconds.
const MAY_NAME_ARROW: [&str; 4] = [
    "millstream-connect",
    "millstream-sql",
    "millstream-engine",
    "millstream-console",
];

fn packages() -> Vec<Package> {
    MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata")
        .packages
        .into_iter()
        // The load client of the benchmarks is nobody's layer.
        .filter(|package| package.name.as_str() != "millstream-load")
        .collect()
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn every_crate_has_its_layer() {
    for package in packages() {
        assert!(
            layer_of(&package.name).is_some(),
            "crate {} is in no layer: give it a row in LAYERS and in docs/ARCHITECTURE.md",
            package.name
        );
    }
}

#[test]
fn dependencies_point_down_only() {
    for package in packages() {
        let layer = layer_of(&package.name).expect("checked above");
        for dependency in &package.dependencies {
            // A crate's tests may switch on a feature of the crate itself.
            if dependency.name == *package.name {
                continue;
            }
            if let Some(below) = layer_of(&dependency.name) {
                assert!(
                    below < layer,
                    "{} may not depend on {}: it is not in a lower layer",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn arrow_is_named_only_where_rows_are() {
    for package in packages() {
        let names_arrow = package.dependencies.iter().any(|d| {
            d.kind == DependencyKind::Normal
                && (d.name.starts_with("arrow") || d.name.starts_with("datafusion"))
        });
        assert!(
            !names_arrow || MAY_NAME_ARROW.contains(&package.name.as_str()),
            "{} names Arrow or DataFusion",
            package.name
        );
    }
}
