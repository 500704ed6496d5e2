//! Broker settings by Kafka's names: those that have a key of their own here,
//! and `[kafka.settings]` for all others.

use super::Config;
use anyhow::{Context, Result, bail};
use millstream_cluster::configs::{broker_config, check_broker_configs};
use millstream_cluster::image::ConfigMap;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// `[kafka.settings]`: names with dots, quoted or not, and texts, numbers or
/// booleans; lists as Kafka writes them, or as arrays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KafkaSettings(ConfigMap);

impl<'de> Deserialize<'de> for KafkaSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let mut settings = ConfigMap::new();
        flatten("", table, &mut settings).map_err(D::Error::custom)?;
        Ok(Self(settings))
    }
}

/// `a.b = 1` without quotes is a table in a table.
fn flatten(prefix: &str, table: toml::Table, settings: &mut ConfigMap) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(&format!("{name}."), inner, settings)?,
            value => {
                let text = text(&value).ok_or_else(|| {
                    format!("{name} = {value}: write a text, a number, true or false")
                })?;
                if settings.insert(name.clone(), text).is_some() {
                    return Err(format!("{name} is set twice"));
                }
            }
        }
    }
    Ok(())
}

fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            Some(value.to_string())
        }
        toml::Value::Array(elements) => {
            let texts: Option<Vec<String>> = elements.iter().map(text).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// A setting of Kafka's that has a key of its own here.
struct Named {
    kafka: &'static str,
    ours: &'static str,
    /// In Kafka's unit.
    value: String,
}

fn named(config: &Config) -> Vec<Named> {
    let (kafka, log, coordinator) = (&config.kafka, &config.log, &config.coordinator);
    let named = |kafka, ours, value| Named { kafka, ours, value };
    vec![
        named(
            "max.connections",
            "kafka.connections_max",
            kafka.connections_max.to_string(),
        ),
        named(
            "max.connections.per.ip",
            "kafka.connections_per_address_max",
            kafka.connections_per_address_max.to_string(),
        ),
        named(
            "num.partitions",
            "log.num_partitions",
            log.num_partitions.to_string(),
        ),
        named(
            "auto.create.topics.enable",
            "log.auto_create_topics",
            log.auto_create_topics.to_string(),
        ),
        named(
            "log.retention.ms",
            "log.retention",
            log.retention.millis().to_string(),
        ),
        named(
            "log.segment.bytes",
            "log.segment",
            log.segment.0.min(i32::MAX as u64).to_string(),
        ),
        named(
            "group.initial.rebalance.delay.ms",
            "coordinator.initial_rebalance_delay",
            coordinator.initial_rebalance_delay.millis().to_string(),
        ),
        named(
            "offsets.retention.minutes",
            "coordinator.offsets_retention",
            (coordinator.offsets_retention.millis() / 60_000).to_string(),
        ),
        named(
            "offsets.topic.num.partitions",
            "coordinator.offsets_partitions",
            coordinator.offsets_partitions.to_string(),
        ),
        named(
            "transaction.state.log.num.partitions",
            "coordinator.transactions_partitions",
            coordinator.transactions_partitions.to_string(),
        ),
        named(
            "transaction.max.timeout.ms",
            "coordinator.transaction_timeout_max",
            coordinator.transaction_timeout_max.millis().to_string(),
        ),
    ]
}

/// The broker's settings by Kafka's names, in Kafka's units. Without what is
/// as it would be anyway: its source is the default, not our file.
pub fn broker_settings(config: &Config) -> ConfigMap {
    let mut settings = ConfigMap::new();
    for Named { kafka, value, .. } in named(config) {
        if broker_config(kafka).is_none_or(|def| def.default != value) {
            settings.insert(kafka.to_owned(), value);
        }
    }
    settings.extend(config.kafka.settings.0.clone());
    settings
}

/// Refuses names and values that the broker does not honour.
pub(super) fn check(config: &Config) -> Result<()> {
    for Named { kafka, ours, .. } in named(config) {
        if config.kafka.settings.0.contains_key(kafka) {
            bail!("kafka.settings: {kafka} has a key of its own here, {ours}");
        }
    }
    check_broker_configs(&broker_settings(config)).context("the broker's settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Result<ConfigMap> {
        let config: Config = toml::from_str(toml)?;
        config.check()?;
        Ok(broker_settings(&config))
    }

    fn refusal(toml: &str) -> String {
        format!("{:#}", settings(toml).unwrap_err())
    }

    #[test]
    fn our_defaults_are_those_that_describe_configs_tells() {
        for Named { kafka, value, .. } in named(&Config::default()) {
            let def = broker_config(kafka).unwrap_or_else(|| panic!("{kafka} is not listed"));
            assert_eq!(def.default, value, "{kafka}");
        }
        assert_eq!(broker_settings(&Config::default()), ConfigMap::new());
    }

    #[test]
    fn names_may_be_quoted_or_not_and_values_of_any_plain_type() {
        let found = settings(
            r#"
            [log]
            retention = "1s"
            [kafka.settings]
            "group.max.size" = 5
            group.consumer.session.timeout.ms = "50000"
            group.consumer.assignors = ["range"]
            log.cleaner.min.cleanable.ratio = 0.25
            "#,
        );
        let expected = [
            ("group.consumer.assignors", "range"),
            ("group.consumer.session.timeout.ms", "50000"),
            ("group.max.size", "5"),
            ("log.cleaner.min.cleanable.ratio", "0.25"),
            ("log.retention.ms", "1000"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.unwrap(), ConfigMap::from(expected));
    }

    #[test]
    fn what_would_do_nothing_is_refused_by_name() {
        for (line, named) in [
            ("group.max.sise = 5", "group.max.sise"),
            ("group.max.size = 0", "group.max.size"),
            ("group.max.size = 1979-05-27", "group.max.size"),
            ("log.retention.ms = 5", "log.retention"),
            ("log.cleaner.threads = 2", "log.cleaner.threads"),
            (
                "group.consumer.session.timeout.ms = 60001",
                "group.consumer.max.session.timeout.ms",
            ),
            (
                "group.max.size = 5\n\"group.max.size\" = 6",
                "group.max.size",
            ),
        ] {
            let refused = refusal(&format!("[kafka.settings]\n{line}\n"));
            assert!(refused.contains(named), "{line}: {refused}");
        }
    }
}
