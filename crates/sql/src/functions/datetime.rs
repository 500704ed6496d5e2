//! Dates and times: text, parts, zones. Local times are counted as if in UTC.

use arrow::datatypes::TimeUnit;
use chrono::{
    DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike,
};
use chrono_tz::Tz;

/// How many of a unit make a second.
pub(crate) fn units_a_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A count of units since the epoch as a date and time.
pub(crate) fn date_time(value: i64, unit: TimeUnit) -> Option<NaiveDateTime> {
    let a_second = units_a_second(unit);
    let nanos = value.rem_euclid(a_second) * (1_000_000_000 / a_second);
    DateTime::from_timestamp(value.div_euclid(a_second), u32::try_from(nanos).ok()?)
        .map(|t| t.naive_utc())
}

/// A date and time as a count of units since the epoch.
pub(crate) fn count(time: NaiveDateTime, unit: TimeUnit) -> Option<i64> {
    let a_second = units_a_second(unit);
    let time = time.and_utc();
    let fraction = i64::from(time.timestamp_subsec_nanos()) / (1_000_000_000 / a_second);
    time.timestamp()
        .checked_mul(a_second)?
        .checked_add(fraction)
}

/// Local time of an instant.
pub(crate) fn local_of_instant(value: i64, unit: TimeUnit, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(value);
    }
    let utc = date_time(value, unit)?;
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    value.checked_add(i64::from(offset) * units_a_second(unit))
}

/// Instant of a local time. Java's rule: in the hour that comes twice the
/// earlier offset counts, a time in the gap moves forward by the gap.
pub(crate) fn instant_of_local(value: i64, unit: TimeUnit, zone: Tz) -> Option<i64> {
    if zone == Tz::UTC {
        return Some(value);
    }
    let local = date_time(value, unit)?;
    let offset = match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix(),
        LocalResult::None => {
            let before = local.checked_sub_signed(chrono::Duration::hours(3))?;
            zone.offset_from_local_datetime(&before).earliest()?.fix()
        }
    };
    value.checked_sub(i64::from(offset.local_minus_utc()) * units_a_second(unit))
}

/// Days since the epoch as a date.
pub(crate) fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAYS_FROM_CE)?)
}

/// A date as days since the epoch.
pub(crate) fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH_DAYS_FROM_CE
}

/// 1970-01-01 counted from 0000-12-31.
const EPOCH_DAYS_FROM_CE: i32 = 719_163;

/// `yyyy[-MM[-dd]]`, with what follows it ignored as Flink does for
/// timestamps (Flink: `DateTimeUtils.parseDate`).
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let text = match text.find([' ', 'T']) {
        Some(at) => text.get(..at)?,
        None => text,
    };
    let whole = match text.matches('-').count() {
        0 => format!("{text}-1-1"),
        1 => format!("{text}-1"),
        _ => return parse_naive_date(text).map(days),
    };
    parse_naive_date(&whole).map(days)
}

fn parse_naive_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.splitn(3, '-');
    let mut part = |digits_max: usize| -> Option<u32> {
        let part = parts.next()?;
        let fits = !part.is_empty() && part.len() <= digits_max;
        (fits && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// `HH:mm:ss[.fraction]` as milliseconds of the day.
pub(crate) fn parse_time_ms(text: &str) -> Option<i32> {
    let nanos = parse_time(text)?;
    i32::try_from(nanos / 1_000_000).ok()
}

/// Nanoseconds of the day.
fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let mut part = |max: i64| -> Option<i64> {
        let part = parts.next()?;
        let valid = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value: i64 = valid.then(|| part.parse().ok())??;
        (value <= max).then_some(value)
    };
    let (hour, minute, second) = (part(23)?, part(59)?, part(59)?);
    if clock.matches(':').count() > 2 || fraction.len() > 9 {
        return None;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || text.ends_with('.') {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    Some((hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos)
}

/// `yyyy-MM-dd[ HH:mm:ss[.fraction]]` as a count of units.
pub(crate) fn parse_timestamp(text: &str, unit: TimeUnit) -> Option<i64> {
    let (date, time) = match text.find(' ') {
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
        None => (text, None),
    };
    let date = parse_naive_date(date)?;
    let nanos = time.map_or(Some(0), |t| parse_time(t.trim()))?;
    let a_second = units_a_second(unit);
    let day = i64::from(days(date))
        .checked_mul(86_400)?
        .checked_mul(a_second)?;
    day.checked_add(nanos / (1_000_000_000 / a_second))
}

/// `yyyy-MM-dd`.
pub(crate) fn date_text(days: i32) -> Option<String> {
    let date = date(days)?;
    Some(format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        date.month(),
        date.day()
    ))
}

/// `HH:mm:ss`, with milliseconds when there are any.
pub(crate) fn time_text(ms: i32) -> String {
    let seconds = ms / 1000;
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if ms % 1000 != 0 {
        let fraction = format!(".{:03}", ms % 1000);
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// `yyyy-MM-dd HH:mm:ss` with `digits` fraction digits.
pub(crate) fn timestamp_text(value: i64, unit: TimeUnit, digits: usize) -> Option<String> {
    let time = date_time(value, unit)?;
    let mut text = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    if digits > 0 {
        let fraction = format!("{:09}", time.and_utc().timestamp_subsec_nanos());
        text.push('.');
        text.push_str(fraction.get(..digits.min(9))?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_and_instants_convert_both_ways() {
        let zone: Tz = "America/New_York".parse().unwrap();
        let ms = TimeUnit::Millisecond;
        // In the gap of 2024-03-10 02:30 Java gives 03:30 -04:00.
        let gap = parse_timestamp("2024-03-10 02:30:00", ms).unwrap();
        let instant = instant_of_local(gap, ms, zone).unwrap();
        let back = local_of_instant(instant, ms, zone).unwrap();
        assert_eq!(timestamp_text(back, ms, 0).unwrap(), "2024-03-10 03:30:00");
        let shanghai: Tz = "Asia/Shanghai".parse().unwrap();
        let local = local_of_instant(0, ms, shanghai).unwrap();
        assert_eq!(
            timestamp_text(local, ms, 3).unwrap(),
            "1970-01-01 08:00:00.000"
        );
        assert_eq!(instant_of_local(local, ms, shanghai), Some(0));
    }

    #[test]
    fn odd_texts_are_no_times() {
        let ms = TimeUnit::Millisecond;
        for text in [
            "",
            "x",
            "2024-13-01",
            "2024-1-1 25:00:00",
            "2024-01-01 10:00:00.",
            "2024-01-01 1:2:3:4",
            "2024-01-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00",
            "é024-01-01",
        ] {
            assert_eq!(parse_timestamp(text, ms), None, "{text}");
        }
        assert_eq!(
            parse_timestamp("2024-1-1", ms),
            parse_timestamp("2024-01-01 00:00:00", ms)
        );
    }
}
