//! How long calls took.

use std::time::Duration;

/// The times of one verb.
#[derive(Default)]
pub struct Times(pub Vec<Duration>);

impl Times {
    /// In milliseconds.
    pub fn quantile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let index = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[index].as_secs_f64() * 1000.0
    }
}
