//! Typed configuration: a TOML file, then environment variables, then
//! command-line flags, each over the one before.
//!
//! Every key with its default, range and cost is in
//! `docs/reference/millstream.toml`, which a test holds equal to the defaults
//! here. Unknown keys are refused.

mod environment;
mod kafka;
mod ranges;
mod texts;
mod units;

pub use kafka::{KafkaSettings, broker_settings};
pub use texts::{host_and_port, log_filter};
pub use units::{ByteSize, Span};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where all data lives.
    pub data_dir: PathBuf,
    /// Which parts of the binary run.
    pub roles: Vec<Role>,
    /// The Kafka listener.
    pub kafka: Kafka,
    /// The HTTP listener: API, console, metrics.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// Consumer groups and transactions.
    pub coordinator: Coordinator,
    /// The SQL engine.
    pub engine: Engine,
    /// The log that the engine works on.
    pub bus: Bus,
    /// What the server says about itself.
    pub observe: Observe,
    /// What is to be told once the log is there.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "millstream-data".into(),
            roles: vec![Role::Broker, Role::Engine, Role::Console],
            kafka: Kafka::default(),
            http: Http::default(),
            log: Log::default(),
            coordinator: Coordinator::default(),
            engine: Engine::default(),
            bus: Bus::default(),
            observe: Observe::default(),
            warnings: Vec::new(),
        }
    }
}

/// A part of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The log and its Kafka listener.
    Broker,
    /// SQL and jobs.
    Engine,
    /// The web console; the HTTP API is there with any role.
    Console,
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "broker" => Ok(Self::Broker),
            "engine" => Ok(Self::Engine),
            "console" => Ok(Self::Console),
            other => Err(format!("no role '{other}': use broker, engine, console")),
        }
    }
}

/// `[kafka]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that clients are told to connect to; the listen address when
    /// empty.
    pub advertised: String,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// Bytes of requests being worked on, over all connections.
    pub request_memory: ByteSize,
    /// Threads for connections and log; 0 is half the cores, at least one.
    pub threads: usize,
    /// Broker settings by Kafka's names, for all that has no key of its own.
    pub settings: KafkaSettings,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9092)),
            advertised: String::new(),
            connections_max: 10_000,
            connections_per_address_max: 10_000,
            request_memory: ByteSize(256 << 20),
            threads: 0,
            settings: KafkaSettings::default(),
        }
    }
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host names, beyond the listen address and localhost, under which the
    /// console may be opened.
    pub allowed_hosts: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allowed_hosts: Vec::new(),
        }
    }
}

/// When a Produce is acknowledged (`acks=all` and `acks=1`) and readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After the bytes are on disk.
    Fsync,
    /// After every in-sync replica has them in its page cache: Kafka's
    /// promise.
    Replicated,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// When a Produce is acknowledged (`acks=all` and `acks=1`) and readable.
    pub durability: Durability,
    /// `num.partitions`: partitions of a topic created without a number.
    pub num_partitions: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `log.retention.ms` as a span; topics may override it.
    pub retention: Span,
    /// `log.segment.bytes`; topics may override it.
    pub segment: ByteSize,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            num_partitions: 1,
            auto_create_topics: true,
            retention: Span::from_hours(168),
            segment: ByteSize(1 << 30),
        }
    }
}

/// `[coordinator]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Coordinator {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Span,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Span,
    /// `offsets.topic.num.partitions`, for a data folder that has none yet.
    pub offsets_partitions: i32,
    /// `transaction.state.log.num.partitions`, likewise.
    pub transactions_partitions: i32,
    /// `transaction.max.timeout.ms`.
    pub transaction_timeout_max: Span,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Span::from_millis(100),
            offsets_retention: Span::from_hours(168),
            offsets_partitions: 50,
            transactions_partitions: 50,
            transaction_timeout_max: Span::from_millis(900_000),
        }
    }
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// How long an epoch collects before it commits.
    pub epoch: Span,
    /// State of one job in memory.
    pub job_memory: ByteSize,
    /// Memory of one ad-hoc query.
    pub query_memory: ByteSize,
    /// Time of one run of a query, ad-hoc or live.
    pub query_time: Span,
    /// Queries that run at a time; 0 is one more than the cores.
    pub query_threads: usize,
    /// Memory of the rows that live queries keep, of all tables together.
    pub live_memory: ByteSize,
    /// Newest records of each table that live queries read at most.
    pub live_rows_max: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            epoch: Span::from_millis(100),
            job_memory: ByteSize(512 << 20),
            query_memory: ByteSize(512 << 20),
            query_time: Span::from_millis(60_000),
            query_threads: 0,
            live_memory: ByteSize(256 << 20),
            live_rows_max: 5_000_000,
        }
    }
}

/// `[bus]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// `host:port,...` of an existing Kafka cluster for the engine to work
    /// on; the embedded log when empty.
    pub bootstrap: String,
}

/// `[observe]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Observe {
    /// `text` or `json`, on standard error.
    pub log_format: LogFormat,
    /// A level, or `target=level` pairs as `tracing` reads them.
    pub log_level: String,
    /// A name for this cluster, shown in the console.
    pub cluster_name: String,
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_level: "info".into(),
            cluster_name: "local".into(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The defaults, with the file and `environment` laid over them.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut table = match file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?
                .parse::<toml::Table>()
                .with_context(|| format!("{} is not valid TOML", path.display()))?,
            None => toml::Table::new(),
        };
        let warnings = environment::lay_over(&mut table, environment)?;
        let source = file.map_or("the environment".into(), |f| f.display().to_string());
        let mut config: Self = toml::Value::Table(table)
            .try_into()
            .with_context(|| format!("configuration from {source}"))?;
        config.warnings = warnings;
        config.check()?;
        Ok(config)
    }

    /// Whether a role runs.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Refuses values that are well-formed but cannot work.
    pub fn check(&self) -> Result<()> {
        if self.roles.is_empty() {
            bail!("roles is empty: name at least one of broker, engine, console");
        }
        if !self.has(Role::Broker) && self.has(Role::Engine) && self.bus.bootstrap.is_empty() {
            bail!(
                "the engine has no log to work on: add the role broker, or set bus.bootstrap to \
                 the address of a Kafka cluster"
            );
        }
        ranges::check(self)?;
        texts::check(self)?;
        kafka::check(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("millstream.toml");
        std::fs::write(&path, toml).unwrap();
        Config::load(
            Some(&path),
            env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn the_documented_file_says_what_the_defaults_are() {
        let documented = include_str!("../../../../docs/reference/millstream.toml");
        assert_eq!(load(documented, &[]).unwrap(), Config::default());
        // And every key is there.
        let keys = |text: &str| -> usize {
            text.parse::<toml::Table>()
                .unwrap()
                .values()
                .map(|v| v.as_table().map_or(1, toml::Table::len))
                .sum()
        };
        let defaults = toml::to_string(&Config::default()).unwrap();
        assert_eq!(keys(documented), keys(&defaults));
    }

    #[test]
    fn environment_wins_over_the_file() {
        let config = load(
            "[log]\ndurability = \"fsync\"\n",
            &[
                ("MILLSTREAM_LOG__DURABILITY", "replicated"),
                ("MILLSTREAM_LOG__NUM_PARTITIONS", "6"),
                ("MILLSTREAM_SERVER", "http://127.0.0.1:1"),
            ],
        )
        .unwrap();
        assert_eq!(config.log.durability, Durability::Replicated);
        assert_eq!(config.log.num_partitions, 6);
    }

    #[test]
    fn a_misspelt_key_is_refused_by_name() {
        let error = format!(
            "{:#}",
            load("[log]\ndurabilty = \"fsync\"\n", &[]).unwrap_err()
        );
        assert!(error.contains("durabilty"), "{error}");
    }

    #[test]
    fn limits_of_queries_that_cannot_work_are_refused_with_their_range() {
        for (setting, says) in [
            ("query_time = \"0ms\"", "100ms to 1h"),
            ("query_threads = 2000", "0 to 1024"),
            ("live_rows_max = 0", "1 to 100000000"),
        ] {
            let error = load(&format!("[engine]\n{setting}\n"), &[]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn an_engine_without_a_log_is_refused_with_what_to_do() {
        let error = load("roles = [\"engine\"]\n", &[]).unwrap_err().to_string();
        assert!(error.contains("bus.bootstrap"), "{error}");
    }

    #[test]
    fn a_bus_may_have_several_addresses_and_a_wrong_one_is_named() {
        let bus = |text: &str| load(&format!("[bus]\nbootstrap = \"{text}\"\n"), &[]);
        for right in ["", "kafka:9092", "a:1,b:2", "a.example:1, [::1]:2"] {
            assert_eq!(bus(right).unwrap().bus.bootstrap, right);
        }
        for (wrong, named) in [
            ("kafka", "kafka"),
            ("a:1,", ""),
            ("a:1,b", "b"),
            (":9092", ":9092"),
            ("a:99999", "a:99999"),
        ] {
            let named = format!("bus.bootstrap is \"{named}\": write host:port");
            let error = bus(wrong).unwrap_err().to_string();
            assert!(error.contains(&named), "{error}");
        }
    }
}
