//! The text of a reservation: the holder of its address.

use std::fmt;

/// Separates container ID and interface.
const LINE_BREAK: &str = "\r\n";

/// The holder that a reservation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An interface of a container.
    Attachment {
        /// The container's ID.
        container_id: String,
        /// The interface's name.
        interface: String,
    },
    /// A container, in the format from before reservations named the interface. It holds the address for every
    /// interface of the container.
    Container {
        /// The container's ID.
        container_id: String,
    },
    /// A text that is not in the reference's format.
    Unknown,
    /// None: the file is empty, or (after a power loss) all zeros, because its ADD did not end. It reserves nothing.
    Empty,
}

impl Holder {
    /// Returns the holder of an attachment's addresses.
    pub fn attachment(container_id: &str, interface: &str) -> Self {
        Self::Attachment { container_id: container_id.to_owned(), interface: interface.to_owned() }
    }

    /// Parses a reservation's text. White space around it is ignored, as in the reference.
    pub fn parse(text: &[u8]) -> Self {
        if text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) {
            return Self::Empty;
        }
        let Ok(text) = std::str::from_utf8(text) else { return Self::Unknown };
        let text = text.trim();
        let (container_id, interface) =
            text.split_once(LINE_BREAK).map_or((text, None), |(id, interface)| (id, Some(interface)));
        if !is_container_id(container_id) {
            return Self::Unknown;
        }
        match interface {
            Some(interface) => Self::attachment(container_id, interface),
            None => Self::Container { container_id: container_id.to_owned() },
        }
    }

    /// Returns the text of an attachment's reservation, without a line break at the end.
    pub(crate) fn text(container_id: &str, interface: &str) -> String {
        format!("{container_id}{LINE_BREAK}{interface}")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachment { container_id, interface } => {
                write!(f, "{interface} of container {container_id}")
            }
            Self::Container { container_id } => write!(f, "container {container_id}"),
            Self::Unknown => f.write_str("an unrecognised owner"),
            Self::Empty => f.write_str("no container"),
        }
    }
}

/// Specification 1.1.0, section 2, "Parameters": a letter or digit, then letters, digits, `_`, `.`, `-`.
fn is_container_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reservation_reads_back() {
        assert_eq!(Holder::text("c1", "eth0"), "c1\r\neth0");
        assert_eq!(Holder::parse(b"c1\r\neth0"), Holder::attachment("c1", "eth0"));
        assert_eq!(Holder::parse(b" c1\r\neth0\n"), Holder::attachment("c1", "eth0"));
    }

    #[test]
    fn an_old_reservation_is_the_containers() {
        let old = Holder::Container { container_id: "c1".to_owned() };
        assert_eq!(Holder::parse(b"c1"), old);
        assert_eq!(Holder::parse(b"c1\r\n"), old);
    }

    #[test]
    fn an_empty_or_zeroed_file_has_no_holder() {
        for text in [&b""[..], b"\r\n", b"\0\0\0\0\0\0\0\0"] {
            assert_eq!(Holder::parse(text), Holder::Empty);
        }
    }

    #[test]
    fn a_text_without_a_valid_container_id_has_an_unknown_holder() {
        for text in [&b"kept for the printer"[..], b"c1\neth0", b"\xff\xfe", b"c1\0\0"] {
            assert_eq!(Holder::parse(text), Holder::Unknown);
        }
    }

    proptest! {
        #[test]
        fn every_attachment_reads_back(id in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,80}", interface in "[a-z0-9.@-]{1,15}") {
            let text = Holder::text(&id, &interface);
            prop_assert_eq!(Holder::parse(text.as_bytes()), Holder::attachment(&id, &interface));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = Holder::parse(&bytes);
        }
    }
}
