//! A set of partitions, by topic id.

use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Partitions by topic id; no topic without partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    topics: BTreeMap<Uuid, BTreeSet<i32>>,
}

impl Assignment {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeSet::len).sum()
    }

    /// Whether the partition is in it.
    pub fn contains(&self, topic: &Uuid, partition: i32) -> bool {
        self.topics
            .get(topic)
            .is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds a partition.
    pub fn insert(&mut self, topic: Uuid, partition: i32) {
        self.topics.entry(topic).or_default().insert(partition);
    }

    /// Takes a partition out.
    pub fn remove(&mut self, topic: &Uuid, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// The partitions of each topic, both ordered.
    pub fn by_topic(&self) -> impl Iterator<Item = (&Uuid, &BTreeSet<i32>)> {
        self.topics.iter()
    }

    /// All partitions, ordered.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.topics
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |p| (*topic, *p)))
    }

    /// Those that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|(t, p)| other.contains(t, *p)).collect()
    }

    /// Those that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.iter()
            .filter(|(t, p)| !other.contains(t, *p))
            .collect()
    }

    /// Whether one is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|(t, p)| other.contains(&t, p))
    }

    /// Whether all are in the other.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|(t, p)| other.contains(&t, p))
    }
}

impl FromIterator<(Uuid, i32)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (Uuid, i32)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        for (topic, partition) in partitions {
            assignment.insert(topic, partition);
        }
        assignment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_partitions_behave_as_sets() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let one: Assignment = [(a, 0), (a, 1), (b, 0)].into_iter().collect();
        let other: Assignment = [(a, 1), (b, 7)].into_iter().collect();
        let both: Assignment = [(a, 1)].into_iter().collect();
        assert_eq!(one.intersection(&other), both);
        assert_eq!(one.difference(&other).len(), 2);
        assert!(one.overlaps(&other) && both.is_subset_of(&one) && !one.is_subset_of(&both));
        let mut gone = both.clone();
        gone.remove(&a, 1);
        assert!(gone.is_empty() && gone == Assignment::default());
    }
}
