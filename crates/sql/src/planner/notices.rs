//! Options of a table that are taken and do nothing here: those by which
//! Flink finds and tunes its Kafka client. Whoever writes them is told.

use crate::statement::{Options, Statement, StatementKind};

/// Options of Flink's connector without an effect here, and why.
const IDLE: &[(&str, &str)] = &[
    (
        "sink.parallelism",
        "a job writes all partitions in one task",
    ),
    ("scan.parallelism", "a job reads all partitions in one task"),
    (
        "sink.transactional-id-prefix",
        "a job has a transactional id of its own",
    ),
    (
        "scan.topic-partition-discovery.interval",
        "added partitions are found within some seconds",
    ),
];

/// Settings of Flink's Kafka client that mean something here with some startup
/// modes only.
const OF_GROUP_OFFSETS: &[&str] = &["properties.group.id", "properties.auto.offset.reset"];

/// Whether an option is taken and does nothing.
pub(super) fn is_idle(key: &str) -> bool {
    IDLE.iter().any(|(idle, _)| *idle == key)
        || key
            .strip_prefix("properties.")
            .is_some_and(|p| !p.is_empty())
}

/// What of a `CREATE` statement does nothing here, one sentence each.
pub(super) fn notices(statement: &Statement) -> Vec<String> {
    match &statement.kind {
        StatementKind::CreateTable(create) => of_options(&create.options),
        StatementKind::CreateMaterializedTable(create) => {
            let freshness = create.freshness.then(|| FRESHNESS.to_owned());
            let options = of_options(&create.options);
            freshness.into_iter().chain(options).collect()
        }
        _ => Vec::new(),
    }
}

fn of_options(options: &Options) -> Vec<String> {
    let value = |key: &str| options.values.get(key).map(|(value, _)| value.as_str());
    let mode = value("scan.startup.mode").unwrap_or_default();
    let mut notices = Vec::new();
    let mut client = Vec::new();
    for (key, (value, _)) in &options.values {
        let known = IDLE.iter().find(|(idle, _)| idle == key);
        if let Some((key, why)) = known {
            notices.push(format!("'{key}' does nothing here: {why}"));
        } else if key == "properties.bootstrap.servers" {
            notices.push(format!(
                "'{key}' does nothing here: the table's topic is in the log that this server \
                 works on, not at {value}; another cluster is named by [bus] in the server's \
                 configuration"
            ));
        } else if OF_GROUP_OFFSETS.contains(&key.as_str()) {
            let group = mode == "group-offsets";
            let specific = mode == "specific-offsets" && key == "properties.group.id";
            if !group && !specific {
                notices.push(format!(
                    "'{key}' does nothing here: it says where reading begins with \
                     'scan.startup.mode' = 'group-offsets'; a job commits its offsets under a \
                     group of its own"
                ));
            }
        } else if key == "sink.delivery-guarantee" && value != "exactly-once" {
            notices.push(format!(
                "'{key}' = '{value}' does nothing here: every job is exactly-once"
            ));
        } else if key != "properties.isolation.level" && key.starts_with("properties.") {
            client.push(format!("'{key}'"));
        }
    }
    match client.as_slice() {
        [] => {}
        [one] => notices.push(format!("{one} does nothing here: {CLIENT}")),
        [rest @ .., last] => notices.push(format!(
            "{} and {last} do nothing here: {CLIENT}",
            rest.join(", ")
        )),
    }
    notices
}

const FRESHNESS: &str = "FRESHNESS does nothing here: a materialized table is brought up to date \
                         with every epoch";
const CLIENT: &str = "the server has its own connection to the log";
