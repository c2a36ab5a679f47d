//! DEL: restore what was there before ADD, as the record has it.

use attachment::Result;
use cni::{Request, collected};

use crate::record::{Record, RecordFile};
use crate::target::Target;

/// Restores what the record has, and removes it. Reads nothing of the config but `dataDir`. The record stays after an error,
/// for the next DEL.
pub(crate) fn del(request: &Request) -> Result<()> {
    let file = RecordFile::of(request);
    let record = match Record::read(&file.path()) {
        Ok(Some(record)) => record,
        Ok(None) => return file.remove(),
        Err(error) => {
            cni::note(format_args!("tuning: DEL restores nothing: {}: {error}", file.path().display()));
            return file.remove();
        }
    };
    // Of another container and interface whose names join to the same: `a_b` and `c`, `a` and `b_c`.
    if record.attachment().is_some_and(|owner| !owner.is_same(&request.attachment())) {
        return Ok(());
    }
    if let Some(mut target) = Target::find(request, &record)? {
        collected(target.restore(&record.before))?;
    }
    file.remove()
}
