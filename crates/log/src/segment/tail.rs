//! The last append of an active segment, kept in memory: who waits at the end
//! of the log is answered with what was just written instead of reading it
//! back from the page cache.

use super::Segment;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all tails of this process. A tail that does not fit is read back.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// A larger one goes by the file anyway, see
/// [`locate`](super::Segment::locate).
const TAIL_BYTES_MAX: usize = 1 << 20;

/// Bytes of all tails.
static KEPT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// One append: whole batches, as they are in the file.
#[derive(Debug)]
pub(super) struct Tail {
    base_offset: i64,
    next_offset: i64,
    /// Where in the file the append ends.
    end: u64,
    is_one_batch: bool,
    bytes: Bytes,
    /// Nothing was appended since the last look, see [`Segment::age_tail`].
    is_old: bool,
}

impl Tail {
    /// Its bytes, the offset after them and their end in the file, for a read
    /// with these bounds that begins where it does.
    pub(super) fn answer(
        &self,
        offset: i64,
        bound: i64,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Option<(Bytes, i64, u64)> {
        let fits = self.bytes.len() <= bytes_max || (self.is_one_batch && min_one_batch);
        (offset == self.base_offset && self.next_offset <= bound && fits)
            .then(|| (self.bytes.clone(), self.next_offset, self.end))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        KEPT_BYTES.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Segment {
    /// Keeps what was just appended and published, in place of the append
    /// before: `bytes` of so many batches with the offsets from `base_offset`
    /// to before `next_offset`.
    pub(crate) fn keep_tail(
        &self,
        bytes: Bytes,
        batches: usize,
        base_offset: i64,
        next_offset: i64,
    ) {
        let end = self.size();
        let mut recent = self.recent.lock();
        recent.tail = None;
        let size = bytes.len();
        if size > TAIL_BYTES_MAX || batches == 0 {
            return;
        }
        let tail = Tail {
            base_offset,
            next_offset,
            end,
            is_one_batch: batches == 1,
            bytes,
            is_old: false,
        };
        // Counted first: its drop takes off what it has.
        let kept = KEPT_BYTES.fetch_add(size, Ordering::Relaxed) + size;
        recent.tail = Some(tail).filter(|_| kept <= KEPT_BYTES_MAX);
    }

    /// Lets go of an append that was the last one at the look before already.
    pub(crate) fn age_tail(&self) {
        let mut recent = self.recent.lock();
        let is_new = recent
            .tail
            .as_mut()
            .is_some_and(|tail| !std::mem::replace(&mut tail.is_old, true));
        if !is_new {
            recent.tail = None;
        }
    }

    /// Lets go of the last append.
    pub(crate) fn drop_tail(&self) {
        self.recent.lock().tail = None;
    }
}

#[cfg(test)]
mod tests;
