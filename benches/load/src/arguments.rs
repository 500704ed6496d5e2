//! `--name value` pairs, most of which must be there.

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The pairs of one command line.
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Reads pairs to the end.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut pairs = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                bail!("'{word}': every argument is --name value");
            };
            let value = words
                .next()
                .with_context(|| format!("--{name} needs a value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Self(pairs))
    }

    /// The value of `--name`, as text.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("--{name} is missing"))
    }

    /// The value of `--name`, parsed.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse()
            .ok()
            .with_context(|| format!("--{name} {text} is not a number"))
    }

    /// The value of `--name`, or `default` where there is none.
    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    /// What every client of a run has in common.
    pub fn client(&self) -> Result<ClientConfig> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.text("bootstrap")?)
            .set("log_level", "2");
        Ok(config)
    }

    /// A producer that loses and doubles nothing, as a careful user's does.
    pub fn producer(&self) -> Result<ClientConfig> {
        let mut config = self.client()?;
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "none")
            .set("queue.buffering.max.messages", "1000000");
        Ok(config)
    }
}
