//! What a request names, each once.
//!
//! A request of ten megabytes can name the same thing a million times, and an
//! answer about it can take a kilobyte: a repetition is answered once, as
//! Kafka's own clients ask once. Long requests give others their turn.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Items that are handled before others get their turn.
const ITEMS_A_TURN: u32 = 256;

/// The items without those that name what an earlier one names.
pub(super) fn once<T, K: Hash + Eq + ?Sized>(items: Vec<T>, key: fn(&T) -> &K) -> Vec<T> {
    let firsts: Vec<bool> = {
        let mut seen: HashSet<&K> = HashSet::with_capacity(items.len());
        items.iter().map(|item| seen.insert(key(item))).collect()
    };
    if firsts.iter().all(|first| *first) {
        return items;
    }
    let kept = items.into_iter().zip(firsts);
    kept.filter_map(|(item, first)| first.then_some(item))
        .collect()
}

/// Leaves of each partition the last item, as if they were done one after
/// the other; a topic that nothing is left of goes.
pub(super) fn partitions_once<T, P, K: Hash + Eq>(
    topics: &mut Vec<T>,
    key: impl Fn(&T) -> K,
    partitions: impl Fn(&mut T) -> &mut Vec<P>,
    index: impl Fn(&P) -> i32,
) {
    let mut seen: HashMap<K, HashSet<i32>> = HashMap::new();
    let mut are_left = Vec::with_capacity(topics.len());
    for topic in topics.iter_mut().rev() {
        let seen = seen.entry(key(topic)).or_default();
        let partitions = partitions(topic);
        let was_empty = partitions.is_empty();
        partitions.reverse();
        partitions.retain(|partition| seen.insert(index(partition)));
        partitions.reverse();
        are_left.push(was_empty || !partitions.is_empty());
    }
    topics.retain(|_| are_left.pop().unwrap_or(true));
}

/// Gives others their turn in the course of a long request.
#[derive(Default)]
pub(super) struct Pace(u32);

impl Pace {
    /// To be called for each item.
    pub(super) async fn next(&mut self) {
        self.0 += 1;
        if self.0 == ITEMS_A_TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_goes_and_the_order_stays() {
        let names = ["b", "a", "b", "c", "a"].map(str::to_owned).to_vec();
        assert_eq!(once(names, |name| name), ["b", "a", "c"]);
    }

    #[test]
    fn of_a_partition_the_last_counts_over_all_entries_of_its_topic() {
        let mut topics = vec![
            ("t", vec![(0, "old"), (1, "one"), (0, "newer")]),
            ("u", vec![(0, "other")]),
            ("t", vec![(0, "newest")]),
        ];
        partitions_once(&mut topics, |t| t.0, |t| &mut t.1, |p| p.0);
        let expected = vec![
            ("t", vec![(1, "one")]),
            ("u", vec![(0, "other")]),
            ("t", vec![(0, "newest")]),
        ];
        assert_eq!(topics, expected);
    }
}
