//! The command line of `weir limit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use limits::burst_bits;
use node::Desired;

use crate::error::Error;

#[derive(Args)]
pub(crate) struct Options {
    /// A pod as NAMESPACE/NAME, a container ID (or its beginning), or a host interface; all limited pods when absent.
    target: Option<String>,
    /// Limit of what the pod receives in bits per second, such as 10M; none removes it.
    #[arg(long, value_name = "RATE|none", value_parser = rate)]
    ingress: Option<Rate>,
    /// Limit of what the pod sends in bits per second, such as 10M; none removes it.
    #[arg(long, value_name = "RATE|none", value_parser = rate)]
    egress: Option<Rate>,
    /// Bits that the pod may receive at once after a pause; weir chooses when absent.
    #[arg(long, value_name = "BITS", value_parser = burst_bits, requires = "ingress")]
    ingress_burst: Option<u64>,
    /// Bits that the pod may send at once after a pause; weir chooses when absent.
    #[arg(long, value_name = "BITS", value_parser = burst_bits, requires = "egress")]
    egress_burst: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write metrics for the node exporter's textfile collector; FILE should end in .prom, - is standard output.
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Show the limits again at this interval (1 second), and at once when an interface comes, goes or changes.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = watch)]
    watch: Option<Watch>,
}

/// The word after `--watch`. Its value is optional, so the word may be the target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watch {
    Every(Duration),
    Target(String),
}

/// The value of `--ingress` or `--egress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    /// No limit.
    None,
    /// Bits per second.
    Bits(u64),
}

impl Options {
    /// Returns the target; none for all limited pods.
    ///
    /// # Errors
    /// When two are named.
    pub fn target(&self) -> Result<Option<&str>, Error> {
        match (&self.watch, &self.target) {
            (Some(Watch::Target(first)), Some(second)) => Err(Error::Other(format!(
                "two pods are named, {first:?} and {second:?}; name one, and the seconds as --watch=SECONDS"
            ))),
            (Some(Watch::Target(target)), None) => Ok(Some(target)),
            (_, target) => Ok(target.as_deref()),
        }
    }

    /// Returns the interval of `--watch`.
    pub fn watch(&self) -> Option<Duration> {
        self.watch.as_ref().map(|watch| match watch {
            Watch::Every(period) => *period,
            Watch::Target(_) => Duration::from_secs(1),
        })
    }

    /// Tells whether a limit is to be changed, not only shown.
    pub fn changes_something(&self) -> bool {
        self.ingress.is_some() || self.egress.is_some()
    }

    /// Returns the changes of what the pod receives, and of what it sends.
    ///
    /// # Errors
    /// When a burst is given for a limit that is removed.
    pub fn changes(&self) -> Result<[Desired; 2], Error> {
        Ok([
            change("--ingress", self.ingress, self.ingress_burst)?,
            change("--egress", self.egress, self.egress_burst)?,
        ])
    }
}

fn change(option: &str, rate: Option<Rate>, burst_bits: Option<u64>) -> Result<Desired, Error> {
    match (rate, burst_bits) {
        (None, _) => Ok(Desired::Unchanged),
        (Some(Rate::None), None) => Ok(Desired::Unlimited),
        (Some(Rate::None), Some(_)) => {
            Err(Error::Other(format!("{option}: none has no burst; leave {option}-burst out")))
        }
        (Some(Rate::Bits(rate_bits_per_sec)), burst_bits) => {
            Ok(Desired::Limit { rate_bits_per_sec, burst_bits })
        }
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate::None);
    }
    limits::rate(text).map(Rate::Bits).map_err(|error| format!("{error}, or none"))
}

/// A number of seconds, or else a target. Eight digits or more are a container ID: they are too many for seconds.
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
    fn the_word_after_watch_is_an_interval_or_the_target() {
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
