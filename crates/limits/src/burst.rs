//! Bursts, and the numbers by which runtimes say that none was chosen.

use crate::error::{Error, Result};
use crate::quantity::{Expected, quantity};

/// The burst, in bits, that a runtime sends when a pod's annotations set a rate. Kubernetes has no annotation for a burst,
/// so each runtime fills in its largest number: 43 s of a limit of 100 Mbit/s, an hour of one of 1 Mbit/s.
const NOT_CHOSEN: [(u64, &str); 3] = [
    (2_147_483_647, "cri-dockerd, and dockershim before it"),
    (4_294_967_295, "containerd"),
    (34_359_738_359, "CRI-O"),
];

/// How much may pass at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Burst {
    /// Written down: it is taken as given, as far as the kernel can hold it.
    Chosen {
        /// At least 1.
        bits: u64,
    },
    /// Not written down: the plugin chooses.
    NotChosen,
}

impl Burst {
    /// Reads the number of a config or of a runtime.
    pub(crate) fn from_bits(bits: u64, runtime_burst: RuntimeBurst) -> Self {
        let says_nothing = NOT_CHOSEN.iter().any(|(number, _)| *number == bits);
        if says_nothing && runtime_burst == RuntimeBurst::Replace {
            Self::NotChosen
        } else {
            Self::Chosen { bits }
        }
    }

    /// Returns this burst, or the other one where this is not chosen.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::NotChosen { other } else { self }
    }
}

/// Less than a packet is raised to one; the kernel holds 4 GiB.
const BITS: std::ops::RangeInclusive<u64> = 1_000..=32_000_000_000;

/// Reads a burst, a quantity of bits: 1k to 32G.
///
/// # Errors
/// The allowed values.
pub fn burst_bits(text: &str) -> std::result::Result<u64, Expected> {
    let bits = quantity(text)?;
    let allowed = u64::try_from(bits).ok().filter(|bits| BITS.contains(bits));
    allowed.ok_or(Expected("between 1k and 32G bits"))
}

/// The key `runtimeBurst`: whether the numbers by which a runtime says that no burst was chosen are bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuntimeBurst {
    /// `"replace"`: they are not.
    #[default]
    Replace,
    /// `"literal"`: they are bursts like any other, as for the reference plugin.
    Literal,
}

impl RuntimeBurst {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for any other word.
    pub fn from_key(value: Option<&str>) -> Result<Self> {
        match value {
            None | Some("replace") => Ok(Self::Replace),
            Some("literal") => Ok(Self::Literal),
            Some(other) => Err(Error::invalid(
                "runtimeBurst",
                format!("{other:?}"),
                "\"replace\" (the default) or \"literal\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_each_runtime_sends_by_default_counts_as_not_chosen() {
        let (i32_max, u32_max) = (u64::from(u32::MAX >> 1), u64::from(u32::MAX));
        for bits in [i32_max, u32_max, u32_max * 8 - 1] {
            assert_eq!(Burst::from_bits(bits, RuntimeBurst::Replace), Burst::NotChosen, "{bits}");
            assert_eq!(Burst::from_bits(bits, RuntimeBurst::Literal), Burst::Chosen { bits });
        }
        for bits in [1, 1_000_000, u32_max - 1, u32_max + 1, u64::MAX] {
            assert_eq!(Burst::from_bits(bits, RuntimeBurst::Replace), Burst::Chosen { bits });
        }
    }

    #[test]
    fn an_unknown_word_for_the_runtimes_burst_is_named() {
        assert_eq!(RuntimeBurst::from_key(Some("literal")).unwrap(), RuntimeBurst::Literal);
        assert_eq!(RuntimeBurst::from_key(None).unwrap(), RuntimeBurst::Replace);
        let error = RuntimeBurst::from_key(Some("honest")).unwrap_err().to_string();
        for part in ["runtimeBurst", "honest", "replace", "literal"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
