//! `millstream licenses`: the notices that go with the binary.

use std::io::Write;

/// Our own licence.
const OWN: &str = include_str!("../../../../LICENSE");
/// Crates and C libraries, written by `scripts/notices.sh`.
const RUST: &str = include_str!("../../../../notices/rust.txt");
/// Packages of the web app, written by the same.
const WEB: &str = include_str!("../../../../notices/web.txt");

/// Print the licences of Millstream and of what it is made of.
#[derive(Debug, clap::Args)]
pub struct Licenses {}

impl Licenses {
    /// Prints them; a reader that has seen enough (`| head`) is no error.
    pub fn run(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for text in [
            "Millstream is licensed under:\n\n",
            OWN,
            "\n\n",
            RUST,
            "\n\n",
            WEB,
        ] {
            match out.write_all(text.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        Ok(())
    }
}
