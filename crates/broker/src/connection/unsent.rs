//! Responses that wait for their clients to take them.
//!
//! A response's size is known when it is there, so nothing is refused: while
//! a connection, or the node, has too much unsent, no further request is
//! begun. Fetched records are counted elsewhere, see [`crate::fetch::budget`].

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

    fn update(&self) {
        self.pressed.send_if_modified(|pressed| {
            let now = self.bytes() >= self.bytes_max;
            std::mem::replace(pressed, now) != now
        });
    }
}

/// Unsent bytes of one connection.
pub(super) struct Queue {
    node: Arc<Unsent>,
    bytes: watch::Sender<usize>,
    bytes_max: usize,
}

/// A response's part of both; counted off when dropped.
pub(super) struct Queued {
    node: Arc<Unsent>,
    connection: watch::Sender<usize>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(node: &Arc<Unsent>, bytes_max: usize) -> Self {
        Self {
            node: Arc::clone(node),
            bytes: watch::Sender::new(0),
            bytes_max,
        }
    }

    /// Waits until another request may be begun. Cancel-safe.
    pub(super) async fn has_room(&self) {
        // Both senders live as long as this.
        let _ = self
            .bytes
            .subscribe()
            .wait_for(|bytes| *bytes < self.bytes_max)
            .await;
        let _ = self.node.pressed().wait_for(|pressed| !*pressed).await;
    }

    /// Counts a response.
    pub(super) fn add(&self, bytes: usize) -> Queued {
        self.bytes.send_modify(|all| *all += bytes);
        let node = Arc::clone(&self.node);
        node.bytes.fetch_add(bytes, Ordering::Relaxed);
        node.update();
        Queued {
            node,
            connection: self.bytes.clone(),
            bytes,
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.connection.send_modify(|all| *all -= self.bytes);
        self.node.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.node.update();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn requests_wait_for_the_connection_and_for_the_node() {
        let node = Unsent::new(100);
        let queues = [Queue::new(&node, 60), Queue::new(&node, 60)];
        let first = queues[0].add(60);
        assert!(futures::poll!(pin!(queues[0].has_room())).is_pending());
        queues[1].has_room().await;
        let second = queues[1].add(50);
        let mut waiting = pin!(queues[1].has_room());
        assert!(
            futures::poll!(&mut waiting).is_pending(),
            "the node is full"
        );
        drop(first);
        waiting.await;
        assert_eq!(node.bytes(), 50);
        drop(second);
        queues[0].has_room().await;
        assert_eq!(node.bytes(), 0);
    }
}
