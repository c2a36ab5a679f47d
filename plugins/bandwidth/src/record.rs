//! What a live change leaves behind, in the alias of the host's end: so that a check compares with it instead of
//! the config, and so that a pair that another plugin made says whose it is.
//!
//! The alias of a pair that weir's own `bridge` made gets notes: `ingress=10000000/400000 egress=none`, in bits
//! per second and bits, without a burst when nobody chose one, with `:all` where the config's exempt subnets were
//! not known and nothing is exempt. An empty alias, as other main plugins leave it,
//! gets the same text under another signature, `weir-shaped`: by that nobody takes the pair for one that weir
//! made and may delete. An alias that somebody else wrote stays as it is; then the notes go into the alias of
//! the attachment's ifb.

use attachment::SHAPED;
use cni::Attachment;
use limits::{Burst, Direction, Limit};
use linux::{Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::ifb;

/// What a link says that weir made.
const MADE: &str = "weir ";
const NONE: &str = "none";
const ALL: &str = ":all";
const POD: &str = " pod=";

/// What was set for the directions; `None` where the config counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub ingress: Option<Recorded>,
    pub egress: Option<Recorded>,
}

/// What was set for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// `None` when the limit was removed.
    pub limit: Option<Limit>,
    /// Whether everything is limited, for nobody knew what the config exempts.
    pub everything: bool,
}

impl Record {
    pub fn of(&self, direction: Direction) -> Option<Recorded> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    pub fn set(&mut self, direction: Direction, recorded: Recorded) {
        *match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        } = Some(recorded);
    }

    /// Reads the notes of an alias; of a text of somebody else, nothing.
    fn parse(alias: &str) -> Self {
        let mut record = Self::default();
        if !is_ours(alias) {
            return record;
        }
        for (key, value) in notes(alias).split(' ').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ingress" => record.ingress = Recorded::parse(value),
                "egress" => record.egress = Recorded::parse(value),
                _ => {}
            }
        }
        record
    }

    fn notes(&self) -> String {
        [("ingress", self.ingress), ("egress", self.egress)]
            .into_iter()
            .filter_map(|(key, recorded)| Some(format!("{key}={}", recorded?.text())))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Recorded {
    fn parse(text: &str) -> Option<Self> {
        let (text, everything) = text.strip_suffix(ALL).map_or((text, false), |limit| (limit, true));
        if text == NONE {
            return Some(Self { limit: None, everything });
        }
        let (rate, burst) = match text.split_once('/') {
            Some((rate, bits)) => (rate, Burst::Chosen { bits: bits.parse().ok()? }),
            None => (text, Burst::NotChosen),
        };
        Some(Self { limit: Some(Limit { rate_bits_per_sec: rate.parse().ok()?, burst }), everything })
    }

    fn text(self) -> String {
        let limit = match self.limit {
            None => NONE.to_owned(),
            Some(Limit { rate_bits_per_sec, burst: Burst::NotChosen }) => rate_bits_per_sec.to_string(),
            Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } }) => {
                format!("{rate_bits_per_sec}/{bits}")
            }
        };
        if self.everything { limit + ALL } else { limit }
    }
}

/// The notes, which stand before the pod's name: text that a user chooses comes after them.
pub(crate) fn notes(alias: &str) -> &str {
    alias.split_once(POD).map_or(alias, |(notes, _)| notes)
}

fn is_ours(alias: &str) -> bool {
    alias.starts_with(MADE) || alias.starts_with(SHAPED)
}

/// Whether only weir's own shaping, and nobody else, has written the alias.
pub(crate) fn is_only_shaped(link: &Link) -> bool {
    link.alias.as_deref().is_some_and(|alias| alias.starts_with(SHAPED))
}

/// What was recorded for an attachment: at the host's end, or else at one of its ifbs.
pub(crate) fn read(host_end: &Link, ifbs: &[&Link]) -> Record {
    let records = |link: &Link| link.alias.as_deref().map(Record::parse).unwrap_or_default();
    std::iter::once(host_end)
        .chain(ifbs.iter().copied())
        .map(records)
        .find(|record| *record != Record::default())
        .unwrap_or_default()
}

/// Whether the alias of the host's end may hold the record.
pub(crate) fn has_room(host_end: &Link) -> bool {
    host_end.alias.as_deref().is_none_or(|alias| alias.is_empty() || is_ours(alias))
}

/// Writes the record into the alias of the host's end, or of `ifb` where that is somebody else's text.
///
/// # Errors
/// As [`alias`]; what the kernel says.
pub(crate) fn write(
    host: &mut Rtnetlink,
    host_end: &Link,
    ifb: Option<(&Link, Direction)>,
    attachment: Option<&Attachment>,
    record: &Record,
) -> Result<()> {
    let alias = alias(host_end, ifb.map(|(_, direction)| direction), attachment, record)?;
    let link = ifb.map(|(ifb, _)| ifb).filter(|_| !has_room(host_end)).unwrap_or(host_end);
    Ok(host.set_alias(link.index, &alias)?)
}

/// The alias that holds the record: that of the host's end, or of the `ifb` for this direction where that is
/// somebody else's text.
///
/// # Errors
/// [`Error::RecordTooLong`]; no ifb where the host's end has somebody else's alias.
pub(crate) fn alias(
    host_end: &Link,
    ifb: Option<Direction>,
    attachment: Option<&Attachment>,
    record: &Record,
) -> Result<String> {
    let notes = record.notes();
    let alias = if has_room(host_end) {
        let made = host_end.alias.as_deref().is_some_and(|alias| alias.starts_with(MADE));
        text(if made { MADE } else { SHAPED }, attachment, &notes)
    } else {
        let direction = ifb.ok_or_else(|| {
            let (name, alias) = (&host_end.name, host_end.alias.as_deref().unwrap_or_default());
            Error::internal(format!(
                "cannot record a change of {name}: its alias is {alias:?}, where there is no room for it, and there is no \
                 ifb device; remove that alias first"
            ))
        })?;
        let notes = format!("{} {notes}", ifb::note(host_end, direction)).trim().to_owned();
        text(if attachment.is_some() { MADE } else { SHAPED }, attachment, &notes)
    };
    // The kernel would cut it off, and the last number would be another one.
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
    fitted(format!("{signature}{}", rest.strip_prefix(MADE).unwrap_or(&rest)))
}

/// Of a pod's name for which there is no room only the beginning stays.
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

/// Lets the host's end of a fresh attachment say whose it is, unless it says something already; what an earlier
/// attachment recorded is void.
///
/// # Errors
/// What the kernel says.
pub(crate) fn identify(host: &mut Rtnetlink, host_end: &Link, attachment: &Attachment) -> Result<()> {
    let is_fresh = host_end.alias.as_deref().is_none_or(str::is_empty);
    if is_fresh || read(host_end, &[]) != Record::default() {
        write(host, host_end, None, Some(attachment), &Record::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for signature in [MADE, SHAPED] {
            assert_eq!(Record::parse(&text(signature, Some(&web()), &notes)), recorded());
        }
        for text in ["64000", "64000:all", "64000/8000:all", "none:all"] {
            assert_eq!(Recorded::parse(text).unwrap().text(), text);
        }
        assert_eq!(Record::parse("uplink ingress=none"), Record::default());
        assert_eq!(Record::parse("weir container=c ingress=x egress=5/y"), Record::default());
    }

    #[test]
    fn no_name_is_read_as_a_record_or_a_direction() {
        for name in ["y ingress=none", "y direction=ingress", "ingress=none", "x pod=z egress=8/8"] {
            let odd = Attachment { interface: "egress=1".into(), pod: Some(format!("shop/{name}")), ..web() };
            for alias in
                [text(MADE, Some(&odd), ""), text(SHAPED, Some(&odd), ""), format!("{SHAPED} pod={name}")]
            {
                assert_eq!(Record::parse(&alias), Record::default(), "{alias}");
                assert!(!notes(&alias).contains("direction"), "{alias}");
            }
            let alias = text(SHAPED, Some(&odd), &recorded().notes());
            assert_eq!(Record::parse(&alias), recorded(), "{alias}");
        }
    }

    #[test]
    fn of_a_long_pod_name_there_stays_what_there_is_room_for() {
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
            let alias = text(MADE, Some(&again), &notes);
            let read = Attachment::parse(&alias).unwrap().pod.unwrap();
            assert!(cut.starts_with(read.trim_end_matches('…')) && read.ends_with('…'), "{alias}");
        }
    }

    #[test]
    fn a_pair_that_weir_only_shaped_is_never_taken_for_one_that_it_made() {
        let alias = text(SHAPED, Some(&web()), &recorded().notes());
        assert_eq!(Attachment::parse(&alias), None);
        assert!(!web().is_named_by(&alias));
    }
}
