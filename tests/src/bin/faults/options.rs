//! The command line.

use std::time::Duration;

/// Printed after a mistake in the options.
pub const USAGE: &str = "\
usage: scripts/faults [--every N] [--from N] [--seconds N] [--jobs N] [--width N] [WORDS]
  --every    tries only each Nth fault
  --from     which of the first N is tried first, from 1
  --seconds  ends after about so long, whatever has been tried
  --jobs     how many nodes are used at once; otherwise one for each processor
  --width    how much is shown of what is left, in characters
  WORDS      only lines of the table that contain them, such as 'ADD bridge'";

/// The rows and faults to try.
pub struct Options {
    pub every: usize,
    pub from: usize,
    pub time: Option<Duration>,
    pub jobs: usize,
    pub width: usize,
    words: Option<String>,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The mistake in them, as a sentence.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self { every: 1, from: 1, time: None, jobs, width: 160, words: None };
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
                value.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{argument} {value}"))
            };
            match argument.as_str() {
                "--every" => options.every = number()?,
                "--from" => options.from = number()?,
                "--seconds" => {
                    let seconds = u64::try_from(number()?).map_err(|error| error.to_string())?;
                    options.time = Some(Duration::from_secs(seconds));
                }
                "--jobs" => options.jobs = number()?,
                "--width" => options.width = number()?,
                _ if argument.starts_with('-') => return Err(format!("unknown option {argument}")),
                _ => options.words = Some(argument),
            }
        }
        Ok(options)
    }

    /// Returns whether a line of the table was asked for.
    pub fn wants(&self, row: &str) -> bool {
        self.words.as_ref().is_none_or(|words| row.contains(words))
    }
}
