//! `--watch`: showing the limits at an interval, and at once when an interface comes, goes or changes.
//!
//! Events of traffic control are not waited for: the kernel also sends one when a qdisc is only asked for, and each
//! look asks for them.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use linux::{LinkEvents, Wakeup};

use crate::error::Error;

/// Clears a terminal and puts the cursor at its top (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Prints the text of `look` until a signal comes or the reader has gone. On a terminal each text replaces the one
/// before; in a pipe an empty line separates them.
pub(crate) fn watch(period: Duration, look: impl Fn() -> Result<String, Error>) -> Result<(), Error> {
    let mut events = LinkEvents::subscribe()?;
    let mut next = Instant::now() + period;
    let mut is_first = true;
    loop {
        match show(&look()?, is_first) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            shown => shown.map_err(Error::Print)?,
        }
        match events.wait(next)? {
            Wakeup::Signal => return Ok(()),
            Wakeup::LinkChange => {}
            Wakeup::Deadline => next = Instant::now() + period,
        }
        is_first = false;
    }
}

fn show(text: &str, is_first: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        stdout.write_all(CLEAR.as_bytes())?;
    } else if !is_first {
        stdout.write_all(b"\n")?;
    }
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
