//! Responses that wait for their clients to take them.
//!
//! A response's size is known when it is there, so nothing is refused: while
//! the node has too much unsent, no further request is begun. A connection has
//! a bound of its own ([`super::in_flight`]). Fetched records are counted
//! elsewhere, see [`crate::fetch::budget`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Unsent bytes of the node.
pub(crate) struct Unsent {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Whether the bound is reached.
    pressed: watch::Sender<bool>,
}

impl Unsent {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
            pressed: watch::Sender::new(false),
        })
    }

    /// Bytes unsent now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether requests are held back, as a stream.
    pub(super) fn pressed(&self) -> watch::Receiver<bool> {
        self.pressed.subscribe()
    }

    /// Waits until another request may be begun. Cancel-safe.
    pub(super) async fn has_room(&self) {
        if self.bytes() >= self.bytes_max {
            // The sender lives in this.
            let _ = self.pressed().wait_for(|pressed| !*pressed).await;
        }
    }

    /// Counts a response.
    pub(super) fn add(self: &Arc<Self>, bytes: usize) -> Queued {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.update_if_crossed(before, before + bytes);
        Queued {
            node: Arc::clone(self),
            bytes,
        }
    }

    /// Whoever crosses the bound says so; all others touch one number.
    fn update_if_crossed(&self, before: usize, after: usize) {
        if (before >= self.bytes_max) != (after >= self.bytes_max) {
            self.pressed.send_if_modified(|pressed| {
                let now = self.bytes() >= self.bytes_max;
                std::mem::replace(pressed, now) != now
            });
        }
    }
}

/// A response's part; counted off when dropped.
pub(super) struct Queued {
    node: Arc<Unsent>,
    pub(super) bytes: usize,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let before = self.node.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.node.update_if_crossed(before, before - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn requests_wait_until_the_node_has_room() {
        let node = Unsent::new(100);
        let first = node.add(60);
        node.has_room().await;
        let second = node.add(50);
        let mut waiting = pin!(node.has_room());
        assert!(
            futures::poll!(&mut waiting).is_pending(),
            "the node is full"
        );
        drop(first);
        waiting.await;
        assert_eq!(node.bytes(), 50);
        drop(second);
        node.has_room().await;
        assert_eq!(node.bytes(), 0);
    }
}
