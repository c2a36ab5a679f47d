//! ADD: remember what is there, then change it.

use std::cell::RefCell;

use attachment::Result;
use cni::{AddResult, Failure, Request, collected};

use crate::config;
use crate::record::{Record, RecordFile};
use crate::target::Target;
use crate::tuning::Tuning;

thread_local! {
    /// How to take back the last ADD of this process, which serves one call.
    static LAST: RefCell<Option<Undo>> = const { RefCell::new(None) };
}

/// Changes the interface and its namespace, or nothing.
///
/// The record stands before anything is changed, so that DEL finds what a killed ADD has changed. It keeps the values from
/// before the first ADD, also when two plugins of one chain or a repeated ADD change the same.
pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let wanted = config::wanted(request)?;
    let mut result = request.prev_result.clone().ok_or_else(Failure::not_chained)?;
    if wanted == Tuning::default() {
        return Ok(result);
    }
    let mut target = Target::open(request)?;
    let before = target.current(request, &wanted)?;
    let file = RecordFile::of(request);
    let mut record = target.record(request, before.clone());
    let former = former(&file).filter(|former| former.is_of_same_interface(&record));
    if let Some(former) = &former {
        record.before = former.before.clone().or(record.before);
    }
    file.write(&record)?;
    let refused = target.apply(&wanted);
    let undo = Undo { target, before, file, former };
    if let Some(refused) = refused.into_iter().next() {
        for error in undo.run() {
            cni::note(format_args!("tuning: while taking back a failed ADD: {error}"));
        }
        return Err(refused.into());
    }
    LAST.set(Some(undo));
    update(&mut result, request.interface(), &wanted);
    Ok(result)
}

/// Takes back the ADD that this process has just served.
pub(crate) fn undo_last() -> Result<()> {
    let errors = LAST.take().map(Undo::run).unwrap_or_default();
    Ok(collected(errors)?)
}

/// The state before an ADD.
struct Undo {
    target: Target,
    before: Tuning,
    file: RecordFile,
    former: Option<Record>,
}

impl Undo {
    /// Restores it, and returns what could not be restored. Then the record stays, for DEL.
    fn run(mut self) -> Vec<Failure> {
        let refreshed = self.target.refresh();
        let mut errors: Vec<_> = refreshed.err().map(Failure::from).into_iter().collect();
        errors.extend(self.target.restore(&self.before));
        if errors.is_empty() {
            let restored = match &self.former {
                Some(former) => self.file.write(former),
                None => self.file.remove(),
            };
            errors.extend(restored.err().map(Failure::from));
        }
        errors
    }
}

/// Reads the record of an earlier ADD. One that cannot be read is replaced.
fn former(file: &RecordFile) -> Option<Record> {
    Record::read(&file.path()).unwrap_or_else(|error| {
        cni::note(format_args!("tuning: ADD replaces {}: {error}", file.path().display()));
        None
    })
}

/// Writes the interface's hardware address to the result, and its MTU where the plugin before did.
fn update(result: &mut AddResult, interface: &str, wanted: &Tuning) {
    let is_the_pods = |made: &&mut cni::Interface| made.name == interface && !made.sandbox.is_empty();
    for made in result.interfaces.iter_mut().filter(is_the_pods) {
        if let Some(mac) = wanted.mac {
            made.mac = mac.to_string();
        }
        made.mtu = made.mtu.map(|mtu| wanted.mtu.unwrap_or(mtu));
    }
}
