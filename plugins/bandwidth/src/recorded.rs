//! The limits that a live change set, as the notes of an alias: `ingress=10000000/400000 egress=none`.
//!
//! Bits per second and bits, without a burst when none was chosen, with `:all` where the config's exempt subnets were not
//! known and nothing is exempt.

use limits::{Burst, Direction, Limit};

const NONE: &str = "none";
const ALL: &str = ":all";

/// What was set for the directions; `None` where the config counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub ingress: Option<Recorded>,
    pub egress: Option<Recorded>,
}

/// What was set for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// `None` when the limit was removed.
    pub limit: Option<Limit>,
    /// Whether everything is limited, as it was not known what the config exempts.
    pub everything: bool,
}

impl Record {
    pub fn of(&self, direction: Direction) -> Option<Recorded> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    pub fn set(&mut self, direction: Direction, recorded: Recorded) {
        *match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        } = Some(recorded);
    }

    /// Reads the notes of an alias.
    pub fn parse(notes: &str) -> Self {
        let mut record = Self::default();
        for (key, value) in notes.split(' ').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ingress" => record.ingress = Recorded::parse(value),
                "egress" => record.egress = Recorded::parse(value),
                _ => {}
            }
        }
        record
    }

    /// Returns the notes that [`Record::parse`] reads.
    pub fn notes(&self) -> String {
        [("ingress", self.ingress), ("egress", self.egress)]
            .into_iter()
            .filter_map(|(key, recorded)| Some(format!("{key}={}", recorded?.text())))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Recorded {
    fn parse(text: &str) -> Option<Self> {
        let (text, everything) = text.strip_suffix(ALL).map_or((text, false), |limit| (limit, true));
        if text == NONE {
            return Some(Self { limit: None, everything });
        }
        let (rate, burst) = match text.split_once('/') {
            Some((rate, bits)) => (rate, Burst::Chosen { bits: bits.parse().ok()? }),
            None => (text, Burst::NotChosen),
        };
        Some(Self { limit: Some(Limit { rate_bits_per_sec: rate.parse().ok()?, burst }), everything })
    }

    fn text(self) -> String {
        let limit = match self.limit {
            None => NONE.to_owned(),
            Some(Limit { rate_bits_per_sec, burst: Burst::NotChosen }) => rate_bits_per_sec.to_string(),
            Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } }) => {
                format!("{rate_bits_per_sec}/{bits}")
            }
        };
        if self.everything { limit + ALL } else { limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        for text in ["64000", "64000:all", "64000/8000:all", "none:all"] {
            assert_eq!(Recorded::parse(text).unwrap().text(), text);
        }
        assert_eq!(Record::parse("ingress=x egress=5/y"), Record::default());
    }
}
