//! What handlers work on: the broker's state and the context of one request.

use crate::bus::expansion::ExpansionBudget;
use crate::connection::budget::RequestBudget;
use crate::connection::unsent::Unsent;
use crate::connection::{Connection, ConnectionLimits};
use crate::fetch::budget::FetchBudget;
use crate::fetch::sessions::FetchSessions;
use crate::group::GroupCoordinator;
use crate::stats::Stats;
use crate::topics::Hosting;
use crate::txn::TxnCoordinator;
use millstream_cluster::configs::{BrokerSettings, ConfigView};
use millstream_cluster::image::ConfigMap;
use millstream_cluster::{MetadataImage, MetadataService};
use millstream_core::env::{Clock, Rand};
use millstream_core::ids::BrokerId;
use millstream_log::LogManager;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Searches by time at the same time: each may walk over a batch that expands
/// to a quarter of a gigabyte.
pub(crate) const EXPANSIONS_MAX: usize = 2;

/// Requests with long lists that are handled at the same time: what is made of
/// each takes many times its size.
pub(crate) const LONG_REQUESTS_MAX: usize = 2;

/// What a handler knows of the request it handles. Cheap to clone.
#[derive(Clone)]
pub struct RequestContext {
    /// The broker.
    pub state: Arc<BrokerState>,
    /// The connection.
    pub connection: Arc<Connection>,
    /// What the client calls itself; may be empty.
    pub client_id: Arc<str>,
    /// Version of the request and of its response.
    pub api_version: i16,
    /// Comes back with the response.
    pub correlation_id: i32,
}

/// What clients hold of a node's memory at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldMemory {
    /// Bytes of requests that are being read or have not been answered.
    pub request_bytes: usize,
    /// Bytes of responses that have not been taken, without fetched records.
    pub unsent_bytes: usize,
    /// Bytes of fetched records on their way out.
    pub fetched_bytes: usize,
    /// Fetch sessions.
    pub fetch_sessions: usize,
    /// Partitions of all fetch sessions.
    pub fetch_session_partitions: usize,
}

/// One broker's state, shared by all its connections.
pub struct BrokerState {
    pub(crate) node_id: BrokerId,
    pub(crate) metadata: Arc<MetadataService>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rand: Arc<dyn Rand>,
    pub(crate) limits: ConnectionLimits,
    /// Broker settings from the configuration file, checked.
    pub(crate) statics: ConfigMap,
    pub(crate) stats: Arc<Stats>,
    pub(crate) request_budget: Arc<RequestBudget>,
    pub(crate) unsent: Arc<Unsent>,
    pub(crate) stopping: CancellationToken,
    pub(crate) settings: Mutex<Option<(u64, Arc<BrokerSettings>)>>,
    pub(crate) data_dir: PathBuf,
    pub(crate) hosting: Hosting,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) fetched_budget: FetchBudget,
    pub(crate) long_requests: Semaphore,
    pub(crate) expansions: Semaphore,
    pub(crate) expansion_budget: ExpansionBudget,
    pub(crate) groups: GroupCoordinator,
    pub(crate) transactions: TxnCoordinator,
}

impl BrokerState {
    /// This broker.
    pub fn node_id(&self) -> BrokerId {
        self.node_id
    }

    /// The cluster's metadata.
    pub fn metadata(&self) -> &Arc<MetadataService> {
        &self.metadata
    }

    /// The newest image of the metadata. Take it once per request.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.metadata.image()
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Chance.
    pub fn rand(&self) -> &Arc<dyn Rand> {
        &self.rand
    }

    /// Counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Bounds of the network side.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Cancelled when the broker stops: long polls answer at once with what
    /// they have.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The settings as they are in force on this broker.
    pub fn configs<'a>(&'a self, image: &'a MetadataImage) -> ConfigView<'a> {
        ConfigView {
            image,
            broker: self.node_id,
            statics: &self.statics,
        }
    }

    /// The broker's own settings, typed; follows changes of the metadata.
    pub fn settings(&self) -> Arc<BrokerSettings> {
        let image = self.image();
        let mut cached = self.settings.lock();
        match &*cached {
            Some((version, settings)) if *version == image.version() => Arc::clone(settings),
            _ => {
                let settings = Arc::new(self.configs(&image).broker_settings());
                *cached = Some((image.version(), Arc::clone(&settings)));
                settings
            }
        }
    }

    /// Where the partitions are.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The logs of this node.
    pub fn logs(&self) -> &Arc<LogManager> {
        self.hosting.logs()
    }

    /// The group coordinator.
    pub fn groups(&self) -> &GroupCoordinator {
        &self.groups
    }

    /// The transaction coordinator.
    pub fn txns(&self) -> &TxnCoordinator {
        &self.transactions
    }

    /// Memory that clients hold of this node, against the bounds in
    /// [`limits`](Self::limits).
    pub fn held(&self) -> HeldMemory {
        let (fetch_sessions, fetch_session_partitions) = self.fetch_sessions.counts();
        HeldMemory {
            request_bytes: self.request_budget.held(),
            unsent_bytes: self.unsent.bytes(),
            fetched_bytes: self.fetched_budget.held(),
            fetch_sessions,
            fetch_session_partitions,
        }
    }

    pub(crate) fn fetch_sessions(&self) -> &FetchSessions {
        &self.fetch_sessions
    }

    /// Memory for what readers inside the server expand.
    pub(crate) fn expansion_budget(&self) -> &ExpansionBudget {
        &self.expansion_budget
    }

    /// One permit for each search by time.
    pub(crate) fn expansions(&self) -> &Semaphore {
        &self.expansions
    }

    pub(crate) fn fetched_budget(&self) -> &FetchBudget {
        &self.fetched_budget
    }

    pub(crate) fn unsent(&self) -> &Arc<Unsent> {
        &self.unsent
    }

    pub(crate) fn request_budget(&self) -> &Arc<RequestBudget> {
        &self.request_budget
    }
}
