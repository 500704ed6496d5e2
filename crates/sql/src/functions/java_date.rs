//! Java's date patterns (`DateTimeFormatter`), the letters that name parts of
//! a date or time: `y u M d D E a H h k m s S` and quoted text.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use std::fmt::Write;

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A letter and how often it is repeated.
    Letter(char, usize),
    Text(String),
}

/// Longest pattern, in characters.
const PATTERN_CHARS_MAX: usize = 256;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Pattern {
    /// Takes a pattern apart; the error says which letter is not known.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.chars().count() > PATTERN_CHARS_MAX {
            return Err("the pattern is too long".to_owned());
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => parts.push(Part::Text(quoted(&mut chars)?)),
                'y' | 'u' | 'M' | 'L' | 'd' | 'D' | 'E' | 'a' | 'H' | 'h' | 'k' | 'm' | 's'
                | 'S' => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    let c = match c {
                        'u' => 'y',
                        'L' => 'M',
                        other => other,
                    };
                    if count > 9 {
                        return Err(format!("'{c}' is repeated too often"));
                    }
                    parts.push(Part::Letter(c, count));
                }
                c if c.is_ascii_alphabetic() => {
                    return Err(format!("the letter '{c}' is not supported in a pattern"));
                }
                c => parts.push(Part::Text(c.to_string())),
            }
        }
        Ok(Self { parts })
    }

    /// A time as text.
    pub(crate) fn format(&self, time: NaiveDateTime) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Letter(letter, count) => format_part(&mut out, *letter, *count, time),
            }
        }
        out
    }

    /// The time that a text says; parts that the pattern lacks are those of
    /// 1970-01-01 00:00:00.
    pub(crate) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut read = Read::default();
        let mut rest = text;
        for (i, part) in self.parts.iter().enumerate() {
            rest = match part {
                Part::Text(text) => rest.strip_prefix(text.as_str())?,
                Part::Letter(letter, count) => {
                    // Digits that stand together are cut at their count.
                    let adjacent = matches!(self.parts.get(i + 1), Some(Part::Letter(..)));
                    read.part(*letter, *count, adjacent, rest)?
                }
            };
        }
        if !rest.is_empty() {
            return None;
        }
        read.time()
    }
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    if chars.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c != '\'' {
            text.push(c);
        } else if chars.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err("a quote is not closed".to_owned())
}

fn format_part(out: &mut String, letter: char, count: usize, time: NaiveDateTime) {
    let name = |full: &'static str| {
        if count >= 4 {
            full
        } else {
            full.get(..3).unwrap_or(full)
        }
    };
    let number = match letter {
        'y' if count == 2 => time.year().rem_euclid(100) as u32,
        'y' => {
            let _ = write!(out, "{:0count$}", time.year());
            return;
        }
        'M' if count >= 3 => {
            out.push_str(MONTHS.get(time.month0() as usize).map_or("", |m| name(m)));
            return;
        }
        'E' => {
            let day = time.weekday().num_days_from_monday() as usize;
            out.push_str(DAYS.get(day).map_or("", |d| name(d)));
            return;
        }
        'a' => {
            out.push_str(if time.hour() < 12 { "AM" } else { "PM" });
            return;
        }
        'S' => {
            let nanos = format!("{:09}", time.nanosecond() % 1_000_000_000);
            out.push_str(nanos.get(..count).unwrap_or(&nanos));
            return;
        }
        'M' => time.month(),
        'd' => time.day(),
        'D' => time.ordinal(),
        'H' => time.hour(),
        'h' => (time.hour() + 11) % 12 + 1,
        'k' => (time.hour() + 23) % 24 + 1,
        'm' => time.minute(),
        _ => time.second(),
    };
    // A `String` takes everything that is written to it.
    let _ = write!(out, "{number:0count$}");
}

/// What has been read so far.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour_of_half: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
}

impl Read {
    /// Takes one part and gives what follows it.
    fn part<'a>(
        &mut self,
        letter: char,
        count: usize,
        adjacent: bool,
        text: &'a str,
    ) -> Option<&'a str> {
        if letter == 'M' && count >= 3 {
            let (index, rest) = named(text, &MONTHS, count)?;
            self.month = Some(index + 1);
            return Some(rest);
        }
        if letter == 'E' {
            return named(text, &DAYS, count).map(|(_, rest)| rest);
        }
        if letter == 'a' {
            let half = text.get(..2)?;
            self.afternoon = Some(match half.to_ascii_uppercase().as_str() {
                "AM" => false,
                "PM" => true,
                _ => return None,
            });
            return text.get(2..);
        }
        let exact =
            adjacent || letter == 'S' || count > 1 && letter != 'y' || letter == 'y' && count == 2;
        let max = if exact { count } else { count.max(4) };
        let min = if exact {
            count
        } else {
            1.max(if letter == 'y' { count } else { 1 })
        };
        let digits = text
            .bytes()
            .take(max)
            .take_while(u8::is_ascii_digit)
            .count();
        if digits < min {
            return None;
        }
        let (number, rest) = text.split_at(digits);
        let value: u32 = number.parse().ok()?;
        match letter {
            'y' if count == 2 => self.year = Some(2000 + i32::try_from(value).ok()?),
            'y' => self.year = Some(i32::try_from(value).ok()?),
            'M' => self.month = Some(value),
            'd' => self.day = Some(value),
            'D' => self.day_of_year = Some(value),
            'H' => self.hour = Some(value),
            'k' => self.hour = Some(value % 24),
            'h' => self.hour_of_half = Some(value),
            'm' => self.minute = value,
            's' => self.second = value,
            _ => self.nanos = value * 10_u32.pow(9 - digits as u32),
        }
        Some(rest)
    }

    fn time(&self) -> Option<NaiveDateTime> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour @ 1..=12)) => {
                hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 }
            }
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        Some(date.and_time(time))
    }
}

fn named<'a>(text: &'a str, names: &[&str], count: usize) -> Option<(u32, &'a str)> {
    for (index, name) in names.iter().enumerate() {
        let name = if count >= 4 { name } else { name.get(..3)? };
        if let Some(start) = text.get(..name.len())
            && start.eq_ignore_ascii_case(name)
        {
            return Some((u32::try_from(index).ok()?, text.get(name.len()..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, 3, 7)
            .unwrap()
            .and_hms_nano_opt(15, 4, 5, 67_000_000)
            .unwrap()
    }

    #[test]
    fn patterns_format_as_java_does() {
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss", "2026-03-07 15:04:05"),
            ("yyyyMMdd", "20260307"),
            ("yy/M/d h:mm a", "26/3/7 3:04 PM"),
            ("HH:mm:ss.SSS", "15:04:05.067"),
            ("EEE, d MMM yyyy", "Sat, 7 Mar 2026"),
            ("EEEE MMMM", "Saturday March"),
            ("yyyy'T'HH 'o''clock'", "2026T15 o'clock"),
            ("D", "66"),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().format(time()),
                text,
                "{pattern}"
            );
        }
        assert!(Pattern::parse("yyyy-QQ").is_err());
        assert!(Pattern::parse("'open").is_err());
    }

    #[test]
    fn patterns_read_what_they_format() {
        for pattern in [
            "yyyy-MM-dd HH:mm:ss.SSS",
            "yyyyMMddHHmmssSSS",
            "d MMM yyyy h:mm:ss.SSS a",
            "EEEE, MMMM d, yyyy HH:mm:ss.SSS",
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(
                parsed.read(&parsed.format(time())),
                Some(time()),
                "{pattern}"
            );
        }
        let pattern = Pattern::parse("yyyy-MM-dd").unwrap();
        for text in ["2026-13-01", "2026-3-1", "2026-03-01 ", "", "é"] {
            assert_eq!(pattern.read(text), None, "{text}");
        }
    }
}
