//! The `millstream` binary: command line, configuration, wiring.
//!
//! One file a command in [`commands`]; the list in [`Command`] is all there
//! is. The layers below are put together in [`server`].

mod commands;
mod config;
mod demo;
mod server;
mod table;
mod terminal;

use clap::Parser;

/// The real-time data platform in one binary.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> std::process::ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // It may quote a record.
            eprintln!("error: {}", terminal::printable(&format!("{error:#}")));
            std::process::ExitCode::FAILURE
        }
    }
}
