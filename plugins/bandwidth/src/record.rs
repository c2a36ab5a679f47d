//! Where a live change leaves its record, so that CHECK compares with it instead of the config: the alias of the host's
//! end, which also names the attachment.
//!
//! The alias of a pair that weir created gets notes. An empty alias, as other main plugins leave it, gets the same text
//! under another signature, `weir-shaped`: the pair is not weir's to delete. An alias that another program wrote stays as
//! it is; then the notes go into the alias of the attachment's ifb.

use attachment::SHAPED;
use cni::Attachment;
use limits::Direction;
use linux::{Change, Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::ifb;
use crate::recorded::Record;

/// How the alias of a link begins that weir created.
const CREATED: &str = "weir ";
const POD: &str = " pod=";

/// Returns the notes of an alias. They stand before the pod's name, which a user chooses.
pub(crate) fn notes(alias: &str) -> &str {
    alias.split_once(POD).map_or(alias, |(notes, _)| notes)
}

fn is_ours(alias: &str) -> bool {
    alias.starts_with(CREATED) || alias.starts_with(SHAPED)
}

/// Whether the alias is only of weir's limits: another plugin created the link.
pub(crate) fn is_only_shaped(link: &Link) -> bool {
    link.alias.as_deref().is_some_and(|alias| alias.starts_with(SHAPED))
}

/// Reads what was recorded for an attachment: at the host's end, or else at one of its ifbs.
pub(crate) fn read(host_end: &Link, ifbs: &[&Link]) -> Record {
    std::iter::once(host_end)
        .chain(ifbs.iter().copied())
        .map(|link| parse(link.alias.as_deref().unwrap_or_default()))
        .find(|record| *record != Record::default())
        .unwrap_or_default()
}

fn parse(alias: &str) -> Record {
    if is_ours(alias) { Record::parse(notes(alias)) } else { Record::default() }
}

/// Whether the alias of the host's end may hold the record.
pub(crate) fn has_room(host_end: &Link) -> bool {
    host_end.alias.as_deref().is_none_or(|alias| alias.is_empty() || is_ours(alias))
}

/// Writes the record into the alias of the host's end, or of `ifb` where that is another program's.
pub(crate) fn write(
    host: &mut Rtnetlink,
    host_end: &Link,
    ifb: Option<(&Link, Direction)>,
    attachment: Option<&Attachment>,
    record: &Record,
) -> Result<()> {
    let alias = alias(host_end, ifb.map(|(_, direction)| direction), attachment, record)?;
    let link = ifb.map(|(ifb, _)| ifb).filter(|_| !has_room(host_end)).unwrap_or(host_end);
    Ok(host.apply(&[Change::set_alias(link.index, &alias)])?)
}

/// Returns the alias that holds the record: that of the host's end, or of the `ifb` for this direction where that is
/// another program's.
///
/// # Errors
/// [`Error::RecordTooLong`]; no ifb where the alias of the host's end is another program's.
pub(crate) fn alias(
    host_end: &Link,
    ifb: Option<Direction>,
    attachment: Option<&Attachment>,
    record: &Record,
) -> Result<String> {
    let notes = record.notes();
    let alias = if has_room(host_end) {
        let created = host_end.alias.as_deref().is_some_and(|alias| alias.starts_with(CREATED));
        text(if created { CREATED } else { SHAPED }, attachment, &notes)
    } else {
        let direction = ifb.ok_or_else(|| {
            let (name, alias) = (&host_end.name, host_end.alias.as_deref().unwrap_or_default());
            Error::internal(format!(
                "cannot record a change of {name}: its alias is {alias:?}, which has no room for it, and there is no \
                 ifb device; remove that alias first"
            ))
        })?;
        let notes = format!("{} {notes}", ifb::note(host_end, direction)).trim().to_owned();
        text(if attachment.is_some() { CREATED } else { SHAPED }, attachment, &notes)
    };
    // The kernel would cut it off, and with it digits of the last number.
    if alias.len() > Attachment::ALIAS_MAX {
        return Err(Error::RecordTooLong(format!(
            "cannot record a change of {}: the alias {alias:?} has {} bytes, and the kernel holds {}; the names of network \
             and container are too long",
            host_end.name,
            alias.len(),
            Attachment::ALIAS_MAX
        )));
    }
    Ok(alias)
}

fn text(signature: &str, attachment: Option<&Attachment>, notes: &str) -> String {
    let rest = match attachment {
        Some(attachment) if notes.is_empty() => attachment.to_string(),
        Some(attachment) => attachment.with_notes(notes),
        None => notes.to_owned(),
    };
    fitted(format!("{signature}{}", rest.strip_prefix(CREATED).unwrap_or(&rest)))
}

/// Shortens a pod's name that has no room.
fn fitted(mut alias: String) -> String {
    if let Some(at) = alias.find(POD).filter(|_| alias.len() > Attachment::ALIAS_MAX) {
        let end = alias.floor_char_boundary(Attachment::ALIAS_MAX - Attachment::CUT.len_utf8());
        // Not in the middle of a character that is escaped byte by byte, such as that of an earlier cut.
        let whole = alias[..end].trim_end_matches(|c: char| c.is_ascii_hexdigit() || c == '%');
        let end = if alias[whole.len()..end].contains('%') { whole.len() } else { end };
        alias.truncate(end.max(at));
        if end > at + POD.len() {
            alias.push(Attachment::CUT);
        } else {
            alias.truncate(at);
        }
    }
    alias
}

/// Writes the attachment's name into the alias of the host's end, unless that has a text already. The record of an earlier
/// attachment is deleted.
pub(crate) fn identify(host: &mut Rtnetlink, host_end: &Link, attachment: &Attachment) -> Result<()> {
    let is_fresh = host_end.alias.as_deref().is_none_or(str::is_empty);
    if is_fresh || read(host_end, &[]) != Record::default() {
        write(host, host_end, None, Some(attachment), &Record::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use limits::{Burst, Limit};

    use super::*;
    use crate::recorded::Recorded;

    fn recorded() -> Record {
        Record {
            ingress: Some(Recorded {
                limit: Some(Limit { rate_bits_per_sec: 10_000_000, burst: Burst::Chosen { bits: 400_000 } }),
                everything: false,
            }),
            egress: Some(Recorded { limit: None, everything: false }),
        }
    }

    fn web() -> Attachment {
        Attachment {
            network: "pods".into(),
            container_id: "c1".into(),
            interface: "eth0".into(),
            pod: Some("shop/web-0".into()),
        }
    }

    #[test]
    fn a_record_reads_back_under_either_signature() {
        let notes = recorded().notes();
        assert_eq!(notes, "ingress=10000000/400000 egress=none");
        for signature in [CREATED, SHAPED] {
            assert_eq!(parse(&text(signature, Some(&web()), &notes)), recorded());
        }
        assert_eq!(parse("uplink ingress=none"), Record::default());
        assert_eq!(parse("weir container=c ingress=x egress=5/y"), Record::default());
    }

    #[test]
    fn no_name_is_read_as_a_record_or_a_direction() {
        for name in ["y ingress=none", "y direction=ingress", "ingress=none", "x pod=z egress=8/8"] {
            let odd = Attachment { interface: "egress=1".into(), pod: Some(format!("shop/{name}")), ..web() };
            for alias in
                [text(CREATED, Some(&odd), ""), text(SHAPED, Some(&odd), ""), format!("{SHAPED} pod={name}")]
            {
                assert_eq!(parse(&alias), Record::default(), "{alias}");
                assert!(!notes(&alias).contains("direction"), "{alias}");
            }
            let alias = text(SHAPED, Some(&odd), &recorded().notes());
            assert_eq!(parse(&alias), recorded(), "{alias}");
        }
    }

    #[test]
    fn a_long_pod_name_is_shortened_to_the_room_that_there_is() {
        let notes = recorded().notes();
        for network in [1, 80, 150, 170] {
            let long = Attachment { network: "n".repeat(network), pod: Some("p".repeat(300)), ..web() };
            let alias = text(SHAPED, Some(&long), &notes);
            assert!(alias.len() <= Attachment::ALIAS_MAX && alias.contains(&notes), "{alias}");
            assert!(alias.contains("pod=p") && alias.ends_with('…'), "{alias}");
        }
        // Cut again, where an earlier cut is.
        for length in 1..150 {
            let cut = format!("shop/{}…", "w".repeat(length));
            let again = Attachment { pod: Some(cut.clone()), container_id: "c".repeat(64), ..web() };
            let alias = text(CREATED, Some(&again), &notes);
            let read = Attachment::parse(&alias).unwrap().pod.unwrap();
            assert!(cut.starts_with(read.trim_end_matches('…')) && read.ends_with('…'), "{alias}");
        }
    }

    #[test]
    fn a_pair_that_weir_only_shaped_is_never_taken_for_one_that_it_created() {
        let alias = text(SHAPED, Some(&web()), &recorded().notes());
        assert_eq!(Attachment::parse(&alias), None);
        assert!(!web().is_named_by(&alias));
    }
}
