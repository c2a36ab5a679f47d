//! Looking again and again: every period, and at once when an interface comes, goes or changes.
//!
//! Not at each event of traffic control: the kernel announces a qdisc also when somebody only asks for it, and
//! a look asks.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use rtnetlink::MulticastGroup;
use rtnetlink::new_multicast_connection;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::error::Error;

/// Clears a terminal and puts the cursor at its top (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";
/// Several events of one change are one look.
const SETTLE: Duration = Duration::from_millis(50);

/// Prints what `look` sees until a signal comes or nobody reads any more. On a terminal each look replaces
/// the one before; in a pipe they follow each other, separated by an empty line.
pub(crate) fn watch(period: Duration, look: impl Fn() -> Result<String, Error>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Watch)?;
    runtime.block_on(repeat(period, look))
}

async fn repeat(period: Duration, look: impl Fn() -> Result<String, Error>) -> Result<(), Error> {
    let (connection, _handle, mut events) =
        new_multicast_connection(&[MulticastGroup::Link]).map_err(Error::Watch)?;
    tokio::spawn(connection);
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Error::Watch)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Watch)?;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(_) = events.recv() => {
                tokio::time::sleep(SETTLE).await;
                while events.try_recv().is_ok() {}
            }
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
        }
        let text = look()?;
        match show(&text, first) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            shown => shown.map_err(Error::Watch)?,
        }
        first = false;
    }
}

fn show(text: &str, first: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        stdout.write_all(CLEAR.as_bytes())?;
    } else if !first {
        stdout.write_all(b"\n")?;
    }
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
