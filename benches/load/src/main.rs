//! The load client of `make bench`: one command a measurement, one line of
//! JSON on standard output as its result.
//!
//! It knows nothing of the server it loads: librdkafka (and plain sockets, for
//! thousands of connections) against whatever listens at `--bootstrap`. What the server costs (CPU, memory) is measured
//! from outside by `benches/bench.py`.
//!
//! Latencies are taken from the moment at which a record *was to be* sent, not
//! from when the client got round to it: a server that stalls is charged for
//! every record that had to wait (no coordinated omission).

mod arguments;
mod catch_up;
mod connections;
mod disk;
mod flow;
mod group;
mod percentiles;
mod start;
mod transactions;

use anyhow::{Result, bail};
use arguments::Arguments;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let arguments = Arguments::parse(words)?;
    let result = match command.as_str() {
        "flow" => flow::run(&arguments)?,
        "catch-up" => catch_up::run(&arguments)?,
        "connections" => connections::run(&arguments)?,
        "group" => group::run(&arguments)?,
        "transactions" => transactions::run(&arguments)?,
        "first-produce" => start::run(&arguments)?,
        "fdatasync" => disk::run(&arguments)?,
        other => {
            bail!(
                "no command '{other}': use flow, catch-up, connections, group, transactions, \
                 first-produce or fdatasync"
            )
        }
    };
    println!("{result}");
    Ok(())
}
