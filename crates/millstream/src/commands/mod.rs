//! The commands: one file each, one line in [`Command`] each.

mod client;
mod consume;
mod demo;
mod licenses;
mod produce;
mod sql;
mod start;
mod topic;
mod version;

use clap::Subcommand;

/// What `millstream` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server in the foreground.
    Start(start::Start),
    /// Run a server with a shop's orders, jobs and a dashboard.
    Demo(demo::Demo),
    /// Run SQL on a server.
    Sql(sql::Sql),
    /// List, create, describe and delete topics.
    Topic(topic::Topic),
    /// Write lines of standard input to a topic.
    Produce(produce::Produce),
    /// Print a topic's records.
    Consume(consume::Consume),
    /// Print the licences of what is in this binary.
    Licenses(licenses::Licenses),
    /// Print the version.
    Version(version::Version),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Start(command) => command.run(),
            Self::Demo(command) => command.run(),
            Self::Sql(command) => command.run(),
            Self::Topic(command) => command.run(),
            Self::Produce(command) => command.run(),
            Self::Consume(command) => command.run(),
            Self::Licenses(command) => command.run(),
            Self::Version(command) => command.run(),
        }
    }
}
