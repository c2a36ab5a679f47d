//! The command line of `weir limit`.

use std::path::PathBuf;
use std::time::Duration;

use bandwidth::Change;
use clap::Args;
use limits::burst_bits;

use super::error::Error;

#[derive(Args)]
pub(crate) struct Options {
    /// A pod as NAMESPACE/NAME, a container ID (or its beginning), or an interface of the host; every limited
    /// pod when absent.
    target: Option<String>,
    /// Limit what goes to the pod, in bits per second, such as 10M; none removes the limit.
    #[arg(long, value_name = "RATE|none", value_parser = rate)]
    pub ingress: Option<Rate>,
    /// Limit what comes from the pod, in bits per second, such as 10M; none removes the limit.
    #[arg(long, value_name = "RATE|none", value_parser = rate)]
    pub egress: Option<Rate>,
    /// How many bits may go to the pod at once after a pause; weir chooses when absent.
    #[arg(long, value_name = "BITS", value_parser = burst_bits, requires = "ingress")]
    pub ingress_burst: Option<u64>,
    /// How many bits may come from the pod at once after a pause; weir chooses when absent.
    #[arg(long, value_name = "BITS", value_parser = burst_bits, requires = "egress")]
    pub egress_burst: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the numbers for the node exporter's textfile collector; FILE should end in .prom.
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Look again every so many seconds (1), and at once when an interface comes, goes or changes.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = watch)]
    watch: Option<Watch>,
}

/// The word after `--watch`: its value is optional, so the next word may be the target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watch {
    Every(Duration),
    Target(String),
}

/// A rate on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// No limit.
    None,
    /// Bits per second.
    Bits(u64),
}

impl Options {
    /// Which pod is meant; none for every limited one.
    ///
    /// # Errors
    /// [`Error::TwoTargets`].
    pub fn target(&self) -> Result<Option<&str>, Error> {
        match (&self.watch, &self.target) {
            (Some(Watch::Target(first)), Some(second)) => {
                Err(Error::TwoTargets { first: first.clone(), second: second.clone() })
            }
            (Some(Watch::Target(target)), None) => Ok(Some(target)),
            (_, target) => Ok(target.as_deref()),
        }
    }

    /// How often to look again; none for a single look.
    pub fn watch(&self) -> Option<Duration> {
        self.watch.as_ref().map(|watch| match watch {
            Watch::Every(period) => *period,
            Watch::Target(_) => Duration::from_secs(1),
        })
    }

    /// Whether a limit is to be changed, not only shown.
    pub fn changes_something(&self) -> bool {
        self.ingress.is_some() || self.egress.is_some()
    }

    /// What is to become of what goes to the pod, and of what comes from it.
    pub fn changes(&self) -> [Change; 2] {
        [(self.ingress, self.ingress_burst), (self.egress, self.egress_burst)].map(|(rate, burst_bits)| {
            match rate {
                None => Change::Keep,
                Some(Rate::None) => Change::Remove,
                Some(Rate::Bits(rate_bits_per_sec)) => Change::Set { rate_bits_per_sec, burst_bits },
            }
        })
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate::None);
    }
    limits::rate(text).map(Rate::Bits).map_err(|error| format!("{error}, or none"))
}

/// A number of seconds, or else a target. A container ID that consists of digits only is too large for a number of
/// seconds: eight digits are the fewest that name a container.
fn watch(text: &str) -> Result<Watch, String> {
    const LONGEST: Duration = Duration::from_hours(24);
    const DIGITS_OF_AN_ID: usize = 8;
    let Ok(seconds) = text.parse::<f64>() else { return Ok(Watch::Target(text.to_owned())) };
    if text.len() >= DIGITS_OF_AN_ID && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Watch::Target(text.to_owned()));
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(period) if (Duration::from_millis(100)..=LONGEST).contains(&period) => Ok(Watch::Every(period)),
        _ => Err("want between 0.1 and 86400 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_quantity_between_1k_and_1p_or_none() {
        assert_eq!(rate("10M"), Ok(Rate::Bits(10_000_000)));
        assert_eq!(rate("1Gi"), Ok(Rate::Bits(1 << 30)));
        assert_eq!(rate("none"), Ok(Rate::None));
        for text in ["", "0", "999", "2P", "-1M", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_follows_watch_is_a_period_or_the_target() {
        assert_eq!(watch("0.5"), Ok(Watch::Every(Duration::from_millis(500))));
        assert_eq!(watch("86400"), Ok(Watch::Every(Duration::from_secs(86_400))));
        for text in ["0", "-1", "nan", "0.01", "86401"] {
            assert!(watch(text).is_err(), "{text}");
        }
        for text in ["shop/web-0", "veth1", "12345678", "8f2b1cd37a6e5"] {
            assert_eq!(watch(text), Ok(Watch::Target(text.to_owned())));
        }
    }
}
