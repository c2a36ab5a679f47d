//! Lists the limits of a namespace and changes them while traffic flows: for an operator's tool, without any config.

mod change;
mod make;
mod pair;
mod queue;
mod recording;

pub use change::{Desired, Pod, change_limits};
pub use pair::{Pair, ShapedDirection, pairs};

#[cfg(test)]
mod tests;
