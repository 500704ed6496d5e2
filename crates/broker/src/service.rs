//! Starts and stops a broker: options, handle, errors.

use crate::bus::expansion::ExpansionBudget;
use crate::connection::ConnectionLimits;
use crate::connection::acceptor::{self, Acceptor};
use crate::connection::budget::RequestBudget;
use crate::connection::unsent::Unsent;
use crate::coordination::CoordinatorPorts;
use crate::fetch::budget::FetchBudget;
use crate::fetch::sessions::FetchSessions;
use crate::group::{
    Assignor, ConsumerGroupConfig, GroupConfig, GroupCoordinator, GroupServices, MigrationPolicy,
};
use crate::state::{BrokerState, EXPANSIONS_MAX, LONG_REQUESTS_MAX};
use crate::topics::{self, Hosting};
use crate::txn::{TxnConfig, TxnCoordinator, TxnServices};
use millstream_cluster::configs::{BrokerSettings, ConfigError, ConfigView, check_broker_configs};
use millstream_cluster::image::ConfigMap;
use millstream_cluster::{ClusterError, Command, MetadataService};
use millstream_core::env::{Clock, Fs, Rand};
use millstream_core::ids::BrokerId;
use millstream_log::manager::OPEN_FILES_MAX_DEFAULT;
use millstream_log::{Durability, LogConfig, LogError, LogManager, LogManagerOptions, OpenError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a broker starts with.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// This node.
    pub node_id: BrokerId,
    /// Where the partitions are.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where clients reach it; what is `None` is taken from the listener.
    pub advertised: Advertised,
    /// Rack, told to clients.
    pub rack: Option<String>,
    /// When a record counts as committed.
    pub durability: Durability,
    /// Files of segments that are kept open.
    pub open_files_max: usize,
    /// Bounds of the network side.
    pub limits: ConnectionLimits,
    /// Broker settings by Kafka's names.
    pub configs: ConfigMap,
}

impl BrokerOptions {
    /// Options with defaults for all but the place.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            node_id: BrokerId(1),
            data_dir: data_dir.into(),
            listen,
            advertised: Advertised::default(),
            rack: None,
            durability: Durability::Fsync,
            open_files_max: OPEN_FILES_MAX_DEFAULT,
            limits: ConnectionLimits::default(),
            configs: ConfigMap::new(),
        }
    }
}

/// Where clients reach a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Host name or address.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
}

/// What a broker works with.
#[derive(Clone)]
pub struct BrokerDeps {
    /// The cluster's metadata, started.
    pub metadata: Arc<MetadataService>,
    /// Disk.
    pub fs: Arc<dyn Fs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rand: Arc<dyn Rand>,
}

/// Why a broker did not start or stop well.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A setting was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The data folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The metadata.
    #[error(transparent)]
    Metadata(#[from] ClusterError),
    /// Closing the logs.
    #[error(transparent)]
    Close(#[from] LogError),
    /// A task of the broker ended badly.
    #[error("a task of the broker ended badly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// A broker.
pub struct Broker;

impl Broker {
    /// Starts a broker on the runtime of the caller; it accepts clients when
    /// this returns.
    pub async fn start(
        options: BrokerOptions,
        deps: BrokerDeps,
    ) -> Result<BrokerHandle, BrokerError> {
        check_broker_configs(&options.configs)?;
        let listen = |source| BrokerError::Listen {
            address: options.listen,
            source,
        };
        let listener = acceptor::bind(options.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let logs = open_logs(&options, &deps).await?;
        let state = new_state(&options, &deps, logs);
        register(&state, &options, address).await?;
        state.hosting.remove_strays(&state.image()).await;
        // A partition that cannot be opened has been logged and answers its
        // error; the others are served.
        let _ = state.hosting.catch_up(&state).await;
        state.hosting.logs().start()?;
        state.groups().start().await;
        state.txns().start().await;

        let following = tokio::spawn(topics::follow_metadata(Arc::clone(&state)));
        let acceptor = Acceptor {
            listener,
            name: "PLAINTEXT".into(),
            state: Arc::clone(&state),
            kill: CancellationToken::new(),
        };
        let accepting = tokio::spawn(acceptor.run());
        tracing::info!(%address, node_id = %options.node_id, "broker started");
        Ok(BrokerHandle {
            state,
            address,
            accepting,
            following,
        })
    }
}

async fn open_logs(
    options: &BrokerOptions,
    deps: &BrokerDeps,
) -> Result<Arc<LogManager>, BrokerError> {
    // Of before this start: `register` raises the epochs.
    let image = deps.metadata.image();
    let cluster_id = image.cluster_id().to_owned();
    let newest_epochs = move |topic_id, partition| {
        let state = image.topic_by_id(topic_id)?.partition(partition)?;
        Some(state.leader_epoch)
    };
    let log_options = LogManagerOptions {
        default_config: LogConfig {
            durability: options.durability,
            ..LogConfig::default()
        },
        open_files_max: options.open_files_max,
        newest_epochs: Arc::new(newest_epochs),
        fs: Arc::clone(&deps.fs),
        clock: Arc::clone(&deps.clock),
        ..LogManagerOptions::new(&options.data_dir, cluster_id, options.node_id.0)
    };
    Ok(tokio::task::spawn_blocking(|| LogManager::open(log_options)).await??)
}

fn new_state(
    options: &BrokerOptions,
    deps: &BrokerDeps,
    logs: Arc<LogManager>,
) -> Arc<BrokerState> {
    let mut limits = options.limits.clone();
    // One request of the largest size must always find room.
    limits.requests_bytes_max = limits.requests_bytes_max.max(limits.request_bytes_max);
    let image = deps.metadata.image();
    let view = ConfigView {
        image: &image,
        broker: options.node_id,
        statics: &options.configs,
    };
    let settings = view.broker_settings();
    Arc::new_cyclic(|state| {
        let ports = Arc::new(CoordinatorPorts {
            state: state.clone(),
        });
        let groups = GroupCoordinator::new(GroupServices {
            config: group_config(&settings),
            journal: Arc::clone(&ports) as _,
            topics: Arc::clone(&ports) as _,
            clock: Arc::clone(&deps.clock),
            rand: Arc::clone(&deps.rand),
        });
        let transactions = TxnCoordinator::new(TxnServices {
            config: txn_config(&settings),
            journal: Arc::clone(&ports) as _,
            markers: Arc::clone(&ports) as _,
            producer_ids: ports,
            clock: Arc::clone(&deps.clock),
        });
        BrokerState {
            node_id: options.node_id,
            data_dir: options.data_dir.clone(),
            metadata: Arc::clone(&deps.metadata),
            clock: Arc::clone(&deps.clock),
            rand: Arc::clone(&deps.rand),
            request_budget: Arc::new(RequestBudget::new(
                limits.requests_bytes_max,
                limits.request_bytes_max,
            )),
            unsent: Unsent::new(limits.unsent_bytes_max),
            fetched_budget: FetchBudget::new(limits.fetched_bytes_max),
            limits,
            statics: options.configs.clone(),
            stats: Arc::default(),
            stopping: CancellationToken::new(),
            settings: parking_lot::Mutex::new(None),
            hosting: Hosting::new(options.node_id, logs, options.durability),
            fetch_sessions: FetchSessions::new(Arc::clone(&deps.clock), Arc::clone(&deps.rand)),
            long_requests: Semaphore::new(LONG_REQUESTS_MAX),
            expansions: Semaphore::new(EXPANSIONS_MAX),
            expansion_budget: ExpansionBudget::new(),
            groups,
            transactions,
        }
    })
}

fn group_config(settings: &BrokerSettings) -> GroupConfig {
    GroupConfig {
        session_timeout_min: settings.group_session_timeout_min,
        session_timeout_max: settings.group_session_timeout_max,
        initial_rebalance_delay: settings.group_initial_rebalance_delay,
        group_members_max: settings.group_members_max,
        offset_metadata_bytes_max: settings.offset_metadata_bytes_max,
        offsets_retention: settings.offsets_retention,
        offsets_topic_partitions: settings.offsets_topic_partitions,
        consumer: consumer_group_config(settings),
        ..GroupConfig::default()
    }
}

fn consumer_group_config(settings: &BrokerSettings) -> ConsumerGroupConfig {
    let names = settings.group_consumer_assignors.iter();
    ConsumerGroupConfig {
        session_timeout: settings.group_consumer_session_timeout,
        heartbeat_interval: settings.group_consumer_heartbeat_interval,
        members_max: settings.group_consumer_members_max,
        assignors: names.filter_map(|name| Assignor::by_name(name)).collect(),
        migration: MigrationPolicy::by_name(&settings.group_consumer_migration_policy)
            .unwrap_or(MigrationPolicy::Bidirectional),
    }
}

fn txn_config(settings: &BrokerSettings) -> TxnConfig {
    TxnConfig {
        timeout_max: settings.transaction_timeout_max,
        id_expiration: settings.transactional_id_expiration,
        state_topic_partitions: settings.transaction_topic_partitions,
        ..TxnConfig::default()
    }
}

async fn register(
    state: &BrokerState,
    options: &BrokerOptions,
    address: SocketAddr,
) -> Result<(), ClusterError> {
    let host = options.advertised.host.clone().unwrap_or_else(|| {
        // Nobody can connect to "all addresses".
        if address.ip().is_unspecified() {
            "127.0.0.1".into()
        } else {
            address.ip().to_string()
        }
    });
    let command = Command::RegisterBroker {
        id: options.node_id,
        host,
        port: options.advertised.port.unwrap_or(address.port()),
        rack: options.rack.clone(),
        incarnation: state.rand().uuid(),
    };
    state.metadata().propose(command).await.map(|_| ())
}

/// A running broker.
pub struct BrokerHandle {
    state: Arc<BrokerState>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
    following: JoinHandle<()>,
}

impl BrokerHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its state: topics, coordinators, counters.
    pub fn state(&self) -> &Arc<BrokerState> {
        &self.state
    }

    /// Stops: accepts nobody, finishes what is in flight within
    /// [`ConnectionLimits::drain_max`], closes the logs. Whoever uses the
    /// in-process bus is to be stopped before.
    pub async fn shutdown(self) -> Result<(), BrokerError> {
        self.state.stopping.cancel();
        // Members that wait for a rebalance are told at once.
        self.state.groups().shutdown();
        self.state.txns().shutdown();
        self.accepting.await?;
        self.following.await?;
        let logs = Arc::clone(self.state.hosting.logs());
        tokio::task::spawn_blocking(move || logs.shutdown()).await??;
        tracing::info!("broker stopped");
        Ok(())
    }
}
