//! Netlink attributes: appended to a message, nested, and read back.

use linux::netlink;

const NLA_F_NESTED: u16 = 0x8000;
const NLA_HEADER_LEN: usize = 4;

/// Appends attributes (`struct nlattr`, uapi/linux/netlink.h) to a message.
pub(crate) struct Attributes<'a>(pub &'a mut Vec<u8>);

impl Attributes<'_> {
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.0.extend_from_slice(value);
        self.close(start);
    }

    /// Appends a number in network order, the order of all numbers in nf_tables.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a name, ended by a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        self.close(start);
    }

    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.open(kind | NLA_F_NESTED);
        content(&mut Attributes(self.0));
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        // Nothing that this crate sends comes near 64 KiB: names and user data are at most 256 bytes.
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(NLA_HEADER_LEN), 0);
    }
}

/// Returns the value of the attribute `kind` among `attributes`.
pub(crate) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    each(attributes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Returns the value at the end of a path of nested attributes.
pub(crate) fn find_nested<'a>(attributes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(attributes, |inner, kind| find(inner, *kind))
}

/// Returns each attribute's kind and value.
pub(crate) fn each(attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    netlink::attributes(attributes, 0).map(|attribute| {
        let (kind, end) = (attribute.kind(), NLA_HEADER_LEN + attribute.value_length());
        (kind, &attribute.into_inner()[NLA_HEADER_LEN..end])
    })
}

/// Returns a name without the zero byte that ends it.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

/// Returns a name as text.
pub(crate) fn string(value: &[u8]) -> String {
    String::from_utf8_lossy(text(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_are_padded_and_counted() {
        let mut bytes = Vec::new();
        Attributes(&mut bytes).nest(1, |inner| {
            inner.text(2, "weir");
            inner.number(3, 5);
        });
        let mut expected = 24u16.to_ne_bytes().to_vec();
        expected.extend(0x8001u16.to_ne_bytes());
        expected.extend(9u16.to_ne_bytes());
        expected.extend(2u16.to_ne_bytes());
        expected.extend(b"weir\0\0\0\0");
        expected.extend(8u16.to_ne_bytes());
        expected.extend(3u16.to_ne_bytes());
        expected.extend([0, 0, 0, 5]);
        assert_eq!(bytes, expected);
        assert_eq!(find_nested(&bytes, &[1, 2]).map(text), Some(b"weir".as_slice()));
        assert_eq!(find_nested(&bytes, &[1, 3]), Some([0, 0, 0, 5].as_slice()));
        assert_eq!(find_nested(&bytes, &[1, 4]), None);
    }
}
