//! A broker alone, for trying clients against it:
//! `broker --data-dir DIR --listen HOST:PORT [--durability fsync|page-cache]
//! [--set NAME=VALUE]...`. Stops on Ctrl-C.

use millstream_broker::{Broker, BrokerDeps, BrokerOptions};
use millstream_cluster::{MetadataOptions, MetadataService};
use millstream_core::env::{RealFs, SystemClock, SystemRand};
use millstream_log::Durability;
use std::error::Error;

fn options() -> Result<BrokerOptions, Box<dyn Error>> {
    let mut options = BrokerOptions::new("millstream-data", "127.0.0.1:9092".parse()?);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--data-dir" => options.data_dir = std::path::absolute(value)?,
            "--listen" => options.listen = value.parse()?,
            "--durability" => {
                options.durability = match value.as_str() {
                    "fsync" => Durability::Fsync,
                    "page-cache" => Durability::PageCache,
                    other => return Err(format!("durability {other}: fsync or page-cache").into()),
                };
            }
            "--set" => {
                let (name, value) = value.split_once('=').ok_or("--set NAME=VALUE")?;
                options.configs.insert(name.to_owned(), value.to_owned());
            }
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = options()?;
    let (fs, rand) = (RealFs::shared(), SystemRand::shared());
    let metadata = MetadataService::start(MetadataOptions::new(
        options.node_id,
        options
            .data_dir
            .join(millstream_cluster::service::METADATA_DIR),
        fs.clone(),
        rand.clone(),
    ))
    .await?;
    let deps = BrokerDeps {
        metadata: metadata.clone(),
        fs,
        clock: SystemClock::shared(),
        rand,
    };
    let broker = Broker::start(options, deps).await?;
    println!("ready kafka={}", broker.address());
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await?;
    metadata.shutdown().await;
    Ok(())
}
