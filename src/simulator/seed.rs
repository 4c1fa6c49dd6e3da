//! Where chance comes from: everything drawn depends on a seed and on the request, on nothing else.

use std::f64::consts::TAU;

/// The offset basis and the prime of FNV-1a with 64 bits. The standard library's hasher may change
/// between releases; an answer must not.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns a stable hash of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(FNV_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    });
    stir(hash)
}

/// Returns a hash of two numbers, in this order.
pub(super) fn combine(first: u64, second: u64) -> u64 {
    stir(stir(first).wrapping_add(second))
}

/// Spreads every bit of a number over all of them (the finalizer of `SplitMix64`).
fn stir(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The dice of one request.
#[derive(Debug)]
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    /// Makes the dice for the `turn`-th time that a prompt is asked.
    pub(super) fn new(seed: u64, prompt: u64, turn: u64) -> Self {
        Self(fastrand::Rng::with_seed(combine(
            combine(seed, prompt),
            turn,
        )))
    }

    /// Draws a number from 0 up to, not including, 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// Draws from the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_does_not() {
        let draw = |seed, turn| Dice::new(seed, digest(b"a prompt"), turn).unit().to_bits();
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
    }

    #[test]
    fn the_hash_never_changes() {
        // Worked out apart from this code.
        assert_eq!(digest(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(digest(b"a prompt"), 0x9f64_96a2_bba1_b180);
        assert_ne!(combine(1, 2), combine(2, 1));
    }
}
