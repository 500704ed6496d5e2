//! The features of the cluster (KIP-584), and the one list of them.
//!
//! A feature is announced when everything it promises is served: clients
//! switch at once. All of them are in force at their highest level; a cluster
//! of one has nobody to wait for.

use millstream_wire::messages::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};

/// A feature: its name, and the levels that this broker serves.
struct Feature {
    name: &'static str,
    level_min: i16,
    level_max: i16,
}

/// Every feature, by name.
const FEATURES: &[Feature] = &[
    feature("group.version", 0, 1),       // KIP-848
    feature("transaction.version", 0, 2), // KIP-890
];

/// From here on clients can read a lowest level of 0 (KAFKA-17492): told to
/// an older one it fails to parse the answer.
const VERSION_LEVEL_ZERO: i16 = 4;

const fn feature(name: &'static str, level_min: i16, level_max: i16) -> Feature {
    Feature {
        name,
        level_min,
        level_max,
    }
}

/// What this broker could serve, as version `version` of ApiVersions may tell.
pub(super) fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let known = FEATURES
        .iter()
        .filter(|feature| version >= VERSION_LEVEL_ZERO || feature.level_min > 0);
    known
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.level_min,
            max_version: feature.level_max,
        })
        .collect()
}

/// What is in force.
pub(super) fn finalized() -> Vec<FinalizedFeatureKey> {
    FEATURES
        .iter()
        .map(|feature| FinalizedFeatureKey {
            name: feature.name.to_owned(),
            max_version_level: feature.level_max,
            min_version_level: feature.level_max,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_sorted_and_older_clients_are_told_no_level_zero() {
        assert!(FEATURES.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(supported(3).iter().all(|feature| feature.min_version > 0));
        assert_eq!(supported(4).len(), FEATURES.len());
        assert_eq!(finalized().len(), FEATURES.len());
    }
}
