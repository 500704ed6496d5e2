//! What survives a crash.

use super::Keep;

/// Chooses what survives. A seed also chooses how much in this crash, so that
/// "nearly all" and "nearly nothing" come up too.
pub(super) struct Chance {
    keep: Keep,
    state: u64,
    kept_of_256: u64,
}

impl Chance {
    pub(super) fn new(keep: Keep) -> Self {
        let mut chance = Self {
            keep,
            state: 0,
            kept_of_256: 0,
        };
        if let Keep::Random(seed) = keep {
            chance.state = seed;
            chance.kept_of_256 = [8, 64, 128, 192, 248][(chance.next() % 5) as usize];
        }
        chance
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn keep(&mut self) -> bool {
        match self.keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Random(_) => self.next() % 256 < self.kept_of_256,
        }
    }
}
