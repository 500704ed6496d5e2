//! A seeded mutator: the poor man's fuzzer, which needs no nightly compiler
//! and does the same on every run. It drives the targets of `fuzzing` here
//! and in crates above (feature `testing`).

/// A small generator of its own, so that a failure's input never changes.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed, which is not 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Values that lengths, counts and numbers are likely to trip over.
const TELLING: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[0x80],
    &[0x7f, 0xff],
    &[0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

/// Changes a few bytes, lengths or pieces of an input.
pub fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len());
        let telling = TELLING[random.below(TELLING.len())];
        match random.below(6) {
            0 if !input.is_empty() => input[at] = random.next() as u8,
            1 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            2 => input.truncate(at),
            3 => drop(input.splice(at..at, telling.iter().copied())),
            4 => {
                let end = (at + telling.len()).min(input.len());
                drop(input.splice(at..end, telling.iter().copied()));
            }
            _ => {
                let piece = input[at..(at + random.below(16)).min(input.len())].to_vec();
                let to = random.below(input.len());
                drop(input.splice(to..to, piece));
            }
        }
    }
}

/// Gives the target each seed and `rounds` mutations of it, times
/// `MILLSTREAM_FUZZ_FACTOR` where that is set.
///
/// # Panics
/// Where there is nothing to try, and where the target does.
pub fn run(seeds: &[Vec<u8>], rounds: usize, target: impl Fn(&[u8])) {
    let factor = std::env::var("MILLSTREAM_FUZZ_FACTOR").map_or(1, |n| n.parse().unwrap_or(0));
    let rounds = rounds * factor;
    assert!(!seeds.is_empty() && rounds > 0, "nothing would be tried");
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        target(seed);
        for _ in 0..rounds {
            let mut input = seed.clone();
            mutate(&mut input, &mut random);
            target(&input);
        }
    }
}
