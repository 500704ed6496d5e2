//! `millstream start`

use crate::config::{Config, Role};
use crate::server::Server;
use anyhow::Result;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run a server in the foreground until SIGTERM or Ctrl-C.
///
/// Prints `ready kafka=HOST:PORT http=HOST:PORT` on standard output when it
/// accepts clients; its log goes to standard error.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// A TOML file; all settings are in docs/reference/millstream.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where all data lives.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the Kafka listener; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    kafka_listen: Option<SocketAddr>,
    /// Address of the HTTP listener; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<SocketAddr>,
    /// Which parts run, separated by commas: broker, engine, console.
    #[arg(long, value_delimiter = ',', value_name = "ROLES")]
    roles: Option<Vec<Role>>,
}

impl Start {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let mut server = Server::start(self.config()?)?;
        println!("{}", server.ready_line());
        std::io::stdout().flush()?;
        server.wait_for_signal();
        server.stop()
    }

    fn config(self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(dir) = self.data_dir {
            config.data_dir = dir;
        }
        if let Some(listen) = self.kafka_listen {
            config.kafka.listen = listen;
        }
        if let Some(listen) = self.http_listen {
            config.http.listen = listen;
        }
        if let Some(roles) = self.roles {
            config.roles = roles;
        }
        config.check()?;
        Ok(config)
    }
}
