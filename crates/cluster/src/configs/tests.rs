use super::*;
use crate::image::MetadataImage;
use millstream_log::config::{CleanupPolicy, Durability, LogConfig, StoredCompression};
use millstream_wire::compression::Compression;
use std::sync::Arc;

fn configs(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    check_topic_configs(&configs(&[(name, value)]))
}

#[test]
fn every_default_is_accepted_and_every_synonym_exists() {
    for def in TOPIC_CONFIGS
        .iter()
        .chain(GROUP_CONFIGS)
        .chain(BROKER_CONFIGS)
    {
        assert_eq!(def.check_value(def.default), Ok(()), "{}", def.name);
        if let Some(synonym) = def.broker_synonym {
            let broker = broker_config(synonym).expect(synonym);
            assert_eq!(broker.default, def.default, "{}", def.name);
            assert_eq!(broker.kind, def.kind, "{}", def.name);
        }
    }
}

#[test]
fn names_are_unique_and_sorted() {
    for table in [TOPIC_CONFIGS, GROUP_CONFIGS, BROKER_CONFIGS] {
        assert!(table.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}

#[test]
fn the_tables_defaults_are_the_logs_defaults() {
    let image = MetadataImage::default();
    let statics = ConfigMap::new();
    let view = ConfigView {
        image: &image,
        broker: BrokerId(1),
        statics: &statics,
    };
    let settings = TopicSettings::read(&view, &ConfigMap::new());
    assert_eq!(settings.log_config(Durability::Fsync), LogConfig::default());
}

#[test]
fn what_would_do_nothing_is_refused() {
    let refused = check("compression.lz4.level", "3").unwrap_err().to_string();
    assert!(refused.contains("only '9' is implemented"), "{refused}");
    assert!(check("preallocate", "true").is_err());
    assert!(matches!(
        check("file.delete.delay.ms", "1"),
        Err(ConfigError::NotImplemented { .. })
    ));
    assert!(matches!(
        check("retention.sm", "1"),
        Err(ConfigError::Unknown { .. })
    ));
}

#[test]
fn storage_settings_reach_the_log() {
    let image = MetadataImage::default();
    let statics = configs(&[
        ("log.cleaner.dedupe.buffer.size", "1048576"),
        ("log.cleaner.io.max.bytes.per.second", "1000000.5"),
        ("log.retention.check.interval.ms", "6000"),
    ]);
    let view = ConfigView {
        image: &image,
        broker: BrokerId(1),
        statics: &statics,
    };
    let topic = configs(&[
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-5"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("min.compaction.lag.ms", "5"),
        ("max.compaction.lag.ms", "50"),
        ("delete.retention.ms", "7"),
        ("segment.jitter.ms", "8"),
        ("message.timestamp.before.max.ms", "9"),
        ("flush.messages", "10"),
        ("flush.ms", "11"),
    ]);
    check_topic_configs(&topic).unwrap();
    let log = TopicSettings::read(&view, &topic).log_config(Durability::Fsync);
    let expected = LogConfig {
        compression: StoredCompression::As(Compression::Zstd, Some(-5)),
        dirty_ratio_min_ppm: 10_000,
        compaction_lag_ms_min: 5,
        compaction_lag_ms_max: 50,
        delete_retention_ms: 7,
        segment_jitter_ms: 8,
        timestamp_before_ms_max: 9,
        flush_messages: 10,
        flush_ms: 11,
        ..LogConfig::default()
    };
    assert_eq!(log, expected);
    let cleaner = view.broker_settings().cleaner;
    assert_eq!(cleaner.dedupe_bytes_max, 1 << 20);
    assert_eq!(cleaner.io_bytes_per_second_max, Some(1_000_000));
    let retention_check = view.broker_settings().retention_check;
    assert_eq!(retention_check.as_millis(), 6_000);
}

#[test]
fn the_smallest_lag_of_compaction_is_not_above_the_largest() {
    let lags = |min, max| {
        check_topic_configs(&configs(&[
            (MIN_COMPACTION_LAG, min),
            (MAX_COMPACTION_LAG, max),
        ]))
    };
    assert!(lags("50", "50").is_ok());
    let refused = lags("100", "50").unwrap_err().to_string();
    assert!(refused.contains("max.compaction.lag.ms (50)"), "{refused}");
}

#[test]
fn lists_are_kept_without_blanks_and_repetitions() {
    let kept = canonical(configs(&[
        ("cleanup.policy", "compact, delete,compact"),
        ("retention.ms", " 5"),
    ]));
    assert_eq!(kept["cleanup.policy"], "compact,delete");
    assert_eq!(kept["retention.ms"], " 5", "as it was sent");
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(check("retention.ms", "-1").is_ok());
    assert!(check("retention.ms", "-2").is_err());
    assert!(check("segment.bytes", "10").is_err());
    assert!(check("segment.bytes", "ten").is_err());
    assert!(check("cleanup.policy", "compact, delete").is_ok());
    assert!(check("cleanup.policy", "").is_err());
    assert!(check("cleanup.policy", "shred").is_err());
    assert!(check("min.cleanable.dirty.ratio", "0.25").is_ok());
    assert!(check("min.cleanable.dirty.ratio", "1.5").is_err());
    assert!(check("min.cleanable.dirty.ratio", "NaN").is_err());
    assert!(check("compression.gzip.level", "-1").is_ok());
    assert!(check("compression.gzip.level", "0").is_err());
    assert!(check("compression.type", "none").is_err());
}

#[test]
fn the_strongest_source_wins_and_all_are_listed() {
    let mut image = MetadataImage::default();
    Arc::make_mut(&mut image.cluster_configs).insert("log.retention.ms".into(), "3".into());
    Arc::make_mut(&mut image.broker_configs)
        .insert(BrokerId(1), configs(&[("log.retention.ms", "2")]));
    let statics = configs(&[("log.retention.ms", "4")]);
    let view = ConfigView {
        image: &image,
        broker: BrokerId(1),
        statics: &statics,
    };
    let def = topic_config("retention.ms").unwrap();

    let resolved = view.topic(&configs(&[("retention.ms", "1")]), def);
    assert_eq!(
        (resolved.value(), resolved.source()),
        ("1", ConfigSource::DynamicTopic)
    );
    let listed: Vec<_> = resolved
        .values
        .iter()
        .map(|v| (v.value.as_str(), v.source))
        .collect();
    assert_eq!(
        listed,
        [
            ("1", ConfigSource::DynamicTopic),
            ("2", ConfigSource::DynamicBroker),
            ("3", ConfigSource::DynamicDefaultBroker),
            ("4", ConfigSource::StaticBroker),
            ("604800000", ConfigSource::Default),
        ]
    );

    let settings = TopicSettings::read(&view, &ConfigMap::new());
    assert_eq!(settings.log_config(Durability::Fsync).retention_ms, Some(2));
}

#[test]
fn a_groups_settings_lie_within_the_brokers_bounds() {
    let mut image = MetadataImage::default();
    Arc::make_mut(&mut image.group_configs).insert(
        "fast".into(),
        configs(&[("consumer.session.timeout.ms", "46000")]),
    );
    let statics = configs(&[
        ("group.consumer.max.session.timeout.ms", "50000"),
        ("group.consumer.heartbeat.interval.ms", "6000"),
    ]);
    let view = ConfigView {
        image: &image,
        broker: BrokerId(1),
        statics: &statics,
    };
    let ms = |group: &str| {
        let settings = view.group_settings(group);
        (
            settings.session_timeout.as_millis(),
            settings.heartbeat_interval.as_millis(),
        )
    };
    assert_eq!(ms("fast"), (46_000, 6_000));
    assert_eq!(ms("another"), (45_000, 6_000));
    let check = |name, value| view.check_group_configs(&configs(&[(name, value)]));
    assert_eq!(check("consumer.session.timeout.ms", "50000"), Ok(()));
    let refused = check("consumer.session.timeout.ms", "50001").unwrap_err();
    assert!(refused.to_string().contains("(50000)"), "{refused}");
    assert!(check("consumer.session.timeout.ms", "44999").is_err());
    assert!(check("consumer.heartbeat.interval.ms", "soon").is_err());
    assert!(check("retention.ms", "1").is_err());
}

#[test]
fn compact_and_delete_is_read_from_the_list() {
    let image = MetadataImage::default();
    let statics = ConfigMap::new();
    let view = ConfigView {
        image: &image,
        broker: BrokerId(1),
        statics: &statics,
    };
    let settings = TopicSettings::read(&view, &configs(&[("cleanup.policy", "delete,compact")]));
    assert!(settings.is_compacted());
    let log = settings.log_config(Durability::PageCache);
    assert_eq!(log.cleanup_policy, CleanupPolicy::CompactAndDelete);
}

#[test]
fn appending_to_a_list_is_previewed_and_to_a_number_refused() {
    let append = |name: &str, value: &str| {
        vec![ConfigChange {
            name: name.into(),
            op: ConfigOp::Append(value.into()),
        }]
    };
    let current = configs(&[("cleanup.policy", "delete")]);
    let after = preview(&current, &append("cleanup.policy", "compact"), topic_config).unwrap();
    assert_eq!(after["cleanup.policy"], "delete,compact");
    assert_eq!(
        preview(&current, &append("retention.ms", "1"), topic_config),
        Err(ConfigError::NotAList {
            name: "retention.ms"
        })
    );
}
