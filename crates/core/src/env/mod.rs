//! The seams for time, chance and disk.
//!
//! Crates that decide anything (log, cluster, broker, engine) take these from
//! outside, so that a test can run them on a manual clock and on a disk that
//! loses what was not synced.

pub mod clock;
pub mod fs;
pub mod rand;

pub use clock::{Clock, SystemClock};
pub use fs::{Fs, FsFile, RealFs};
pub use rand::{Rand, SystemRand};
