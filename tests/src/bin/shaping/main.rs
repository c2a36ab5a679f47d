//! Measures how exact the limits of `bandwidth` are: what arrives, in the first second and over all of them,
//! and how long a ping takes beside it.
//!
//! Prints Markdown tables, as they stand in `docs/shaping.md`, and at the end what is promised beside what was
//! measured. Pods are made by the plugins' executables with what a runtime sends; the load is iperf3's, read
//! at the receiver.

mod attached;
mod bar;
mod case;
mod load;
mod machine;
mod measure;
mod options;
mod outcome;
mod patience;
mod ping;
mod tables;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!("measure-shaping: {complaint}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    tables::print(&options);
    ExitCode::SUCCESS
}
