//! GC: remove the records of attachments that are gone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use attachment::Result;
use cni::{Failure, Request, ValidAttachment, collected};
use linux::Namespace;

use crate::record::{self, Record, failed};

/// Removes the records of this network's attachments that are not valid and whose namespace or interface is gone: the list
/// cannot name an ADD that is running. The reference's records do not tell their network, and stay until DEL.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let folder = record::folder(request);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| failed("read", &folder, error))?,
    };
    let mut errors: Vec<Failure> = Vec::new();
    for entry in entries {
        let removed = match entry {
            Ok(entry) if entry.file_name().to_str().is_some_and(record::is_name) => {
                collect(&entry.path(), &request.network, &valid)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(failed("read", &folder, error).into()),
        };
        errors.extend(removed.err().map(Failure::from));
    }
    Ok(collected(errors)?)
}

/// Removes the record at `path`, if it is stale.
fn collect(path: &Path, network: &str, valid: &[ValidAttachment]) -> Result<()> {
    let record = match Record::read(path) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(()),
        // Not a regular file, or not a whole record: it does not tell its network.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
            return Ok(());
        }
        Err(error) => return Err(failed("read", path, error).into()),
    };
    let Some(attachment) = record.attachment() else { return Ok(()) };
    if attachment.is_in(network) && !attachment.is_listed(network, valid) && !is_alive(&record)? {
        record::remove(path)?;
    }
    Ok(())
}

/// Tells whether the namespace of ADD is still there, with the record's interface if it has one.
fn is_alive(record: &Record) -> Result<bool> {
    let Some((_, mut rtnetlink)) = Namespace::open_if_alive(&record.netns)? else { return Ok(false) };
    let cookies = record.netns_cookie.zip(rtnetlink.namespace_cookie());
    if cookies.is_some_and(|(recorded, cookie)| recorded != cookie) {
        return Ok(false);
    }
    let Some(index) = record.ifindex else { return Ok(true) };
    Ok(rtnetlink.link_by_index(index)?.is_some())
}
