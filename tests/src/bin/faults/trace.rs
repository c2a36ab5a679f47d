//! The system calls of a call that nothing disturbs, and the faults that can happen at each of them.

use std::collections::BTreeMap;

use crate::errnos;
use crate::row::{Row, Variant, Verb};

/// An event at one of the plugin's system calls.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The system call's name.
    pub call: String,
    /// Which one of this name, from 1.
    pub number: usize,
    pub kind: Kind,
    /// The system call as it was when nothing disturbed it, as `strace` shows it.
    pub shown: String,
}

/// The kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The plugin is killed in place of it.
    Killed,
    /// It is not carried out and answers with this error.
    Refused(&'static str),
    /// The plugin does not go on after it before a GC has run, or an ADD.
    Paused,
}

impl Fault {
    /// The option for `strace`.
    pub fn injection(&self) -> String {
        let Self { call, number, .. } = self;
        match self.kind {
            Kind::Killed => format!("inject={call}:signal=SIGKILL:when={number}"),
            Kind::Refused(errno) => format!("inject={call}:error={errno}:when={number}"),
            Kind::Paused => format!("inject={call}:signal=SIGSTOP:when={number}"),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { call, number, shown, .. } = self;
        match self.kind {
            Kind::Killed => write!(f, "killed before {call} {number}: {shown}"),
            Kind::Refused(errno) => write!(f, "{errno} from {call} {number}: {shown}"),
            Kind::Paused => write!(f, "stopped after {call} {number}: {shown}"),
        }
    }
}

/// The system calls in a trace, and the faults of each.
pub struct Trace {
    pub calls: usize,
    pub faults: Vec<Fault>,
}

impl Trace {
    /// Reads what `strace` wrote of a process without threads.
    pub fn read(text: &str, row: Row) -> Self {
        let paused = row.variant == Variant::Beside;
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut trace = Self { calls: 0, faults: Vec::new() };
        for line in text.lines() {
            let Some((name, _)) = line.split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            trace.calls += 1;
            let number = numbers.entry(name).or_default();
            *number += 1;
            // Until then, it is `strace`'s child.
            if name == "execve" {
                continue;
            }
            let errors = errnos::of(name).iter().map(|errno| Kind::Refused(errno));
            let kinds: Vec<_> = if paused {
                vec![Kind::Paused]
            } else {
                std::iter::once(Kind::Killed).chain(errors).collect()
            };
            trace.faults.extend(kinds.into_iter().map(|kind| Fault {
                call: name.to_owned(),
                number: *number,
                kind,
                shown: shortened(line),
            }));
        }
        if paused && row.verb == Verb::Add {
            // The last request says that the attachment is finished: from then on it is for the runtime to know of it.
            let last = trace.faults.iter().rposition(|fault| fault.call == "sendto");
            trace.faults.truncate(last.unwrap_or_default());
        }
        trace
    }
}

/// The beginning of a call, and for netlink its first message's type.
fn shortened(line: &str) -> String {
    match line.split_once("nlmsg_type=") {
        Some((start, rest)) if !rest.starts_with("NFNL_MSG_BATCH_BEGIN") => {
            format!(
                "{}{}",
                start.chars().take(12).collect::<String>(),
                rest.split(',').next().unwrap_or_default()
            )
        }
        Some((_, rest)) => {
            let second = rest.split("nlmsg_type=").nth(1).unwrap_or_default();
            format!("nf_tables {}", second.split(',').next().unwrap_or_default())
        }
        None => line.chars().take(90).collect(),
    }
}
