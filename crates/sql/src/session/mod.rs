//! Settings of one session: what `SET` can change. Only keys that do
//! something are there.

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
];

fn parse_epoch(text: &str) -> Result<Duration, String> {
    let epoch = parse_duration(text).ok_or("use a duration like '100 ms' or '1 s'")?;
    if epoch < Duration::from_millis(10) || epoch > Duration::from_secs(600) {
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
            clock,
        }
    }

    /// `SET 'key' = 'value'`; `None` puts the default back (`RESET`).
    pub fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        position: Position,
    ) -> Result<(), SqlError> {
        let Some(setting) = SETTINGS.iter().find(|s| s.key == key) else {
            let known: Vec<_> = SETTINGS.iter().map(|s| s.key).collect();
            return Err(
                SqlError::at(position, format!("there is no setting '{key}'"))
                    .detail(format!("The settings are {}", known.join(", ")))
                    .meant(key, known),
            );
        };
        (setting.set)(self, value).map_err(|hint| {
            let value = value.unwrap_or_default();
            SqlError::at(position, format!("'{key}' cannot be '{value}'")).hint(hint)
        })
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
