//! Bursts that somebody chose, and those that only say that nobody did.

use crate::error::{Error, Result};

/// What a runtime sends as burst, in bits, when a pod's annotations name a rate: Kubernetes has no annotation
/// for a burst, so each runtime fills in its largest number.
const NOT_CHOSEN: [(u64, &str); 3] = [
    (2_147_483_647, "cri-dockerd, and dockershim before it"),
    (4_294_967_295, "containerd"),
    (34_359_738_359, "CRI-O"),
];

/// How much may pass at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Burst {
    /// Somebody wrote it down: it is taken as given, as far as the kernel can hold it.
    Chosen {
        /// At least 1.
        bits: u64,
    },
    /// Nobody did: `shaping` chooses. Taken literally, these numbers are 43 s of a limit of
    /// 100 Mbit/s, and an hour of one of 1 Mbit/s.
    NotChosen,
}

impl Burst {
    /// Reads what stands in a config.
    pub fn from_bits(bits: u64, runtime_burst: RuntimeBurst) -> Self {
        let stands_for_nothing = NOT_CHOSEN.iter().any(|(sentinel, _)| *sentinel == bits);
        if stands_for_nothing && runtime_burst == RuntimeBurst::Replace {
            Self::NotChosen
        } else {
            Self::Chosen { bits }
        }
    }

    pub fn is_unchosen(self) -> bool {
        self == Self::NotChosen
    }
}

/// The key `runtimeBurst`: what becomes of the numbers by which a runtime says that nobody chose a burst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RuntimeBurst {
    /// `"replace"`: they are not taken for bursts.
    #[default]
    Replace,
    /// `"literal"`: they are bursts like any other, as the reference has it.
    Literal,
}

impl RuntimeBurst {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for any other word.
    pub fn from_key(value: Option<&str>) -> Result<Self> {
        match value {
            None | Some("replace") => Ok(Self::Replace),
            Some("literal") => Ok(Self::Literal),
            Some(other) => Err(Error::InvalidKey {
                key: "runtimeBurst".to_owned(),
                value: format!("{other:?}"),
                allowed: "\"replace\" (the default) or \"literal\"".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_runtime_sends_by_default_counts_as_not_chosen() {
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
