//! The range of every number, size and duration, in one list.
//!
//! `docs/reference/millstream.toml` says the same beside each key, which a
//! test compares.

use super::{ByteSize, Config, Span};
use anyhow::{Result, bail};

/// A key's range, both ends included: in bytes, or in milliseconds.
struct Range {
    key: &'static str,
    value: Value,
    least: u64,
    most: u64,
}

/// Where the value is.
enum Value {
    Count(fn(&Config) -> i128),
    Size(fn(&Config) -> ByteSize),
    Span(fn(&Config) -> Span),
}

use Value::{Count, Size, Span as Time};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: u64 = 86_400_000;

const fn range(key: &'static str, value: Value, least: u64, most: u64) -> Range {
    Range {
        key,
        value,
        least,
        most,
    }
}

#[rustfmt::skip] // a table
const RANGES: &[Range] = &[
    range("kafka.connections_max", Count(|c| c.kafka.connections_max as i128), 1, 1_000_000),
    range("kafka.connections_per_address_max", Count(|c| c.kafka.connections_per_address_max as i128), 1, 1_000_000),
    range("kafka.request_memory", Size(|c| c.kafka.request_memory), 100 * MIB, 1024 * GIB),
    range("kafka.threads", Count(|c| c.kafka.threads as i128), 0, 1_024),
    range("log.num_partitions", Count(|c| c.log.num_partitions.into()), 1, 10_000),
    range("log.retention", Time(|c| c.log.retention), 1, 36_500 * DAY_MS),
    range("log.segment", Size(|c| c.log.segment), MIB, 2 * GIB),
    range("coordinator.initial_rebalance_delay", Time(|c| c.coordinator.initial_rebalance_delay), 0, 600_000),
    range("coordinator.offsets_retention", Time(|c| c.coordinator.offsets_retention), 60_000, 3_650 * DAY_MS),
    range("coordinator.offsets_partitions", Count(|c| c.coordinator.offsets_partitions.into()), 1, 1_000),
    range("coordinator.transactions_partitions", Count(|c| c.coordinator.transactions_partitions.into()), 1, 1_000),
    range("coordinator.transaction_timeout_max", Time(|c| c.coordinator.transaction_timeout_max), 1, 24 * DAY_MS),
    range("engine.epoch", Time(|c| c.engine.epoch), 5, 600_000),
    range("engine.job_memory", Size(|c| c.engine.job_memory), MIB, 1024 * GIB),
    range("engine.query_memory", Size(|c| c.engine.query_memory), MIB, 1024 * GIB),
    range("engine.query_time", Time(|c| c.engine.query_time), 100, 3_600_000),
    range("engine.query_threads", Count(|c| c.engine.query_threads as i128), 0, 1_024),
    range("engine.live_memory", Size(|c| c.engine.live_memory), MIB, 1024 * GIB),
    range("engine.live_rows_max", Count(|c| c.engine.live_rows_max as i128), 1, 100_000_000),
];

impl Range {
    /// The value as a number and as it is written.
    fn value(&self, config: &Config) -> (i128, String) {
        match &self.value {
            Count(value) => (value(config), value(config).to_string()),
            Size(value) => (value(config).0.into(), value(config).to_string()),
            Time(value) => (value(config).millis().into(), value(config).to_string()),
        }
    }

    fn text(&self) -> String {
        let text = |end: u64| match &self.value {
            Count(_) => end.to_string(),
            Size(_) => ByteSize(end).to_string(),
            Time(_) => Span::from_millis(end).to_string(),
        };
        format!("{} to {}", text(self.least), text(self.most))
    }
}

/// Refuses a value outside its range.
pub(super) fn check(config: &Config) -> Result<()> {
    for range in RANGES {
        let (value, text) = range.value(config);
        if value < range.least.into() || value > range.most.into() {
            bail!("{} is {text}: use {}", range.key, range.text());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `section.key`, the comment above it, and its value.
    fn documented() -> Vec<(String, String, toml::Value)> {
        let text = include_str!("../../../../docs/reference/millstream.toml");
        let (mut section, mut comment, mut keys) = (String::new(), String::new(), Vec::new());
        let mut in_comment = false;
        for line in text.lines() {
            if let Some(words) = line.strip_prefix('#') {
                if !in_comment {
                    comment.clear();
                }
                comment.push_str(words);
                in_comment = true;
                continue;
            }
            in_comment = false;
            if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", name.trim_end_matches(']'));
            } else if let Some((key, _)) = line.split_once(" = ") {
                let table: toml::Table = line.parse().unwrap();
                keys.push((
                    format!("{section}{key}"),
                    comment.clone(),
                    table[key].clone(),
                ));
            }
        }
        keys
    }

    #[test]
    fn the_documentation_says_each_range() {
        for range in RANGES {
            let keys = documented();
            let (_, comment, _) = keys.iter().find(|(key, ..)| key == range.key).unwrap();
            assert!(
                comment.contains(&range.text()),
                "{}: {} is not in {comment}",
                range.key,
                range.text()
            );
        }
    }

    #[test]
    fn every_number_size_and_duration_has_a_range() {
        let is_measure = |value: &toml::Value| match value {
            toml::Value::Integer(_) => true,
            toml::Value::String(text) => {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                digits > 0 && !text.contains(['.', ':'])
            }
            _ => false,
        };
        for (key, _, _) in documented().iter().filter(|(_, _, v)| is_measure(v)) {
            assert!(RANGES.iter().any(|r| r.key == key), "{key} has no range");
        }
    }

    #[test]
    fn what_is_outside_is_refused_with_the_range() {
        for (toml, said) in [
            ("[kafka]\nrequest_memory = \"1KiB\"", "100MiB to 1024GiB"),
            ("[kafka]\nconnections_max = 0", "1 to 1000000"),
            ("[log]\nsegment = \"5GiB\"", "1MiB to 2GiB"),
            ("[log]\nnum_partitions = -1", "1 to 10000"),
            ("[coordinator]\noffsets_retention = \"1s\"", "1m to 3650d"),
            ("[engine]\nepoch = \"1ms\"", "5ms to 10m"),
        ] {
            let config: Config = toml::from_str(toml).unwrap();
            let refused = config.check().unwrap_err().to_string();
            assert!(refused.contains(said), "{toml}: {refused}");
        }
    }
}
