//! `millstream demo`

use crate::config::{Config, Span};
use crate::demo::{self, feed};
use crate::server::Server;
use crate::server::data_dir::remove_demo;
use anyhow::Result;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an epoch of the demo's jobs collects.
const EPOCH: Span = Span::from_millis(50);

/// Run a server with a shop's orders, SQL jobs, a dashboard and an alert, all
/// on loopback.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Where the demo's data lives.
    #[arg(long, value_name = "DIR", default_value = "millstream-demo")]
    data_dir: PathBuf,
    /// Remove the demo's data and leave. Only a folder that `demo` made, and
    /// that no server uses.
    #[arg(long)]
    clean: bool,
    /// Address of the Kafka listener; 9092 on loopback, or a free port when
    /// that is taken.
    #[arg(long, value_name = "HOST:PORT")]
    kafka_listen: Option<SocketAddr>,
    /// Address of the HTTP listener; 8080 on loopback, or a free port when
    /// that is taken.
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<SocketAddr>,
    /// Orders a second, about.
    #[arg(long, value_name = "N", default_value_t = feed::ORDERS_PER_S)]
    orders_per_s: f64,
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
}

impl Demo {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        if self.clean {
            return self.remove();
        }
        let began = Instant::now();
        let mut server = Server::start(self.config()?)?;
        server.data_dir().mark_as_demo()?;
        demo::apply(&server)?;
        println!("{}", server.ready_line());
        self.greet(&server, began);
        let stop = CancellationToken::new();
        let bootstrap = server.kafka_address()?.to_string();
        let producer = feed::produce_orders(bootstrap.clone(), self.orders_per_s, stop.clone());
        server.spawn("the orders producer", producer);
        server.spawn(
            "the slow consumer",
            feed::consume_slowly(bootstrap, stop.clone()),
        );
        if !self.no_open {
            open_browser(&server);
        }
        server.wait_for_signal();
        stop.cancel();
        server.stop()
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::load(None, std::env::vars())?;
        config.data_dir.clone_from(&self.data_dir);
        config.kafka.listen = self
            .kafka_listen
            .unwrap_or_else(|| free_address(config.kafka.listen));
        config.http.listen = self
            .http_listen
            .unwrap_or_else(|| free_address(config.http.listen));
        config.engine.epoch = EPOCH;
        config.observe.cluster_name = "demo".into();
        if std::env::var_os("MILLSTREAM_OBSERVE__LOG_LEVEL").is_none() {
            config.observe.log_level = "warn".into();
        }
        config.check()?;
        Ok(config)
    }

    fn remove(&self) -> Result<()> {
        let dir = self.data_dir.display();
        if remove_demo(&self.data_dir)? {
            println!("removed {dir}");
        } else {
            println!("nothing to remove: {dir} is not there");
        }
        Ok(())
    }

    fn greet(&self, server: &Server, began: Instant) {
        let (bold, dim, water, plain) = if std::io::stdout().is_terminal() {
            ("\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m")
        } else {
            ("", "", "", "")
        };
        let http = format!("http://{}", server.http_address());
        let kafka = server
            .kafka_address()
            .map_or_else(|_| "—".into(), |a| a.to_string());
        let binary = std::env::current_exe()
            .ok()
            .and_then(|exe| {
                let here = std::env::current_dir().ok()?;
                Some(exe.strip_prefix(here).unwrap_or(&exe).display().to_string())
            })
            .unwrap_or_else(|| "millstream".into());
        let removal = match server.data_dir().is_demo() {
            true => format!("; once stopped, `{binary} demo --clean` removes it"),
            false => String::new(),
        };
        let _ = writeln!(
            std::io::stdout(),
            "
  {bold}Millstream{plain} demo {dim}· up in {} ms{plain}

  Dashboard    {water}{http}/dashboards/retail{plain}
  Big screen   {water}{http}/screen/retail{plain}
  Console      {water}{http}/{plain}
  Kafka        {kafka}
  Metrics      {http}/metrics

  Try next, in a second terminal:
  {dim}${plain} {binary} consume orders --bootstrap {kafka} --max 3
  {dim}${plain} {binary} sql --server {http} -e \"SELECT region, SUM(orders) AS orders FROM orders_by_region_5s GROUP BY region\"
  {dim}${plain} {binary} sql --server {http} -e \"CREATE MATERIALIZED TABLE big_orders AS SELECT order_id, city, amount FROM orders WHERE amount > 2000\"

  {dim}Data is in {}{removal}. Ctrl-C stops.{plain}
",
            began.elapsed().as_millis(),
            self.data_dir.display(),
        );
    }
}

/// The address, or a free port on it when it is taken.
fn free_address(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// Opens the dashboard where there is a screen; that there is none is not an
/// error.
fn open_browser(server: &Server) {
    let has_screen = cfg!(target_os = "macos")
        || std::env::var_os("DISPLAY").is_some()
        || std::env::var_os("WAYLAND_DISPLAY").is_some();
    if !has_screen || !std::io::stdout().is_terminal() {
        return;
    }
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = std::process::Command::new(opener)
        .arg(format!(
            "http://{}/dashboards/retail",
            server.http_address()
        ))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
}
