//! Settings from the environment: `MILLSTREAM_LOG__DURABILITY=fsync` sets
//! `log.durability`.
//!
//! A variable that looks like a setting and is none is refused with the name
//! that was meant; any other of our prefix is told at the start.

use super::Config;
use anyhow::{Context, Result, bail};

/// The prefix of all variables that are ours.
const PREFIX: &str = "MILLSTREAM_";
/// Variables of the client commands and of what builds and tests us.
const OTHERS: [&str; 3] = ["SERVER", "BOOTSTRAP", "BIN"];
const OTHERS_PREFIXES: [&str; 3] = ["CRASH_", "FUZZ_", "TEST_"];
/// Settings by Kafka's names, which have keys of their own.
const KAFKA_SETTINGS: &str = "KAFKA__SETTINGS__";
/// Letters by which a name may differ from a setting's to be taken for it.
const TYPOS_MAX: usize = 2;

/// Lays the variables over `table`. What is left to tell: variables of our
/// prefix that do nothing.
pub(super) fn lay_over(
    table: &mut toml::Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Vec<String>> {
    let names = names()?;
    let mut warnings = Vec::new();
    for (name, value) in environment {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if names.iter().any(|n| n == key) || key.starts_with(KAFKA_SETTINGS) {
            set(table, key, &value)?;
            continue;
        }
        let known = OTHERS.contains(&key) || OTHERS_PREFIXES.iter().any(|p| key.starts_with(p));
        if known || is_service_link(key, &value) {
            continue;
        }
        let (near, typos) = nearest(&names, key);
        if key.contains("__") || typos <= TYPOS_MAX {
            bail!(
                "{name} is not a setting. Did you mean {PREFIX}{near}? (SECTION__KEY, with two \
                 underscores between them; all keys are in docs/reference/millstream.toml)"
            );
        }
        warnings.push(format!(
            "{name} is set and does nothing: it is not a setting (the nearest is {PREFIX}{near})"
        ));
    }
    Ok(warnings)
}

/// The variables of all settings, without the prefix.
fn names() -> Result<Vec<String>> {
    let defaults = toml::Table::try_from(Config::default()).context("the default settings")?;
    let mut names = Vec::new();
    for (section, value) in &defaults {
        match value.as_table() {
            None => names.push(section.to_uppercase()),
            Some(keys) => names.extend(
                keys.keys()
                    .map(|key| format!("{section}__{key}").to_uppercase()),
            ),
        }
    }
    Ok(names)
}

/// Kubernetes gives each container variables for all services, and one of
/// them may be called millstream.
fn is_service_link(key: &str, value: &str) -> bool {
    key.ends_with("SERVICE_HOST")
        || key.contains("SERVICE_PORT")
        || ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|s| value.starts_with(s))
        || ["_TCP_", "_UDP_", "_SCTP_"].iter().any(|s| key.contains(s))
}

/// The setting whose name is most like `key`, and by how many letters they
/// differ; underscores do not count.
fn nearest(names: &[String], key: &str) -> (String, usize) {
    let plain = |name: &str| name.replace('_', "");
    let wanted = plain(key);
    names
        .iter()
        .map(|name| (name.clone(), distance(&plain(name), &wanted)))
        .min_by_key(|(_, typos)| *typos)
        .unwrap_or_default()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = before + usize::from(from != *to);
            before = *cell;
            left = cost.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Sets `a.b` for `A__B`. Values are read as TOML where they are TOML
/// (numbers, booleans, arrays), else as text.
fn set(table: &mut toml::Table, name: &str, value: &str) -> Result<()> {
    let path: Vec<String> = name.to_lowercase().split("__").map(str::to_owned).collect();
    let Some((last, sections)) = path.split_last() else {
        return Ok(());
    };
    let mut at = table;
    for section in sections {
        at = at
            .entry(section.clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .with_context(|| format!("{PREFIX}{name}: {section} is not a section"))?;
    }
    let parsed = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    at.insert(last.clone(), parsed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(name: &str, value: &str) -> Result<(toml::Table, Vec<String>)> {
        let mut table = toml::Table::new();
        let variables = [(name.to_owned(), value.to_owned())];
        let warnings = lay_over(&mut table, variables.into_iter())?;
        Ok((table, warnings))
    }

    #[test]
    fn a_name_that_is_almost_a_setting_is_refused_with_the_right_one() {
        for (name, meant) in [
            ("MILLSTREAM_HTTP_LISTEN", "MILLSTREAM_HTTP__LISTEN"),
            (
                "MILLSTREAM_KAFKA_REQUEST_MEMORY",
                "MILLSTREAM_KAFKA__REQUEST_MEMORY",
            ),
            ("MILLSTREAM_LOG__DURABILTY", "MILLSTREAM_LOG__DURABILITY"),
            ("MILLSTREAM_DATADIR", "MILLSTREAM_DATA_DIR"),
            ("MILLSTREAM_LOGGING__SEGMENTS", "MILLSTREAM_LOG__SEGMENT"),
        ] {
            let refused = lay(name, "x").unwrap_err().to_string();
            assert!(refused.contains(&format!("{meant}?")), "{name}: {refused}");
        }
    }

    #[test]
    fn another_variable_of_our_prefix_is_told() {
        let (table, warnings) = lay("MILLSTREAM_COLOUR_OF_LOGS", "red").unwrap();
        assert!(table.is_empty() && warnings.len() == 1, "{warnings:?}");
    }

    #[test]
    fn what_is_not_for_the_server_is_left_alone() {
        for (name, value) in [
            ("MILLSTREAM_SERVER", "http://127.0.0.1:1"),
            ("MILLSTREAM_BIN", "/usr/bin/millstream"),
            ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("MILLSTREAM_HTTP_SERVICE_PORT", "8080"),
            ("MILLSTREAM_PORT", "tcp://10.0.0.1:9092"),
            ("MILLSTREAM_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("OTHER", "x"),
        ] {
            assert_eq!(lay(name, value).unwrap(), Default::default(), "{name}");
        }
    }

    #[test]
    fn values_are_toml_where_they_are() {
        let (table, _) = lay("MILLSTREAM_LOG__NUM_PARTITIONS", "6").unwrap();
        assert_eq!(table["log"]["num_partitions"].as_integer(), Some(6));
        let (table, _) = lay("MILLSTREAM_KAFKA__SETTINGS__X", "y").unwrap();
        assert_eq!(table["kafka"]["settings"]["x"].as_str(), Some("y"));
    }
}
