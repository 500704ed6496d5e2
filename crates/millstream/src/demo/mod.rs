//! The demo: a shop's orders, its jobs and its dashboard, on loopback.

pub mod feed;
pub mod orders;
mod places;
mod products;

use crate::server::Server;
use anyhow::Result;

/// Partitions of the orders topic.
const ORDERS_PARTITIONS: i32 = 4;
const PIPELINE: &str = include_str!("../../../../scenarios/retail/pipeline.sql");
const DASHBOARD: &str = include_str!("../../../../scenarios/retail/dashboard.json");

/// Makes the topic, the tables, the jobs and the dashboard, those that are
/// not there yet.
pub fn apply(server: &Server) -> Result<()> {
    server.ensure_topic(feed::ORDERS_TOPIC, ORDERS_PARTITIONS)?;
    server.run_sql(PIPELINE)?;
    server.save_dashboard("retail", DASHBOARD)
}
