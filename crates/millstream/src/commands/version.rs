//! `millstream version`

/// Print the version.
#[derive(Debug, clap::Args)]
pub struct Version {}

impl Version {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        println!("millstream {}", env!("CARGO_PKG_VERSION"));
        Ok(())
    }
}
