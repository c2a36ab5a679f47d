//! The command line.

use crate::case::Rate;

/// The help that is printed with a mistake.
pub const USAGE: &str = "\
usage: scripts/measure-shaping [--quick] [--seconds N] [--rates 64k,10M,1G] [--tables bar,loads,routed,slow,reference] [--runs N]
  --quick    three rates, three seconds, one run, the tables bar, slow and reference: whether it works at all
  --seconds  how long each run takes; what is promised is about ten
  --rates    bits per second, with the suffix k, M or G
  --tables   which tables to make
  --runs     how often the cases are run of which something is promised";

/// The tables to measure.
pub struct Options {
    pub seconds: u32,
    pub rates: Vec<Rate>,
    pub tables: Vec<String>,
    /// Of each case of which something is promised; of the others it is one.
    pub runs: u32,
}

const RATES: &str = "1k,64k,1M,10M,100M,1G,5G,40G";
const TABLES: &str = "bar,loads,routed,slow,reference";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The mistake, as a sentence.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seconds: 10, rates: rates(RATES)?, tables: words(TABLES), runs: 3 };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => {
                    options = Self {
                        seconds: 3,
                        rates: rates("64k,10M,1G")?,
                        tables: words("bar,slow,reference"),
                        runs: 1,
                    };
                }
                "--seconds" => options.seconds = number(&value()?)?,
                "--runs" => options.runs = number(&value()?)?,
                "--rates" => options.rates = rates(&value()?)?,
                "--tables" => options.tables = tables(&value()?)?,
                _ => return Err(format!("there is no option {argument}")),
            }
        }
        Ok(options)
    }

    /// Returns whether this table was asked for.
    pub fn wants(&self, table: &str) -> bool {
        self.tables.iter().any(|wanted| wanted == table)
    }

    /// Those of the rates that are within bounds, in bits per second.
    pub fn rates_from(&self, least: u64, most: u64) -> impl Iterator<Item = Rate> + '_ {
        self.rates.iter().copied().filter(move |rate| (least..=most).contains(&rate.0))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text} is no number above 0")),
    }
}

fn rates(text: &str) -> Result<Vec<Rate>, String> {
    text.split(',').map(str::parse).collect()
}

fn tables(text: &str) -> Result<Vec<String>, String> {
    let known = words(TABLES);
    let wanted = words(text);
    match wanted.iter().find(|table| !known.contains(table)) {
        Some(table) => Err(format!("there is no table {table}, but {TABLES}")),
        None => Ok(wanted),
    }
}
