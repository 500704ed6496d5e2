//! From key to the newest offset seen, in bounded memory.
//!
//! Keys are kept as 128 bits of two keyed hashes, as Kafka keeps MD5: with the
//! 5.6 million keys of the default bound, two keys share them with a
//! probability of about 10^-25. The hash keys are random, so nobody can make
//! such a pair.

use std::hash::{BuildHasher, RandomState};

/// Bytes of one slot.
const SLOT_BYTES: usize = size_of::<Slot>();
/// Slots that the smallest map has.
const SLOTS_MIN: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: (u64, u64),
    /// -1 is free.
    offset: i64,
}

const FREE: Slot = Slot {
    hash: (0, 0),
    offset: -1,
};

/// See the module's docs.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    keys: usize,
    hashers: (RandomState, RandomState),
}

impl OffsetMap {
    /// A map for `keys_expected` keys, or as many as fit `bytes_max`.
    pub(super) fn new(bytes_max: usize, keys_expected: u64) -> Self {
        // Kafka's load factor is 0.9; probing is short up to there.
        let wanted = keys_expected.saturating_add(keys_expected / 8);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let slots = wanted.min(bytes_max / SLOT_BYTES).max(SLOTS_MIN);
        Self {
            slots: vec![FREE; slots],
            keys: 0,
            hashers: (RandomState::new(), RandomState::new()),
        }
    }

    /// Notes an offset of a key, above all that were noted of it before.
    /// False, and nothing noted, when the map is full.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        if self.keys >= self.slots.len() * 9 / 10 {
            return false;
        }
        let hash = self.hash(key);
        let at = self.slot_of(hash);
        let Some(slot) = self.slots.get_mut(at) else {
            return false;
        };
        if slot.offset < 0 {
            self.keys += 1;
        }
        *slot = Slot { hash, offset };
        true
    }

    /// The newest offset of a key; `None` when it was never noted.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        let slot = self.slots.get(self.slot_of(self.hash(key)))?;
        (slot.offset >= 0).then_some(slot.offset)
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key))
    }

    /// The slot of this hash, or the free one where it would be: there is
    /// always one, see `put`.
    fn slot_of(&self, hash: (u64, u64)) -> usize {
        let count = self.slots.len();
        let mut at = (hash.0 % count as u64) as usize;
        while let Some(slot) = self.slots.get(at)
            && slot.offset >= 0
            && slot.hash != hash
        {
            at = (at + 1) % count;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new(1 << 20, 10_000);
        for offset in 0..20_000_i64 {
            assert!(map.put(&(offset % 5000).to_be_bytes(), offset));
        }
        for key in 0..5000_i64 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(15_000 + key));
        }
        assert_eq!(map.get(b"never"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn a_map_never_grows_beyond_its_bound_and_says_that_it_is_full() {
        let mut map = OffsetMap::new(24 * 1000, u64::MAX);
        assert_eq!(map.slots.len() * SLOT_BYTES, 24_000);
        let taken = (0..)
            .take_while(|i: &i64| map.put(&i.to_be_bytes(), *i))
            .count();
        assert_eq!(taken, 900);
        assert_eq!(map.get(&899_i64.to_be_bytes()), Some(899));
        assert_eq!(map.get(&900_i64.to_be_bytes()), None);
    }
}
