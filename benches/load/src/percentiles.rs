//! Exact percentiles over all samples of a run.

use serde_json::{Value, json};

/// p50, p99, p99.9 and the maximum, in microseconds.
pub fn summary(mut samples_ns: Vec<u64>) -> Value {
    samples_ns.sort_unstable();
    let at = |quantile: f64| -> Option<f64> {
        // Nearest rank: the smallest sample that `quantile` of all do not exceed.
        let rank = (quantile * samples_ns.len() as f64).ceil() as usize;
        samples_ns
            .get(rank.max(1) - 1)
            .map(|ns| *ns as f64 / 1000.0)
    };
    json!({
        "count": samples_ns.len(),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
        "max_us": at(1.0),
    })
}
