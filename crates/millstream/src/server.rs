//! Puts the layers together: one process, separate lives.
//!
//! Each role has a runtime of its own, so that a bad query cannot starve the
//! log. Order of start: data folder, metadata, broker, engine, HTTP; stop is
//! the reverse.

pub mod data_dir;
mod exposure;
mod monitor;
mod readiness;
mod runtimes;
mod signals;

use crate::config::{Config, Durability, Role, broker_settings, host_and_port, log_filter};
use anyhow::{Context, Result, bail};
use data_dir::DataDir;
use millstream_broker::connection::ConnectionLimits;
use millstream_broker::{Advertised, Broker, BrokerDeps, BrokerHandle, BrokerOptions};
use millstream_cluster::service::METADATA_DIR;
use millstream_cluster::{Command, Dashboard, MetadataOptions, MetadataService};
use millstream_connect::kafka::{KafkaBus, KafkaOptions};
use millstream_console::documents::ClusterInfo;
use millstream_console::engine::EmbeddedEngine;
use millstream_console::guard::Guard;
use millstream_console::http::{self, limits::HttpLimits};
use millstream_console::messages::Views;
use millstream_console::reads::LiveReads;
use millstream_console::routes::{App, InFlight, router};
use millstream_console::sql::SqlPort;
use millstream_core::env::open_files::raise_open_files_limit;
use millstream_core::env::{Clock, Fs, Rand, RealFs, SystemClock, SystemRand};
use millstream_core::ids::BrokerId;
use millstream_core::ports::{Bus, BusError, TopicSpec};
use millstream_engine::{
    Engine, EngineHandle, EngineOptions, JobOptions, LiveOptions, PoolOptions, QueryLimits,
};
use readiness::Readiness;
use runtimes::Runtimes;
use signals::Signals;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// This node: the only one, for now.
const NODE_ID: BrokerId = BrokerId(1);
/// How long calls that are being answered may take to finish when the server
/// stops.
const HTTP_DRAIN_MAX: Duration = Duration::from_secs(3);
/// How long the listener may take to close: it has a shorter bound itself.
const HTTP_CLOSE_MAX: Duration = Duration::from_secs(1);

/// How long jobs may take to commit their last epochs when the server stops.
const JOBS_STOP_MAX: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    runtimes: Runtimes,
    signals: Signals,
    metadata: Arc<MetadataService>,
    broker: Option<BrokerHandle>,
    bus: Arc<dyn Bus>,
    engine: Option<EngineHandle>,
    http: Http,
    stop: CancellationToken,
    readiness: Arc<Readiness>,
    clock: Arc<dyn Clock>,
    data_dir: Arc<DataDir>,
}

/// The HTTP server: the last to start, and there to say so until the others
/// have stopped.
struct Http {
    address: SocketAddr,
    in_flight: InFlight,
    close: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Files of segments that are kept open at most: more would only cost the
/// kernel memory.
const SEGMENT_FILES_MAX: usize = 16_384;

/// What all parts are made with.
struct Parts {
    config: Config,
    data_dir: Arc<DataDir>,
    readiness: Arc<Readiness>,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    rand: Arc<dyn Rand>,
}

impl Server {
    /// Starts everything; clients are accepted when this returns.
    pub fn start(config: Config) -> Result<Self> {
        start_logging(&config)?;
        data_dir::keep_files_private();
        let data_dir = Arc::new(DataDir::open(&config.data_dir)?);
        warn(&config.warnings);
        warn(data_dir.keep_private().as_slice());
        let parts = Parts {
            config,
            readiness: Arc::new(Readiness::new(Arc::clone(&data_dir))),
            data_dir,
            fs: RealFs::shared(),
            clock: SystemClock::shared(),
            rand: SystemRand::shared(),
        };
        let runtimes = Runtimes::new(parts.config.kafka.threads)?;
        // Before any port opens: who sees one may stop the server at once, and
        // it is to stop cleanly.
        let signals = runtimes
            .console
            .block_on(async { Signals::listen() })
            .context("cannot listen for signals")?;
        let metadata = runtimes.broker.block_on(parts.start_metadata())?;
        let broker = runtimes.broker.block_on(parts.start_broker(&metadata))?;
        let bus = runtimes.engine.block_on(parts.bus(broker.as_ref()))?;
        let engine = runtimes
            .engine
            .block_on(parts.start_engine(&metadata, &bus))?;
        let stop = CancellationToken::new();
        let http = runtimes.console.block_on(parts.start_http(
            &metadata,
            broker.as_ref(),
            &bus,
            engine.clone(),
            &stop,
        ))?;
        let kafka = broker.as_ref().map(BrokerHandle::address);
        warn(&exposure::warnings(kafka, http.address));
        Ok(Self {
            runtimes,
            signals,
            metadata,
            broker,
            bus,
            engine,
            http,
            stop,
            readiness: parts.readiness,
            clock: parts.clock,
            data_dir: parts.data_dir,
        })
    }

    /// The line that scripts wait for.
    pub fn ready_line(&self) -> String {
        match &self.broker {
            Some(broker) => format!(
                "ready kafka={} http={}",
                broker.address(),
                self.http.address
            ),
            None => format!("ready kafka=- http={}", self.http.address),
        }
    }

    /// Where Kafka clients connect.
    pub fn kafka_address(&self) -> Result<SocketAddr> {
        self.broker
            .as_ref()
            .map(BrokerHandle::address)
            .context("this server has no broker")
    }

    /// Where HTTP clients connect.
    pub fn http_address(&self) -> SocketAddr {
        self.http.address
    }

    /// The folder that it holds the lock of.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// Creates a topic if it is not there.
    pub fn ensure_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let spec = TopicSpec {
            name: name.into(),
            partitions,
            configs: BTreeMap::new(),
        };
        match self.runtimes.broker.block_on(self.bus.create_topic(spec)) {
            Ok(_) | Err(BusError::TopicExists(_)) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot create the topic {name}")),
        }
    }

    /// Runs SQL statements.
    pub fn run_sql(&self, sql: &str) -> Result<()> {
        let engine = self.engine.as_ref().context("this server has no engine")?;
        let mut session = engine.session();
        self.runtimes
            .engine
            .block_on(engine.execute(sql, &mut session))
            .map(|_| ())
            .map_err(|error| match error.position() {
                Some((line, column)) => anyhow::anyhow!("line {line}, column {column}: {error}"),
                None => error.into(),
            })
    }

    /// Saves a dashboard, in place of one with the same id.
    pub fn save_dashboard(&self, id: &str, json: &str) -> Result<()> {
        let dashboard = Dashboard {
            id: id.into(),
            json: json.into(),
            updated_at_ms: self.clock.now_ms(),
        };
        self.runtimes
            .broker
            .block_on(self.metadata.propose(Command::PutDashboard(dashboard)))
            .map(|_| ())
            .context("cannot save the dashboard")
    }

    /// Runs a task beside the server; its error is logged.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        self.runtimes.console.spawn(async move {
            if let Err(error) = task.await {
                tracing::error!("{name}: {error:#}");
            }
        });
    }

    /// Waits for SIGTERM or Ctrl-C; one that came since the start counts.
    pub fn wait_for_signal(&mut self) {
        self.runtimes.console.block_on(self.signals.next());
    }

    /// Stops everything, in the reverse order of the start; HTTP takes no
    /// more calls at once, and says why until all else has stopped.
    pub fn stop(self) -> Result<()> {
        self.readiness.stopping();
        self.stop.cancel();
        if let Some(engine) = &self.engine {
            // Requests that wait for them are answered, and the jobs have all
            // cores for their last epochs.
            engine.end_queries();
        }
        let Http {
            in_flight,
            close,
            task,
            ..
        } = self.http;
        self.runtimes.console.block_on(async {
            let _ = tokio::time::timeout(HTTP_DRAIN_MAX, in_flight.none()).await;
        });
        if let Some(engine) = &self.engine {
            let stop = async { tokio::time::timeout(JOBS_STOP_MAX, engine.shutdown()).await };
            if self.runtimes.engine.block_on(stop).is_err() {
                tracing::warn!(
                    "jobs did not end within {JOBS_STOP_MAX:?}: what they had not committed is \
                     computed again after the next start"
                );
            }
        }
        if let Some(broker) = self.broker {
            self.runtimes
                .broker
                .block_on(broker.shutdown())
                .context("stopping the broker")?;
        }
        self.runtimes.broker.block_on(self.metadata.shutdown());
        close.cancel();
        self.runtimes.console.block_on(async {
            let _ = tokio::time::timeout(HTTP_CLOSE_MAX, task).await;
        });
        self.runtimes.shutdown();
        Ok(())
    }
}

impl Parts {
    async fn start_metadata(&self) -> Result<Arc<MetadataService>> {
        let options = MetadataOptions::new(
            NODE_ID,
            self.data_dir.path().join(METADATA_DIR),
            Arc::clone(&self.fs),
            Arc::clone(&self.rand),
        );
        MetadataService::start(options)
            .await
            .context("cannot open the cluster's metadata")
    }

    async fn start_broker(&self, metadata: &Arc<MetadataService>) -> Result<Option<BrokerHandle>> {
        if !self.config.has(Role::Broker) {
            return Ok(None);
        }
        let options = BrokerOptions {
            node_id: NODE_ID,
            data_dir: self.data_dir.path().to_owned(),
            listen: self.config.kafka.listen,
            advertised: self.advertised()?,
            rack: None,
            durability: match self.config.log.durability {
                Durability::Fsync => millstream_log::Durability::Fsync,
                Durability::Replicated => millstream_log::Durability::PageCache,
            },
            open_files_max: open_files_max()?,
            limits: ConnectionLimits {
                requests_bytes_max: usize::try_from(self.config.kafka.request_memory.0)?,
                ..ConnectionLimits::default()
            },
            configs: broker_settings(&self.config),
        };
        let deps = BrokerDeps {
            metadata: Arc::clone(metadata),
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            rand: Arc::clone(&self.rand),
        };
        let broker = Broker::start(options, deps).await.with_context(|| {
            format!(
                "cannot start the broker on {} (another address: --kafka-listen HOST:PORT)",
                self.config.kafka.listen
            )
        })?;
        Ok(Some(broker))
    }

    fn advertised(&self) -> Result<Advertised> {
        let text = &self.config.kafka.advertised;
        if text.is_empty() {
            return Ok(Advertised::default());
        }
        let (host, port) = host_and_port("kafka.advertised", text)?;
        Ok(Advertised {
            host: Some(host),
            port: Some(port),
        })
    }

    /// The embedded log, or the Kafka cluster that the configuration names.
    async fn bus(&self, broker: Option<&BrokerHandle>) -> Result<Arc<dyn Bus>> {
        let bootstrap = &self.config.bus.bootstrap;
        if !bootstrap.is_empty() {
            let options = KafkaOptions {
                bootstrap: bootstrap.clone(),
                client: BTreeMap::new(),
            };
            let bus = KafkaBus::connect(options)
                .await
                .with_context(|| format!("cannot use the Kafka cluster at {bootstrap}"))?;
            return Ok(bus);
        }
        match broker {
            Some(broker) => Ok(Arc::new(millstream_broker::bus::EmbeddedBus::new(
                Arc::clone(broker.state()),
            ))),
            None => bail!(
                "there is no log: add the role broker, or set bus.bootstrap to the address of a \
                 Kafka cluster"
            ),
        }
    }

    async fn start_engine(
        &self,
        metadata: &Arc<MetadataService>,
        bus: &Arc<dyn Bus>,
    ) -> Result<Option<EngineHandle>> {
        if !self.config.has(Role::Engine) {
            return Ok(None);
        }
        let engine = &self.config.engine;
        let options = EngineOptions {
            job: JobOptions {
                epoch: engine.epoch.duration(),
                state_bytes_max: usize::try_from(engine.job_memory.0)?,
                partitions_default: self.config.log.num_partitions,
                ..JobOptions::default()
            },
            query: QueryLimits {
                memory_bytes_max: usize::try_from(engine.query_memory.0)?,
                time_max: engine.query_time.duration(),
                ..QueryLimits::default()
            },
            pool: PoolOptions {
                threads: engine.query_threads,
                ..PoolOptions::default()
            },
            live: LiveOptions {
                rows_max: engine.live_rows_max,
                bytes_max: usize::try_from(engine.live_memory.0)?,
                ..LiveOptions::default()
            },
        };
        let handle = Engine::start(
            options,
            Arc::clone(bus),
            Arc::clone(metadata),
            Arc::clone(&self.clock),
        )
        .await
        .context("cannot start the engine")?;
        Ok(Some(handle))
    }

    async fn start_http(
        &self,
        metadata: &Arc<MetadataService>,
        broker: Option<&BrokerHandle>,
        bus: &Arc<dyn Bus>,
        engine: Option<EngineHandle>,
        stop: &CancellationToken,
    ) -> Result<Http> {
        let wanted = self.config.http.listen;
        let listener = tokio::net::TcpListener::bind(wanted)
            .await
            .with_context(|| {
                format!("cannot listen on {wanted} (another address: --http-listen HOST:PORT)")
            })?;
        let address = listener.local_addr()?;
        let live_reads = LiveReads::default();
        let state = broker.map(|b| Arc::clone(b.state()));
        let monitor = monitor::Monitoring {
            broker: state.clone(),
            engine: engine.clone(),
            metadata: Arc::clone(metadata),
            live_reads: live_reads.clone(),
            data_dir: self.data_dir.path().to_owned(),
            readiness: Arc::clone(&self.readiness),
            clock: Arc::clone(&self.clock),
        };
        let documents = monitor.start(stop.clone());
        let in_flight = InFlight::default();
        let limits =
            HttpLimits::for_open_files(raise_open_files_limit().context("too few open files")?);
        let app = App {
            cluster: self.cluster_info(metadata, broker, address),
            bus: Arc::clone(bus),
            engine: engine.map(|e| Arc::new(EmbeddedEngine(e)) as Arc<dyn SqlPort>),
            metadata: Arc::clone(metadata),
            metrics: monitor::metrics(documents.clone(), state.clone()),
            topic_configs: monitor::topic_configs(state),
            documents,
            live_reads,
            not_ready: self.readiness.why_not(),
            in_flight: in_flight.clone(),
            views: Views::default(),
            limits: limits.clone(),
            clock: Arc::clone(&self.clock),
            stop: stop.clone(),
            console: self.config.has(Role::Console),
        };
        let names = Guard::new(address, &self.config.http.allowed_hosts);
        let service = router(Arc::new(app), names);
        let close = CancellationToken::new();
        let task = tokio::spawn(http::serve(listener, service, limits, close.clone()));
        Ok(Http {
            address,
            in_flight,
            close,
            task,
        })
    }

    fn cluster_info(
        &self,
        metadata: &MetadataService,
        broker: Option<&BrokerHandle>,
        http: SocketAddr,
    ) -> ClusterInfo {
        let kafka = match (broker, self.config.bus.bootstrap.as_str()) {
            (Some(broker), "") => match self.config.kafka.advertised.as_str() {
                "" => broker.address().to_string(),
                advertised => advertised.to_owned(),
            },
            (_, bootstrap) => bootstrap.to_owned(),
        };
        let durability = match self.config.log.durability {
            _ if !self.config.bus.bootstrap.is_empty() => "external",
            Durability::Fsync => "fsync",
            Durability::Replicated => "replicated",
        };
        ClusterInfo {
            id: metadata.image().cluster_id().to_owned(),
            name: self.config.observe.cluster_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            node: NODE_ID.0,
            started_ms: self.clock.now_ms(),
            kafka,
            http: http.to_string(),
            durability,
        }
    }
}

/// Tells what a person has to know, in the log or, where that is set to say
/// less, beside it.
fn warn(warnings: &[String]) {
    for warning in warnings {
        if tracing::enabled!(tracing::Level::WARN) {
            tracing::warn!("{warning}");
        } else {
            eprintln!("warning: {warning}");
        }
    }
}

/// Log lines go to standard error; standard output is for scripts.
fn start_logging(config: &Config) -> Result<()> {
    use crate::config::LogFormat;
    let filter = log_filter(&config.observe.log_level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second server of a process writes where the first does.
    let _ = match config.observe.log_format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}

/// Files of segments that are kept open: half of what this process may open,
/// the rest is for connections.
fn open_files_max() -> Result<usize> {
    let limit = raise_open_files_limit().context("too few open files")?;
    let half = usize::try_from(limit / 2).unwrap_or(usize::MAX);
    Ok(half.min(SEGMENT_FILES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &std::path::Path) -> Config {
        let mut config = Config {
            data_dir: dir.to_owned(),
            ..Config::default()
        };
        config.kafka.listen = "127.0.0.1:0".parse().unwrap();
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config
    }

    fn readyz(server: &Server) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://{}/readyz", server.http_address());
        let mut answer = agent.get(&url).call().unwrap();
        let status = answer.status().as_u16();
        (status, answer.body_mut().read_to_string().unwrap())
    }

    #[test]
    fn its_files_are_nobody_elses_and_once_they_are_gone_it_is_not_ready() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let server = Server::start(config(&folder)).unwrap();
        assert_eq!(readyz(&server), (200, "ready\n".into()));
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            assert_eq!(folder.metadata().unwrap().mode() & 0o077, 0, "{folder:?}");
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                // The running server renames files.
                let Ok(metadata) = path.metadata() else {
                    continue;
                };
                assert_eq!(metadata.mode() & 0o077, 0, "{path:?}");
                if metadata.is_dir() {
                    folders.push(path);
                }
            }
        }
        std::fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        let (status, body) = loop {
            let answer = readyz(&server);
            if answer.0 != 200 || std::time::Instant::now() > patience {
                break answer;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status, 503);
        assert!(body.contains("the data folder is gone"), "{body}");
        std::fs::rename(dir.path().join("elsewhere"), &folder).unwrap();
        server.stop().unwrap();
    }

    /// A script stops it in the instant after the ready line.
    #[test]
    fn a_signal_before_the_server_waits_for_one_stops_it_cleanly() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start(config(dir.path())).unwrap();
        let kill = format!("kill -TERM {}", std::process::id());
        let sent = std::process::Command::new("sh")
            .args(["-c", &kill])
            .status();
        assert!(sent.unwrap().success());
        server.wait_for_signal();
        server.stop().unwrap();
        assert!(dir.path().join(".kafka_cleanshutdown").exists());
    }
}
