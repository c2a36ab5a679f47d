//! Chance that can be repeated.

use std::time::Duration;

/// Numbers without a pattern, the same ones for the same seed (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        // Seeds that are close give numbers that are not; 0 would give nothing but zeros.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The numbers of the seed that the environment variable `name` holds, or of this moment's. Prints which,
    /// so that a failure can be repeated.
    ///
    /// # Panics
    /// When the variable holds no number.
    pub fn seeded_by(name: &str) -> Self {
        let seed = std::env::var(name).map_or_else(
            |_| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos())),
            |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")),
        );
        eprintln!("{name}={seed}");
        Self::new(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() >> 33).unwrap_or(0) % end
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u32, last: u32) -> u32 {
        // The remainder is below a number of 32 bits.
        first + u32::try_from(self.number() % u64::from(last - first + 1)).unwrap_or(0)
    }

    /// Returns `true` once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A moment between nothing and a fifth more than `whole`.
    pub fn moment(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.number() % 1200) as f64 / 1000.0)
    }
}
