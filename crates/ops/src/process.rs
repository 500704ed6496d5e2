//! Readings of this process and its host.

use crate::inputs::ProcessInput;
use std::path::Path;

/// CPU, memory and disk; what the broker knows is left at 0. What cannot be
/// read is 0.
pub fn read(data_dir: &Path) -> ProcessInput {
    let (disk_used_bytes, disk_total_bytes) = disk(data_dir).unwrap_or((0, 0));
    ProcessInput {
        cpu_seconds: cpu_seconds().unwrap_or(0.0),
        memory_bytes: memory_bytes().unwrap_or(0),
        disk_used_bytes,
        disk_total_bytes,
        ..ProcessInput::default()
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(usage.tv_sec as f64 + usage.tv_nsec as f64 / 1e9)
}

fn memory_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn disk(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let total = stat.f_blocks * stat.f_frsize;
    let free = stat.f_bavail * stat.f_frsize;
    Some((total.saturating_sub(free), total))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_uses_memory_and_disk() {
        let reading = super::read(std::path::Path::new("/"));
        assert!(reading.memory_bytes > 100_000 && reading.disk_total_bytes > 0);
    }
}
