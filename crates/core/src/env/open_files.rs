//! How many files this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Fewer are not enough to serve anyone: connections and segments need one
/// each while they are in use.
pub const OPEN_FILES_MIN: u64 = 256;

/// Raises the limit as far as the system lets this process, and returns it.
/// An error says what to do when it is too low all the same.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = match (limit.current, limit.maximum) {
        (Some(current), maximum) if maximum.is_none_or(|maximum| current < maximum) => {
            let wanted = Rlimit {
                current: maximum,
                maximum,
            };
            // Some systems refuse "unlimited": then it stays as it was.
            match setrlimit(Resource::Nofile, wanted) {
                Ok(()) => maximum,
                Err(_) => Some(current),
            }
        }
        (current, _) => current,
    };
    let raised = raised.unwrap_or(u64::MAX);
    if raised < OPEN_FILES_MIN {
        return Err(io::Error::other(format!(
            "this process may open {raised} files, at least {OPEN_FILES_MIN} are needed: \
             raise the limit (ulimit -n, or LimitNOFILE= in a systemd unit)"
        )));
    }
    Ok(raised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        let raised = raise_open_files_limit().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.unwrap_or(u64::MAX), raised);
        assert!(now.maximum.is_none_or(|maximum| raised == maximum));
    }
}
