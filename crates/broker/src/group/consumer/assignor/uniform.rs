//! The uniform assignor: balance first, then as few moves as possible.

use super::{Assignment, Demand};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// Passes over all topics in which partitions are moved from loaded members
/// to others. One or two are enough but for contrived subscriptions.
const BALANCE_PASSES_MAX: usize = 16;

/// Computes the target assignment of every member.
pub(super) fn assign(demand: &Demand<'_>) -> Vec<Assignment> {
    let first = demand.members.first();
    let is_homogeneous = demand
        .members
        .iter()
        .all(|member| first.is_some_and(|first| first.topics == member.topics));
    if is_homogeneous {
        Even::of(demand).assign()
    } else {
        Uneven::of(demand).assign()
    }
}

/// Which partitions of each topic have an owner.
type Taken = BTreeMap<Uuid, Vec<bool>>;

/// What members keep of their last target: partitions that exist, that they
/// want, each for the first that has it.
fn kept(demand: &Demand<'_>) -> (Vec<Vec<(Uuid, i32)>>, Taken) {
    let is_wanted = |topic: &Uuid| demand.members.iter().any(|m| m.topics.contains(topic));
    let mut taken: Taken = demand
        .topics
        .iter()
        .filter(|(topic, _)| is_wanted(topic))
        .map(|(topic, count)| (*topic, vec![false; usize::try_from(*count).unwrap_or(0)]))
        .collect();
    let mut kept = Vec::with_capacity(demand.members.len());
    for member in &demand.members {
        let mut own = Vec::new();
        for (topic, partition) in member.target.iter() {
            let slot = usize::try_from(partition)
                .ok()
                .and_then(|index| taken.get_mut(&topic)?.get_mut(index));
            if let Some(slot) = slot.filter(|slot| !**slot)
                && member.topics.contains(&topic)
            {
                *slot = true;
                own.push((topic, partition));
            }
        }
        kept.push(own);
    }
    (kept, taken)
}

fn untaken(taken: &Taken) -> impl Iterator<Item = (Uuid, i32)> {
    taken.iter().flat_map(|(topic, slots)| {
        let free = (0..).zip(slots).filter(|(_, taken)| !**taken);
        free.map(|(partition, _)| (*topic, partition))
    })
}

/// All members want the same topics: counts differ by one at most.
struct Even {
    owned: Vec<Vec<(Uuid, i32)>>,
    free: Vec<(Uuid, i32)>,
    least: usize,
    /// How many members may have one more than the least.
    extras: usize,
}

impl Even {
    fn of(demand: &Demand<'_>) -> Self {
        let (mut owned, taken) = kept(demand);
        let total: usize = taken.values().map(Vec::len).sum();
        let members = owned.len().max(1);
        let (least, mut extras) = (total / members, total % members);
        let mut free: Vec<(Uuid, i32)> = untaken(&taken).collect();
        for own in &mut owned {
            let quota = if own.len() > least && extras > 0 {
                extras -= 1;
                least + 1
            } else {
                least
            };
            if own.len() > quota {
                free.extend(own.drain(quota..));
            }
        }
        free.sort_unstable();
        Self {
            owned,
            free,
            least,
            extras,
        }
    }

    fn assign(mut self) -> Vec<Assignment> {
        let mut extras = self.extras;
        let mut hungry: VecDeque<usize> = (0..self.owned.len())
            .filter(|index| self.owned[*index].len() < self.least)
            .collect();
        let mut content: VecDeque<usize> = (0..self.owned.len())
            .filter(|index| self.owned[*index].len() == self.least)
            .collect();
        // In turns, so that the partitions of a topic spread over members.
        for partition in std::mem::take(&mut self.free) {
            if let Some(index) = hungry.pop_front() {
                self.owned[index].push(partition);
                if self.owned[index].len() < self.least {
                    hungry.push_back(index);
                } else {
                    content.push_back(index);
                }
            } else if let Some(index) = content.pop_front() {
                debug_assert!(extras > 0, "no more partitions than the quotas sum up to");
                extras = extras.saturating_sub(1);
                self.owned[index].push(partition);
            }
        }
        self.owned
            .into_iter()
            .map(|own| own.into_iter().collect())
            .collect()
    }
}

/// Members want different topics: the least loaded of those who want a
/// partition gets it, then loads are evened out where a move helps.
struct Uneven {
    assignments: Vec<Assignment>,
    loads: Vec<usize>,
    subscribers: BTreeMap<Uuid, Vec<usize>>,
    free: Vec<(Uuid, i32)>,
}

impl Uneven {
    fn of(demand: &Demand<'_>) -> Self {
        let (owned, taken) = kept(demand);
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (index, member) in demand.members.iter().enumerate() {
            for topic in &member.topics {
                subscribers.entry(*topic).or_default().push(index);
            }
        }
        let mut free: Vec<(Uuid, i32)> = untaken(&taken)
            .filter(|(topic, _)| subscribers.contains_key(topic))
            .collect();
        // Topics that few want first: they have the least choice.
        free.sort_by_key(|(topic, partition)| {
            let choice = subscribers.get(topic).map_or(0, Vec::len);
            (choice, *topic, *partition)
        });
        Self {
            loads: owned.iter().map(Vec::len).collect(),
            assignments: owned
                .into_iter()
                .map(|own| own.into_iter().collect())
                .collect(),
            subscribers,
            free,
        }
    }

    fn assign(mut self) -> Vec<Assignment> {
        for (topic, partition) in std::mem::take(&mut self.free) {
            if let Some(index) = self.least_loaded(&topic) {
                self.give(index, topic, partition);
            }
        }
        let topics: Vec<Uuid> = self.subscribers.keys().copied().collect();
        for _ in 0..BALANCE_PASSES_MAX {
            let mut moved = false;
            for topic in &topics {
                while self.move_one(topic) {
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        self.assignments
    }

    fn least_loaded(&self, topic: &Uuid) -> Option<usize> {
        let subscribers = self.subscribers.get(topic)?;
        subscribers
            .iter()
            .copied()
            .min_by_key(|index| self.loads[*index])
    }

    fn give(&mut self, index: usize, topic: Uuid, partition: i32) {
        self.assignments[index].insert(topic, partition);
        self.loads[index] += 1;
    }

    /// Moves a partition of the topic from its most to its least loaded
    /// subscriber, if that brings them closer. Each move lowers the sum of
    /// the squares of the loads, so this ends.
    fn move_one(&mut self, topic: &Uuid) -> bool {
        let Some(to) = self.least_loaded(topic) else {
            return false;
        };
        let owners = self.subscribers.get(topic).into_iter().flatten().copied();
        let from = owners
            .filter_map(|index| {
                let mut own = self.assignments[index].by_topic();
                let (_, partitions) = own.find(|(id, _)| *id == topic)?;
                Some((index, *partitions.last()?))
            })
            .max_by_key(|(index, _)| self.loads[*index]);
        match from {
            Some((from, partition)) if self.loads[from] > self.loads[to] + 1 => {
                self.assignments[from].remove(topic, partition);
                self.loads[from] -= 1;
                self.give(to, *topic, partition);
                true
            }
            _ => false,
        }
    }
}
