//! Dates and times as text, in the two standards of Flink's formats.
//!
//! `SQL` is `yyyy-MM-dd HH:mm:ss[.fraction]`, `ISO-8601` has a `T` between;
//! `TIMESTAMP_LTZ` ends in `Z` in both (Flink: JSON Format,
//! `json.timestamp-format.standard`). The year has four digits.

use chrono::{Datelike, NaiveDate};
use std::fmt::Write;

/// `timestamp-format.standard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampStandard {
    /// A space between date and time.
    Sql,
    /// A `T` between date and time.
    Iso8601,
}

impl TimestampStandard {
    fn separator(self) -> u8 {
        match self {
            Self::Sql => b' ',
            Self::Iso8601 => b'T',
        }
    }
}

const SECONDS_A_DAY: i64 = 86_400;
const NANOS_A_SECOND: i64 = 1_000_000_000;

/// Days since 1970-01-01 of `yyyy-MM-dd`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let year = digits(bytes.get(0..4)?)?;
    let month = digits(bytes.get(5..7)?)?;
    let day = digits(bytes.get(8..10)?)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.num_days_from_ce() - EPOCH_DAYS_FROM_CE)
}

/// 1970-01-01 counted from 0000-12-31.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// Seconds of the day and nanoseconds of `HH:mm:ss[.fraction]`.
pub(super) fn parse_time(text: &str) -> Option<(i64, i64)> {
    let bytes = text.as_bytes();
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let hour = digits(bytes.get(0..2)?)?;
    let minute = digits(bytes.get(3..5)?)?;
    let second = digits(bytes.get(6..8)?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match bytes.get(8..)? {
        [] => 0,
        [b'.', fraction @ ..] if (1..=9).contains(&fraction.len()) => {
            let scale = 10_i64.pow(9 - fraction.len() as u32);
            i64::from(digits(fraction)?) * scale
        }
        _ => return None,
    };
    Some((i64::from(hour * 3600 + minute * 60 + second), nanos))
}

/// Seconds since the epoch and nanoseconds of a timestamp.
pub(super) fn parse_timestamp(
    text: &str,
    standard: TimestampStandard,
    with_zone: bool,
) -> Option<(i64, i64)> {
    let text = if with_zone {
        text.strip_suffix('Z')?
    } else {
        text
    };
    if text.as_bytes().get(10) != Some(&standard.separator()) {
        return None;
    }
    let days = parse_date(text.get(..10)?)?;
    let time = text.get(11..)?;
    let (seconds, nanos) = match standard {
        // Java's ISO_LOCAL_TIME lets the seconds out.
        TimestampStandard::Iso8601 if time.len() == 5 => parse_time(&format!("{time}:00"))?,
        _ => parse_time(time)?,
    };
    Some((i64::from(days) * SECONDS_A_DAY + seconds, nanos))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |value, b| {
        b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0'))
    })
}

/// `yyyy-MM-dd`.
pub(super) fn write_date(out: &mut String, days: i32) {
    let date = NaiveDate::from_num_days_from_ce_opt(days.saturating_add(EPOCH_DAYS_FROM_CE))
        .unwrap_or(NaiveDate::MAX);
    // A `String` takes everything that is written to it.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}",
        date.year(),
        date.month(),
        date.day()
    );
}

/// `HH:mm:ss` and as many fraction digits as are needed, none for zero, as
/// Java's `appendFraction(NANO_OF_SECOND, 0, 9, true)`.
pub(super) fn write_time(out: &mut String, seconds: i64, nanos: i64) {
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
}

/// A timestamp given in `units_a_second`ths since the epoch.
pub(super) fn write_timestamp(
    out: &mut String,
    value: i64,
    units_a_second: i64,
    standard: TimestampStandard,
    with_zone: bool,
) {
    let seconds = value.div_euclid(units_a_second);
    let nanos = value.rem_euclid(units_a_second) * (NANOS_A_SECOND / units_a_second);
    let days = seconds.div_euclid(SECONDS_A_DAY);
    write_date(out, i32::try_from(days).unwrap_or(i32::MAX));
    out.push(char::from(standard.separator()));
    write_time(out, seconds.rem_euclid(SECONDS_A_DAY), nanos);
    if with_zone {
        out.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimestampStandard::{Iso8601, Sql};

    #[test]
    fn timestamps_of_both_standards_parse_and_print() {
        let second = 1_609_330_394; // 2020-12-30 12:13:14 UTC
        assert_eq!(
            parse_timestamp("2020-12-30 12:13:14.123", Sql, false),
            Some((second, 123_000_000))
        );
        assert_eq!(
            parse_timestamp("2020-12-30T12:13:14.123", Iso8601, false),
            Some((second, 123_000_000))
        );
        assert_eq!(
            parse_timestamp("2020-12-30T12:13", Iso8601, false),
            Some((second - 14, 0))
        );
        assert_eq!(
            parse_timestamp("2020-12-30 12:13:14Z", Sql, true),
            Some((second, 0))
        );
        assert_eq!(parse_timestamp("2020-12-30 12:13:14", Sql, true), None);
        assert_eq!(parse_timestamp("2020-12-30T12:13:14", Sql, false), None);
        assert_eq!(parse_timestamp("2020-02-30 12:13:14", Sql, false), None);
        assert_eq!(parse_timestamp("2020-12-30 24:13:14", Sql, false), None);
        assert_eq!(
            parse_timestamp("1969-12-31 23:59:59.5", Sql, false),
            Some((-1, 500_000_000))
        );
        let mut out = String::new();
        write_timestamp(&mut out, second * 1000 + 120, 1000, Sql, false);
        out.push('|');
        write_timestamp(&mut out, -500, 1000, Iso8601, true);
        out.push('|');
        write_timestamp(&mut out, 0, 1000, Sql, false);
        assert_eq!(
            out,
            "2020-12-30 12:13:14.12|1969-12-31T23:59:59.5Z|1970-01-01 00:00:00"
        );
    }
}
