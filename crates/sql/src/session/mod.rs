//! Settings of one session: what `SET` can change. Only keys that do
//! something are there; `flink` knows those of Flink's that do not.

mod flink;

use crate::error::{Position, SqlError};
use chrono_tz::Tz;
use millstream_core::env::{Clock, SystemClock};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The settings, and the clock that `CURRENT_TIMESTAMP` reads.
#[derive(Clone)]
pub struct Session {
    /// `table.local-time-zone`: what TIMESTAMP_LTZ is shown and cut in. UTC
    /// unless set; Flink takes the machine's.
    pub time_zone: Tz,
    /// `pipeline.name`: the name of the next job.
    pub pipeline_name: Option<String>,
    /// `millstream.epoch.interval`: the next job's epoch length.
    pub epoch_interval: Option<Duration>,
    /// `table.exec.source.idle-timeout`: the idle timeout of source tables
    /// that say none themselves, in the jobs that follow.
    pub idle_timeout: Option<Duration>,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

/// A setting: its key, what it does, how it is read and set.
struct Setting {
    key: &'static str,
    about: &'static str,
    set: fn(&mut Session, Option<&str>) -> Result<(), String>,
    get: fn(&Session) -> Option<String>,
}

/// Every key that `SET` takes. One line here adds one.
const SETTINGS: &[Setting] = &[
    Setting {
        key: "table.local-time-zone",
        about: "time zone of TIMESTAMP_LTZ, e.g. 'Asia/Shanghai'",
        set: |session, value| {
            session.time_zone = match value {
                None => Tz::UTC,
                Some(name) => name
                    .parse()
                    .map_err(|_| "use a name of the time zone database, e.g. 'Asia/Shanghai'")?,
            };
            Ok(())
        },
        get: |session| Some(session.time_zone.name().to_owned()),
    },
    Setting {
        key: "pipeline.name",
        about: "name of the jobs that follow",
        set: |session, value| {
            session.pipeline_name = value.map(str::to_owned);
            Ok(())
        },
        get: |session| session.pipeline_name.clone(),
    },
    Setting {
        key: "millstream.epoch.interval",
        about: "length of an epoch of the jobs that follow, e.g. '100 ms'; 10 ms to 10 min",
        set: |session, value| {
            session.epoch_interval = value.map(parse_epoch).transpose()?;
            Ok(())
        },
        get: |session| {
            session
                .epoch_interval
                .map(|d| format!("{} ms", d.as_millis()))
        },
    },
    Setting {
        key: "table.exec.source.idle-timeout",
        about: "a partition without records for this long holds no watermark back, e.g. '1 s'; \
                for tables without 'scan.watermark.idle-timeout', in the jobs that follow",
        set: |session, value| {
            session.idle_timeout = value
                .map(|text| parse_duration(text).ok_or("use a duration like '1 s' or '500 ms'"))
                .transpose()?
                // Flink's way to say never.
                .filter(|timeout| !timeout.is_zero());
            Ok(())
        },
        get: |session| {
            session
                .idle_timeout
                .map(|d| format!("{} ms", d.as_millis()))
        },
    },
];

/// Flink's name of what is an epoch here: how often results are committed.
const CHECKPOINT_INTERVAL: &str = "execution.checkpointing.interval";
/// Shortest and longest epoch that a session may set.
const EPOCH_MIN: Duration = Duration::from_millis(10);
const EPOCH_MAX: Duration = Duration::from_secs(600);

fn parse_epoch(text: &str) -> Result<Duration, String> {
    let epoch = parse_duration(text).ok_or("use a duration like '100 ms' or '1 s'")?;
    if !(EPOCH_MIN..=EPOCH_MAX).contains(&epoch) {
        return Err("use a duration from '10 ms' to '10 min'".to_owned());
    }
    Ok(epoch)
}

impl Session {
    /// The defaults, with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            time_zone: Tz::UTC,
            pipeline_name: None,
            epoch_interval: None,
            idle_timeout: None,
            clock,
        }
    }

    /// `SET 'key' = 'value'`; `None` puts the default back (`RESET`). Answers
    /// with a notice where the key does nothing, or not quite what it says.
    pub fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        position: Position,
    ) -> Result<Option<String>, SqlError> {
        let refused = |hint: String| {
            let value = value.unwrap_or_default();
            SqlError::at(position, format!("'{key}' cannot be '{value}'")).hint(hint)
        };
        if key == CHECKPOINT_INTERVAL {
            return self.set_checkpoints(value).map_err(refused);
        }
        if let Some(setting) = SETTINGS.iter().find(|s| s.key == key) {
            (setting.set)(self, value).map_err(refused)?;
            return Ok(None);
        }
        if let Some(known) = flink::set(key, value) {
            return known.map_err(|hint| refused(hint.to_owned()));
        }
        let known: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
        Err(
            SqlError::at(position, format!("there is no setting '{key}'"))
                .detail(format!("The settings are {}", known.join(", ")))
                .meant(key, known),
        )
    }

    /// A checkpoint is when Flink's exactly-once results become visible, as
    /// an epoch's commit is here.
    fn set_checkpoints(&mut self, value: Option<&str>) -> Result<Option<String>, String> {
        let interval = value
            .map(|text| parse_duration(text).ok_or("use a duration like '100 ms' or '1 s'"))
            .transpose()?
            .filter(|interval| !interval.is_zero());
        self.epoch_interval = interval.map(|i| i.clamp(EPOCH_MIN, EPOCH_MAX));
        Ok(self.epoch_interval.map(|epoch| {
            format!(
                "'{CHECKPOINT_INTERVAL}' is the length of an epoch here: the jobs that follow \
                 show their results every {} ms",
                epoch.as_millis()
            )
        }))
    }

    /// All settings as (key, value, what it does), for `SET` without a key.
    pub fn settings(&self) -> Vec<(&'static str, Option<String>, &'static str)> {
        SETTINGS
            .iter()
            .map(|s| (s.key, (s.get)(self), s.about))
            .collect()
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new(SystemClock::shared())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("time_zone", &self.time_zone)
            .field("pipeline_name", &self.pipeline_name)
            .field("epoch_interval", &self.epoch_interval)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// A duration as Flink's options write it: `5 s`, `100ms`, `2 min`. A bare
/// number is milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}
