//! What is shaped now, and changing it while traffic flows: for an operator's tool, without any config.

mod change;
mod pair;

pub use change::{Change, change};
pub use pair::{Pair, ShapedDirection, pairs};

#[cfg(test)]
mod tests;
