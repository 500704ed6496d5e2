//! Buffers for large reads and appends, used again and again: fresh memory of that size
//! comes from the kernel page by page, zeroed, which costs more than the copy
//! that it is for.

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller ones take what the allocator has.
const REUSED_BYTES_MIN: usize = 32 * 1024;
/// Larger buffers are given back.
const REUSED_BYTES_MAX: usize = 4 << 20;
/// Bytes of all buffers that nobody uses.
const IDLE_BYTES_MAX: usize = 16 << 20;
/// Sizes are rounded up to this, so that one buffer fits many requests.
const ROUND_BYTES: usize = 64 * 1024;

static IDLE: Mutex<Idle> = Mutex::new(Idle {
    buffers: Vec::new(),
    bytes: 0,
    taken: false,
});

struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    /// Whether one was taken since the last [`shrink`].
    taken: bool,
}

impl Idle {
    /// A buffer of at least this size, not many times as large.
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        self.taken = true;
        // The one given back last is the one that is in the processor's cache.
        let fits = |buffer: &Vec<u8>| (size..=4 * size).contains(&buffer.len());
        let place = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(place);
        self.bytes -= buffer.len();
        Some(buffer)
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        let fits = self.bytes + buffer.len() <= IDLE_BYTES_MAX;
        if fits && buffer.len() <= REUSED_BYTES_MAX {
            self.bytes += buffer.len();
            self.buffers.push(buffer);
        }
    }
}

/// A buffer in use; its memory goes back when the last slice of it is dropped.
struct Reused {
    buffer: Vec<u8>,
    size: usize,
}

impl AsRef<[u8]> for Reused {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.size).unwrap_or_default()
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        IDLE.lock().give_back(std::mem::take(&mut self.buffer));
    }
}

/// `size` bytes, filled by `fill`.
pub(crate) fn filled<E>(
    size: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Bytes, E> {
    if size < REUSED_BYTES_MIN {
        let mut bytes = vec![0; size];
        fill(&mut bytes)?;
        return Ok(bytes.into());
    }
    let taken = IDLE.lock().take(size);
    let buffer = taken.unwrap_or_else(|| vec![0; size.next_multiple_of(ROUND_BYTES)]);
    let mut reused = Reused { buffer, size };
    fill(reused.buffer.get_mut(..size).unwrap_or_default())?;
    Ok(Bytes::from_owner(reused))
}

/// Gives the memory back that nobody has asked for since the last call.
pub(crate) fn shrink() {
    let mut idle = IDLE.lock();
    if !std::mem::take(&mut idle.taken) {
        idle.buffers = Vec::new();
        idle.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_is_read_is_what_was_filled_in_whatever_the_buffer_held() {
        for round in 0..20_u8 {
            for size in [10, REUSED_BYTES_MIN, 100_000, 1 << 20, REUSED_BYTES_MAX + 1] {
                let bytes = filled(size, |buffer| {
                    buffer.fill(round);
                    io::Result::Ok(())
                });
                let bytes = bytes.unwrap();
                assert_eq!(bytes.len(), size);
                assert!(bytes.iter().all(|byte| *byte == round));
            }
        }
        let failed = filled(1 << 20, |_| Err(io::ErrorKind::UnexpectedEof));
        assert!(failed.is_err());
        assert!(IDLE.lock().bytes <= IDLE_BYTES_MAX);
    }

    #[test]
    fn idle_buffers_are_bounded_and_of_a_size_that_fits() {
        let mut idle = Idle {
            buffers: Vec::new(),
            bytes: 0,
            taken: false,
        };
        for _ in 0..100 {
            idle.give_back(vec![0; 1 << 20]);
        }
        assert_eq!(idle.bytes, IDLE_BYTES_MAX);
        idle.give_back(vec![0; REUSED_BYTES_MAX + 1]);
        assert_eq!(idle.bytes, IDLE_BYTES_MAX);
        assert!(idle.take(2 << 20).is_none(), "too small");
        assert!(idle.take(REUSED_BYTES_MIN).is_none(), "many times as large");
        assert_eq!(idle.take(1 << 20).map(|buffer| buffer.len()), Some(1 << 20));
        assert_eq!(idle.bytes, IDLE_BYTES_MAX - (1 << 20));
    }
}
