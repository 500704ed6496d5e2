//! Chance.

use std::sync::Arc;

/// A source of random numbers; seeded in tests.
pub trait Rand: Send + Sync + 'static {
    /// A uniformly distributed number.
    fn next_u64(&self) -> u64;

    /// A random (version 4) UUID.
    fn uuid(&self) -> uuid::Uuid {
        let bytes = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }
}

/// The thread-local cryptographic generator.
#[derive(Debug)]
pub struct SystemRand;

impl SystemRand {
    /// The system's generator, ready to share.
    pub fn shared() -> Arc<dyn Rand> {
        Arc::new(Self)
    }
}

impl Rand for SystemRand {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

/// A reproducible generator (SplitMix64).
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct SeededRand {
    state: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "testing"))]
impl SeededRand {
    /// A generator that always gives the same numbers for `seed`.
    pub fn shared(seed: u64) -> Arc<Self> {
        Arc::new(Self { state: seed.into() })
    }
}

#[cfg(any(test, feature = "testing"))]
impl Rand for SeededRand {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(GAMMA, std::sync::atomic::Ordering::Relaxed)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
