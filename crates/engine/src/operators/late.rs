//! Rows that came after their window had fired.

use arrow::array::RecordBatch;
use std::sync::Arc;

/// Rows that an aggregation did not take, for the late topic.
#[derive(Debug, Clone)]
pub struct LateRows {
    /// As they came into the aggregation.
    pub rows: RecordBatch,
    /// The source record of each, where known.
    pub origins: Option<Arc<[u32]>>,
    /// End of each row's window, in milliseconds, exclusive.
    pub window_ends_ms: Vec<i64>,
    /// The watermark that had passed it.
    pub watermark_ms: i64,
}

/// Whether a window is closed (Flink: `WindowTimerServiceUtil`'s
/// `isWindowFired`): its last millisecond is at or below the watermark.
pub(super) fn is_fired(window_end_ms: i64, watermark_ms: i64) -> bool {
    window_end_ms.saturating_sub(1) <= watermark_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::{WATERMARK_END, WATERMARK_NONE};

    #[test]
    fn a_window_fires_when_the_watermark_reaches_its_last_millisecond() {
        assert!(!is_fired(5_000, 4_998));
        assert!(is_fired(5_000, 4_999));
        assert!(!is_fired(5_000, WATERMARK_NONE));
        assert!(is_fired(5_000, WATERMARK_END));
    }
}
