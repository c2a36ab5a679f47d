//! Retries of operations that other processes interfere with.

use std::time::{Duration, Instant};

/// An overloaded machine may not schedule a process for a second or two, while others change the same object.
const PATIENCE: Duration = Duration::from_secs(5);
/// One attempt may take seconds where hundreds of processes wait for the same kernel lock.
const AT_LEAST: u32 = 16;

/// Attempts at an operation that other processes interfere with: for five seconds, and at least 16.
///
/// A number alone does not do: on a busy machine many attempts fail within milliseconds.
#[derive(Debug)]
pub struct Attempts {
    patience: Duration,
    deadline: Option<Instant>,
    made: u32,
}

impl Attempts {
    fn within(patience: Duration) -> Self {
        Self { patience, deadline: None, made: 0 }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::within(PATIENCE)
    }
}

impl Iterator for Attempts {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        let now = Instant::now();
        let deadline = self.deadline.get_or_insert(now + self.patience);
        self.made = self.made.saturating_add(1);
        (now < *deadline || self.made <= AT_LEAST).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_made_until_the_deadline() {
        let (patience, begin) = (Duration::from_millis(20), Instant::now());
        assert!(Attempts::within(patience).count() >= 16 && begin.elapsed() >= patience);
    }

    #[test]
    fn some_attempts_are_made_although_the_first_took_all_the_time() {
        assert_eq!(Attempts::within(Duration::ZERO).count(), 16);
    }
}
