//! The disk's own share: append 16 KiB, fdatasync, again.

use crate::arguments::Arguments;
use crate::percentiles;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const WRITE_BYTES: usize = 16 * 1024;

/// `--dir DIR --count N`.
pub fn run(arguments: &Arguments) -> Result<Value> {
    let path = Path::new(arguments.text("dir")?).join("fdatasync.probe");
    let count: usize = arguments.number("count")?;
    let block = vec![0x5a_u8; WRITE_BYTES];
    let mut file = fs::File::create(&path)?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        samples.push(started.elapsed().as_nanos() as u64);
    }
    fs::remove_file(&path)?;
    Ok(json!({ "fdatasync_16k": percentiles::summary(samples) }))
}
