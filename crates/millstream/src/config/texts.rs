//! What the settings that are texts may say.

use super::Config;
use anyhow::{Context, Result, bail};
use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Length of the cluster's name, in bytes.
const CLUSTER_NAME_BYTES_MAX: usize = 100;
const LEVELS: &str = "error, warn, info, debug, trace or off";

/// Refuses texts that would be taken for something else, or for nothing.
pub(super) fn check(config: &Config) -> Result<()> {
    if config.data_dir.as_os_str().is_empty() {
        bail!("data_dir is empty: name a folder");
    }
    if !config.kafka.advertised.is_empty() {
        host_and_port("kafka.advertised", &config.kafka.advertised)?;
    }
    for address in config.bus.bootstrap.split(',') {
        if !config.bus.bootstrap.is_empty() {
            host_and_port("bus.bootstrap", address.trim())?;
        }
    }
    for host in &config.http.allowed_hosts {
        check_allowed_host(host)?;
    }
    let name = &config.observe.cluster_name;
    if name.is_empty() || name.len() > CLUSTER_NAME_BYTES_MAX || name.contains(char::is_control) {
        bail!(
            "observe.cluster_name: use 1 to {CLUSTER_NAME_BYTES_MAX} bytes of text without \
             control characters"
        );
    }
    log_filter(&config.observe.log_level).map(|_| ())
}

/// The two parts of `host:port`; an IPv6 address is in brackets.
pub fn host_and_port(key: &str, text: &str) -> Result<(String, u16)> {
    let refused =
        || format!("{key} is \"{text}\": write host:port, e.g. broker.example:9092 or [::1]:9092");
    let (host, port) = text.rsplit_once(':').with_context(refused)?;
    let port: u16 = port.parse().ok().filter(|p| *p > 0).with_context(refused)?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if !is_host {
        bail!(refused());
    }
    Ok((bracketed.unwrap_or(host).to_owned(), port))
}

fn is_host(text: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(letter)
}

fn check_allowed_host(host: &str) -> Result<()> {
    let address = host.trim_matches(['[', ']']);
    if is_host(host) || address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(());
    }
    bail!("http.allowed_hosts has \"{host}\": write a host name without scheme, port and path")
}

/// The filter of log lines that `observe.log_level` means.
///
/// A word that is no level is refused: `EnvFilter` would take it for a
/// target, and leave all others out.
pub fn log_filter(text: &str) -> Result<EnvFilter> {
    for directive in text.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, l)| l);
        // Numbers are levels to it too, and nobody means them.
        let is_level = LevelFilter::from_str(level.trim()).is_ok()
            && !level.trim().is_empty()
            && !level.contains(|c: char| c.is_ascii_digit());
        if !is_level {
            bail!(
                "observe.log_level \"{text}\": \"{level}\" is not a level; use {LEVELS}, or pairs \
                 such as info,millstream_broker=debug"
            );
        }
    }
    // openraft tells every step of an election at INFO. "info,openraft=info"
    // shows them.
    let directives = match text.trim() {
        "info" => "info,openraft=warn",
        other => other,
    };
    EnvFilter::try_new(directives)
        .with_context(|| format!("observe.log_level \"{text}\" is not a filter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(toml: &str) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_levels() {
        for level in [
            "warnn",
            "",
            "info,millstream_broker=debugg",
            "millstream_broker",
            "3",
        ] {
            let refused = refusal(&format!("[observe]\nlog_level = \"{level}\""));
            assert!(
                refused.contains("error, warn, info, debug, trace"),
                "{refused}"
            );
        }
        for level in [
            "warn",
            "INFO",
            "off",
            "info,millstream_broker=debug",
            "a::b=trace",
        ] {
            assert!(log_filter(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in [
            ":9092",
            "host",
            "host:",
            "host:0",
            "host:99999",
            "http://h:1",
            "a b:1",
            "::1:9",
        ] {
            let refused = refusal(&format!("[kafka]\nadvertised = \"{text}\""));
            assert!(refused.contains("write host:port"), "{text}: {refused}");
            let refused = refusal(&format!("[bus]\nbootstrap = \"ok:1,{text}\""));
            assert!(refused.contains("write host:port"), "{text}: {refused}");
        }
        assert_eq!(
            host_and_port("k", "[::1]:9092").unwrap(),
            ("::1".into(), 9092)
        );
        assert_eq!(
            host_and_port("k", "b-1.example:1").unwrap(),
            ("b-1.example".into(), 1)
        );
    }

    #[test]
    fn names_of_hosts_are_names() {
        for host in ["https://console.example", "console.example:443", "a/b", ""] {
            let refused = refusal(&format!("[http]\nallowed_hosts = [\"{host}\"]"));
            assert!(refused.contains("allowed_hosts"), "{refused}");
        }
    }
}
