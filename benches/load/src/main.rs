//! The load client of `make bench`: one command a measurement, one line of
//! JSON on standard output as its result.
//!
//! It knows nothing of the server it loads: librdkafka (and plain sockets, for
//! thousands of connections) against whatever listens at `--bootstrap`. What the
//! server costs (CPU, memory) is measured from outside by the scripts in
//! `benches/`. `floor-server` is the one server here: what a broker cannot go
//! below.
//!
//! Latencies are taken from the moment at which a record *was to be* sent, not
//! from when the client got round to it: a server that stalls is charged for
//! every record that had to wait (no coordinated omission).

mod arguments;
mod catch_up;
mod commits;
mod connections;
mod disk;
mod fill;
mod floor;
mod flow;
mod group;
mod percentiles;
mod socket;
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
        "commits" => commits::run(&arguments)?,
        "connections" => connections::run(&arguments)?,
        "fill" => fill::run(&arguments)?,
        "floor-server" => floor::serve(&arguments)?,
        "floor-load" => floor::load(&arguments)?,
        "group" => group::run(&arguments)?,
        "transactions" => transactions::run(&arguments)?,
        "first-produce" => start::run(&arguments)?,
        "fdatasync" => disk::run(&arguments)?,
        other => {
            bail!(
                "no command '{other}': use flow, catch-up, connections, commits, fill, floor-server, \
                 floor-load, group, transactions, first-produce or fdatasync"
            )
        }
    };
    println!("{result}");
    Ok(())
}
