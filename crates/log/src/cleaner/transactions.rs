//! Transactions as a pass over a log's batches meets them.

use crate::partition::AbortedTransaction;
use millstream_wire::batch::{BatchHeader, ControlKind, EndTxnMarker};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// What is known of the transactions around the batch that was last seen.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Aborted ones whose first offset was not reached yet.
    coming: BinaryHeap<Reverse<AbortedTransaction>>,
    /// Aborted ones that are open here, by producer.
    aborted: HashMap<i64, Aborted>,
    /// Producers with batches of a transaction that was not aborted.
    committed: HashSet<i64>,
}

#[derive(Debug)]
struct Aborted {
    transaction: AbortedTransaction,
    has_batches: bool,
}

/// What a marker is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MarkerSeen {
    /// Nothing that it decides on is left.
    pub(super) is_idle: bool,
    /// The entry that the transaction index needs for it.
    pub(super) indexed: Option<AbortedTransaction>,
}

impl Transactions {
    /// Adds the aborted transactions of a stretch that is about to be read.
    pub(super) fn add_aborted(&mut self, aborted: Vec<AbortedTransaction>) {
        self.coming.extend(aborted.into_iter().map(Reverse));
    }

    /// A batch of data; true when its transaction was aborted.
    pub(super) fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.reach(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.has_batches = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A marker; `None` for one that a round before has emptied.
    pub(super) fn on_marker(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
    ) -> MarkerSeen {
        self.reach(header.last_offset());
        match marker.map(|marker| marker.kind) {
            None => MarkerSeen {
                is_idle: true,
                indexed: None,
            },
            Some(ControlKind::Commit) => MarkerSeen {
                is_idle: !self.committed.remove(&header.producer_id),
                indexed: None,
            },
            Some(ControlKind::Abort) => {
                let ended = self.aborted.remove(&header.producer_id);
                // As long as there are batches, readers need the entry: they
                // may be of a round that does not reach this far.
                let indexed = ended.filter(|a| a.has_batches).map(|a| a.transaction);
                MarkerSeen {
                    is_idle: indexed.is_none(),
                    indexed,
                }
            }
        }
    }

    fn reach(&mut self, offset: i64) {
        while let Some(Reverse(next)) = self.coming.peek().copied()
            && next.first_offset.0 <= offset
        {
            self.coming.pop();
            // One that spans segments was added for each of them.
            self.aborted.entry(next.producer_id.0).or_insert(Aborted {
                transaction: next,
                has_batches: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, batch_of, transactional};
    use millstream_core::ids::{Offset, ProducerId};
    use millstream_wire::batch::{BatchView, set_base_offset};

    fn data(offset: i64, producer: i64) -> BatchHeader {
        let mut bytes = batch_of(transactional(producer, 0), NOW_MS, &[b"v"]).to_vec();
        set_base_offset(&mut bytes, offset).unwrap();
        BatchView::parse(&bytes.into()).unwrap().header().clone()
    }

    fn aborted(producer: i64, first: i64, marker: i64) -> AbortedTransaction {
        AbortedTransaction {
            first_offset: Offset(first),
            last_offset: Offset(marker),
            producer_id: ProducerId(producer),
            last_stable_offset: Offset(marker + 1),
        }
    }

    fn marker(kind: ControlKind) -> Option<EndTxnMarker> {
        Some(EndTxnMarker {
            kind,
            coordinator_epoch: 0,
        })
    }

    #[test]
    fn batches_of_an_aborted_transaction_are_told_from_the_producers_others() {
        let mut seen = Transactions::default();
        // Twice: it spans two segments.
        seen.add_aborted(vec![aborted(1, 2, 5)]);
        seen.add_aborted(vec![aborted(1, 2, 5)]);
        assert!(!seen.on_batch(&data(0, 1)), "before it began");
        let committed = seen.on_marker(&data(1, 1), marker(ControlKind::Commit));
        assert!(!committed.is_idle);
        assert!(seen.on_batch(&data(2, 1)));
        assert!(!seen.on_batch(&data(3, 2)), "another producer");
        let ended = seen.on_marker(&data(5, 1), marker(ControlKind::Abort));
        assert_eq!(ended.indexed, Some(aborted(1, 2, 5)));
        assert!(!ended.is_idle);
        assert!(!seen.on_batch(&data(6, 1)), "after it ended");
    }

    #[test]
    fn a_marker_without_batches_is_idle() {
        let mut seen = Transactions::default();
        seen.add_aborted(vec![aborted(1, 2, 5)]);
        let idle = MarkerSeen {
            is_idle: true,
            indexed: None,
        };
        assert_eq!(
            seen.on_marker(&data(5, 1), marker(ControlKind::Abort)),
            idle
        );
        assert_eq!(
            seen.on_marker(&data(6, 2), marker(ControlKind::Commit)),
            idle
        );
        assert_eq!(seen.on_marker(&data(7, 2), None), idle);
    }
}
