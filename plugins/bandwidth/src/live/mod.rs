//! What is shaped now, and changing it while traffic flows: for an operator's tool, without any config.

mod change;
mod make;
mod queue;
mod recording;
mod shaped;

pub use change::{Change, Known, change};
pub use shaped::{Shaped, ShapedDirection, shaped};

#[cfg(test)]
mod tests;
