//! The text of a reservation: whom an address is held for.

use std::fmt;

/// What stands between container ID and interface.
const LINE_BREAK: &str = "\r\n";

/// Whom a reservation's text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An interface of a container.
    Attachment {
        /// The container's ID.
        container_id: String,
        /// The interface's name.
        interface: String,
    },
    /// A container, by a reservation from before there was an interface in it. It holds the address for
    /// every interface of the container.
    Container {
        /// The container's ID.
        container_id: String,
    },
    /// Somebody who does not write as the reference does.
    Stranger,
    /// Nobody: the file is empty, or (after a power loss) nothing but zeros. It is what is left of a
    /// reservation whose ADD did not end, and holds nothing.
    Nobody,
}

impl Holder {
    /// The holder that an attachment is.
    pub fn attachment(container_id: &str, interface: &str) -> Self {
        Self::Attachment { container_id: container_id.to_owned(), interface: interface.to_owned() }
    }

    /// Reads a reservation's text. White space around it does not count, as in the reference.
    pub fn parse(text: &[u8]) -> Self {
        if text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) {
            return Self::Nobody;
        }
        let Ok(text) = std::str::from_utf8(text) else { return Self::Stranger };
        let text = text.trim();
        let (container_id, interface) =
            text.split_once(LINE_BREAK).map_or((text, None), |(id, interface)| (id, Some(interface)));
        if !is_container_id(container_id) {
            return Self::Stranger;
        }
        match interface {
            Some(interface) => Self::attachment(container_id, interface),
            None => Self::Container { container_id: container_id.to_owned() },
        }
    }

    /// The text of a reservation of an attachment; nothing ends it.
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
            Self::Stranger => f.write_str("somebody who does not write as host-local does"),
            Self::Nobody => f.write_str("nobody"),
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
    fn an_empty_or_zeroed_file_is_nobodys() {
        for text in [&b""[..], b"\r\n", b"\0\0\0\0\0\0\0\0"] {
            assert_eq!(Holder::parse(text), Holder::Nobody);
        }
    }

    #[test]
    fn what_is_no_container_id_is_a_strangers() {
        for text in [&b"kept for the printer"[..], b"c1\neth0", b"\xff\xfe", b"c1\0\0"] {
            assert_eq!(Holder::parse(text), Holder::Stranger);
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
