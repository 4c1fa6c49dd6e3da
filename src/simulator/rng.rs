//! Random numbers that depend only on a seed and on the request.

use std::f64::consts::TAU;

/// The offset basis and prime of 64-bit FNV-1a. The hasher of the standard library can change
/// between releases, but responses must not.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns a stable hash of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(FNV_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    });
    mix(hash)
}

/// Returns a hash of two numbers, which depends on their order.
pub(super) fn combine(first: u64, second: u64) -> u64 {
    mix(mix(first).wrapping_add(second))
}

/// Mixes the bits of a number (the finalizer of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The random number generator of one request.
#[derive(Debug)]
pub(super) struct SeededRng(fastrand::Rng);

impl SeededRng {
    /// Creates the generator for the `prompt_count`-th request with a prompt.
    pub(super) fn new(seed: u64, prompt: u64, prompt_count: u64) -> Self {
        let seed = combine(combine(seed, prompt), prompt_count);
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns a number in `0.0..1.0`.
    pub(super) fn next_f64(&mut self) -> f64 {
        self.0.f64()
    }

    /// Returns a sample of the standard normal distribution (Box-Muller transform).
    pub(super) fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_f64()).ln()).sqrt();
        radius * (TAU * self.next_f64()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_depend_on_the_seed_and_the_prompt_count() {
        let draw = |seed, count| {
            let mut rng = SeededRng::new(seed, digest(b"a prompt"), count);
            rng.next_f64().to_bits()
        };
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
    }

    #[test]
    fn the_hash_is_stable() {
        // Computed independently of this code.
        assert_eq!(digest(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(digest(b"a prompt"), 0x9f64_96a2_bba1_b180);
        assert_ne!(combine(1, 2), combine(2, 1));
    }
}
