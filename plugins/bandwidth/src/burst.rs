//! Bursts that somebody chose, and those that only say that nobody did.

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
    pub fn from_bits(bits: u64) -> Self {
        if NOT_CHOSEN.iter().any(|(sentinel, _)| *sentinel == bits) {
            Self::NotChosen
        } else {
            Self::Chosen { bits }
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
            assert_eq!(Burst::from_bits(bits), Burst::NotChosen, "{bits}");
        }
        for bits in [1, 1_000_000, u32_max - 1, u32_max + 1, u64::MAX] {
            assert_eq!(Burst::from_bits(bits), Burst::Chosen { bits });
        }
    }
}
