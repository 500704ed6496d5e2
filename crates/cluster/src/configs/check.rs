//! What values a setting accepts.

use super::ConfigDef;

/// What values a setting accepts.
#[derive(Debug)]
pub enum Check {
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range, both ends included.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// As `Number`, or one number outside the range.
    NumberOr {
        /// The one outside.
        or: i64,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A fraction from 0 to 1.
    Ratio,
    /// A number above 0, with or without a fraction.
    Positive,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// A comma-separated, non-empty list of some words.
    ListOf(&'static [&'static str]),
    /// Only the default: everything else is Kafka's but not implemented here.
    /// The text says what the broker does.
    DefaultOnly(&'static str),
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not in the table.
    #[error("unknown {resource} setting '{name}'")]
    Unknown {
        /// Topic, group or broker.
        resource: &'static str,
        /// The name.
        name: String,
    },
    /// Kafka has it, we do not.
    #[error("setting '{name}' is not implemented: leave it out")]
    NotImplemented {
        /// The name.
        name: String,
    },
    /// Not a value that is accepted.
    #[error("invalid value '{value}' for '{name}': {expected}")]
    Invalid {
        /// The name.
        name: &'static str,
        /// The value.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Read once, at start.
    #[error("'{name}' is read when the broker starts: set it in the configuration file")]
    NotDynamic {
        /// The name.
        name: &'static str,
    },
    /// APPEND or SUBTRACT on a setting that is no list.
    #[error("'{name}' is not a list: set or delete it")]
    NotAList {
        /// The name.
        name: &'static str,
    },
    /// Too many settings.
    #[error("{0}")]
    TooMany(String),
}

/// Kafka's own topic and broker settings that are refused by name, so that a
/// user is told apart from one who mistyped.
const NOT_IMPLEMENTED: &[&str] = &[
    "file.delete.delay.ms",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.difference.max.ms",
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.cleaner.enable",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.flush.scheduler.interval.ms",
    "log.preallocate",
    "log.roll.jitter.hours",
    "log.segment.delete.delay.ms",
    "num.io.threads",
    "num.network.threads",
    "listeners",
    "advertised.listeners",
];

impl ConfigError {
    pub(super) fn unknown(resource: &'static str, name: &str) -> Self {
        if NOT_IMPLEMENTED.contains(&name) {
            Self::NotImplemented {
                name: name.to_owned(),
            }
        } else {
            Self::Unknown {
                resource,
                name: name.to_owned(),
            }
        }
    }
}

impl ConfigDef {
    /// Checks one value.
    pub fn check_value(&self, value: &str) -> Result<(), ConfigError> {
        let one_of = |words: &[&str]| format!("use one of {}", words.join(", "));
        let expected = match &self.check {
            Check::Boolean if matches!(value, "true" | "false") => return Ok(()),
            Check::Boolean => "use true or false".to_owned(),
            Check::Number { min, max } => match value.trim().parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => return Ok(()),
                _ => format!("use a whole number from {min} to {max}"),
            },
            Check::NumberOr { or, min, max } => match value.trim().parse::<i64>() {
                Ok(number) if number == *or || (*min..=*max).contains(&number) => return Ok(()),
                _ => format!("use {or} or a whole number from {min} to {max}"),
            },
            Check::Ratio => match value.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => return Ok(()),
                _ => "use a number from 0 to 1".to_owned(),
            },
            Check::Positive => match value.trim().parse::<f64>() {
                Ok(number) if number > 0.0 && number.is_finite() => return Ok(()),
                _ => "use a number above 0".to_owned(),
            },
            Check::OneOf(words) if words.contains(&value) => return Ok(()),
            Check::OneOf(words) => one_of(words),
            Check::ListOf(words)
                if !value.is_empty() && value.split(',').all(|e| words.contains(&e.trim())) =>
            {
                return Ok(());
            }
            Check::ListOf(words) => one_of(words),
            Check::DefaultOnly(_) if value == self.default => return Ok(()),
            Check::DefaultOnly(why) => format!("only '{}' is implemented: {why}", self.default),
        };
        Err(ConfigError::Invalid {
            name: self.name,
            value: value.to_owned(),
            expected,
        })
    }
}
