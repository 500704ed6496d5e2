//! Flink's settings that are none of ours. A script written for Flink runs as
//! it is: what only tunes Flink does nothing here and says so, and what
//! changes results is taken with the value that this engine works by, and
//! refused with any other.
//!
//! Source: Flink 2.3, "Configuration" and "Table API Configuration".

/// A setting that changes results.
struct Fixed {
    key: &'static str,
    /// The values, in lower case, under which Flink does what is done here.
    same: &'static [&'static str],
    hint: &'static str,
}

const FIXED: &[Fixed] = &[
    Fixed {
        key: "execution.runtime-mode",
        same: &["streaming", "automatic"],
        hint: "leave it out: a SELECT reads what is there, and a job ends where its table says \
               'scan.bounded.mode' = 'latest-offset'",
    },
    Fixed {
        key: "execution.savepoint.path",
        same: &[],
        hint: "leave it out: a job goes on from its own changelog topic",
    },
    Fixed {
        key: "execution.state-recovery.path",
        same: &[],
        hint: "leave it out: a job goes on from its own changelog topic",
    },
    Fixed {
        key: "table.dml-sync",
        same: &["false"],
        hint: "leave it out: INSERT answers when its job has started; SHOW JOBS says when it has \
               finished",
    },
    Fixed {
        key: "table.sql-dialect",
        same: &["default"],
        hint: "Flink's default dialect is the one there is",
    },
    Fixed {
        key: "table.column-expansion-strategy",
        same: &[""],
        hint: "leave it out: SELECT * has all columns",
    },
    Fixed {
        key: "table.exec.legacy-cast-behaviour",
        same: &["disabled"],
        hint: "leave it out: CAST fails on what it cannot convert, TRY_CAST gives NULL",
    },
    Fixed {
        key: "table.exec.source.cdc-events-duplicate",
        same: &["false"],
        hint: "leave it out: every record is a row",
    },
    Fixed {
        key: "table.exec.sink.not-null-enforcer",
        same: &["error"],
        hint: "leave it out, and filter: WHERE column IS NOT NULL",
    },
    Fixed {
        key: "table.exec.sink.type-length-enforcer",
        same: &["ignore"],
        hint: "leave it out, and cut in the query: SUBSTRING(column, 1, 10)",
    },
    Fixed {
        key: "table.exec.sink.nested-constraint-enforcer",
        same: &["ignore"],
        hint: "leave it out",
    },
    Fixed {
        key: "table.exec.emit.early-fire.enabled",
        same: &["false"],
        hint: "leave it out: a window's row comes once, when the watermark passes its end",
    },
    Fixed {
        key: "table.exec.emit.late-fire.enabled",
        same: &["false"],
        hint: "leave it out: rows that come late are in the topic <job>.late",
    },
    Fixed {
        key: "table.exec.emit.allow-lateness",
        same: &["0", "0 ms", "0 s", "0ms", "0s"],
        hint: "leave it out: make the WATERMARK's delay longer",
    },
];

/// Beginnings of keys that only tune Flink, and why each does nothing here.
const IDLE: &[(&str, &str)] = &[
    (
        "parallelism.default",
        "a job reads all partitions in one task",
    ),
    (
        "execution.checkpointing.",
        "a job commits epoch by epoch, exactly once; 'millstream.epoch.interval' says how often",
    ),
    ("execution.", "the server runs its jobs itself"),
    (
        "pipeline.",
        "the server runs its jobs itself; of these only 'pipeline.name' counts",
    ),
    (
        "state.",
        "a job's state is in memory and in its changelog topic",
    ),
    (
        "restart-strategy",
        "a job that fails is started again, after pauses that grow",
    ),
    (
        "table.exec.state.ttl",
        "a window's state goes when the window has closed",
    ),
    ("table.", "rows and plans are the same without it"),
    (
        "sql-client.",
        "it is about Flink's own client; --format says how rows are printed",
    ),
    ("jobmanager.", NO_CLUSTER),
    ("taskmanager.", NO_CLUSTER),
    ("cluster.", NO_CLUSTER),
    ("rest.", NO_CLUSTER),
    ("web.", NO_CLUSTER),
    ("high-availability", NO_CLUSTER),
    ("heartbeat.", NO_CLUSTER),
    ("kubernetes.", NO_CLUSTER),
    ("yarn.", NO_CLUSTER),
    ("classloader.", NO_CLUSTER),
    ("env.", NO_CLUSTER),
    ("io.tmp.dirs", NO_CLUSTER),
    ("metrics.", "/metrics has the figures"),
    ("$internal.", NO_CLUSTER),
];

const NO_CLUSTER: &str = "there is no Flink cluster";

/// What `SET` does with a key of Flink's: a notice, if any; the hint of a
/// refusal; `None` for a key that is not Flink's either.
pub(super) fn set(key: &str, value: Option<&str>) -> Option<Result<Option<String>, &'static str>> {
    if let Some(fixed) = FIXED.iter().find(|f| f.key == key) {
        let same =
            value.is_none_or(|v| fixed.same.contains(&v.trim().to_ascii_lowercase().as_str()));
        return Some(if same { Ok(None) } else { Err(fixed.hint) });
    }
    // A misspelt key of these would be taken as well: its notice shows it.
    let (_, why) = IDLE.iter().find(|(prefix, _)| key.starts_with(prefix))?;
    let notice = value.map(|_| format!("'{key}' does nothing here: {why}"));
    Some(Ok(notice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_reached_before_a_shorter_one_takes_its_keys() {
        for (at, (prefix, _)) in IDLE.iter().enumerate() {
            let first = IDLE.iter().position(|(p, _)| prefix.starts_with(p));
            assert_eq!(first, Some(at), "{prefix}");
        }
    }

    #[test]
    fn what_is_fixed_can_be_reset() {
        for fixed in FIXED {
            assert_eq!(set(fixed.key, None), Some(Ok(None)), "{}", fixed.key);
        }
    }
}
