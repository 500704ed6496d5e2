//! The seams for time, chance and disk.
//!
//! Crates that decide anything (log, cluster, broker, engine) take these from
//! outside, so that a test can run them on a manual clock and on a disk that
//! loses what was not synced.

pub mod clock;
#[cfg(any(test, feature = "testing"))]
pub mod counting_fs;
#[cfg(any(test, feature = "testing"))]
pub mod crash_fs;
pub mod fs;
pub mod open_files;
pub mod rand;

pub use clock::{Clock, SystemClock};
#[cfg(any(test, feature = "testing"))]
pub use counting_fs::{CountingFs, FsCounts};
#[cfg(any(test, feature = "testing"))]
pub use crash_fs::{Change, ChangeKind, CrashFs, Keep, SyncCall, SyncKind};
pub use fs::{Fs, FsFile, RealFs, Space};
pub use rand::{Rand, SystemRand};
