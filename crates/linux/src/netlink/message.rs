//! Netlink messages as bytes: requests that netlink-packet-route has no type for, and what the kernel answers.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ALIGNTO, NLMSG_ERROR,
    NlaBuffer, NlasIterator,
};
use nix::errno::Errno;
use nix::libc::nlmsghdr;

use super::failure::Refusal;
use crate::constants::NLMSGERR_ATTR_MSG;

/// Length of `struct nlmsghdr` (uapi/linux/netlink.h).
pub const HEADER_LEN: usize = size_of::<nlmsghdr>();

/// A message from the kernel.
pub struct Reply<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// The bytes after the header.
    pub payload: &'a [u8],
}

/// Returns a message of the type `kind`; `payload` follows the header.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_LEN + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // nlmsg_pid: the kernel.
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(NLMSG_ALIGNTO.into()), 0);
    bytes
}

/// Returns the flags of a request that asks for an acknowledgement, or for a dump (which ends with `NLMSG_DONE`).
pub(crate) fn request_flags(extra: u16) -> u16 {
    if extra & NLM_F_DUMP == NLM_F_DUMP { NLM_F_REQUEST | extra } else { NLM_F_REQUEST | NLM_F_ACK | extra }
}

/// Returns the attributes of a payload after its fixed header of `offset` bytes; a malformed tail is skipped.
pub fn attributes(payload: &[u8], offset: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(payload.get(offset..).unwrap_or_default()).map_while(Result::ok)
}

/// Reads the `u32` at the beginning of `bytes`, in host order.
pub(crate) fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Reads a text, with or without a closing zero.
pub(crate) fn read_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

/// A message with its header.
pub(super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Returns the refusal; `None` for an acknowledgement and for the successful end of a dump. All begin with an
    /// error number.
    pub fn refusal(&self) -> Option<Refusal> {
        let code = self.payload.first_chunk().copied().map_or(0, i32::from_ne_bytes);
        (code != 0).then(|| Refusal {
            errno: Errno::from_raw(code.wrapping_neg()),
            message: self.refusal_text(),
            sequence: self.sequence,
        })
    }

    fn refusal_text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 || self.kind != NLMSG_ERROR {
            return None;
        }
        let copied = if self.flags & NLM_F_CAPPED == 0 {
            let length = read_u32(self.payload.get(4..)?)? as usize;
            length.checked_sub(HEADER_LEN)?.next_multiple_of(4)
        } else {
            0
        };
        attributes(self.payload, 4 + HEADER_LEN + copied)
            .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
            .map(|attribute| read_text(attribute.value()))
    }
}

/// Splits a datagram into its messages.
pub(super) struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = read_u32(self.0)? as usize;
        let message = self.0.get(..length).filter(|message| message.len() >= HEADER_LEN)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([message[4], message[5]]),
            flags: u16::from_ne_bytes([message[6], message[7]]),
            sequence: read_u32(&message[8..])?,
            payload: &message[HEADER_LEN..],
        })
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NLMSG_DONE;

    use super::*;

    #[test]
    fn the_kernels_sentence_is_read_from_an_extended_acknowledgement() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend([0; HEADER_LEN]);
        payload.extend([10, 0, 1, 0]);
        payload.extend(b"taken\0");
        let bytes = message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, 7, &payload);
        let refusal = Messages(&bytes).next().unwrap().refusal().unwrap();
        assert_eq!(refusal.errno, Errno::EEXIST);
        assert_eq!(refusal.message.as_deref(), Some("taken"));
        assert_eq!(refusal.sequence, 7);
    }

    #[test]
    fn the_kernels_sentence_stands_behind_the_request_that_it_repeats() {
        let mut payload = (-22i32).to_ne_bytes().to_vec();
        payload.extend(message(20, 0, 7, &[7; 10]));
        payload.extend([8, 0, 1, 0]);
        payload.extend(b"bad\0");
        let bytes = message(NLMSG_ERROR, NLM_F_ACK_TLVS, 7, &payload);
        let refusal = Messages(&bytes).next().unwrap().refusal().unwrap();
        assert_eq!((refusal.errno, refusal.message.as_deref()), (Errno::EINVAL, Some("bad")));
    }

    #[test]
    fn a_dump_that_failed_in_the_end_is_an_error() {
        let refused = |code: i32| {
            let bytes = message(NLMSG_DONE, 0, 7, &code.to_ne_bytes());
            Messages(&bytes).next().unwrap().refusal().map(|refusal| refusal.errno)
        };
        assert_eq!(refused(-19), Some(Errno::ENODEV));
        assert_eq!(refused(0), None);
    }

    #[test]
    fn a_truncated_datagram_ends_the_iteration() {
        let mut bytes = message(16, 0, 7, &[1, 2, 3, 4]);
        bytes.extend(message(16, 0, 7, &[5, 6, 7, 8]));
        bytes.truncate(bytes.len() - 2);
        let payloads: Vec<_> = Messages(&bytes).map(|message| message.payload.to_vec()).collect();
        assert_eq!(payloads, [vec![1, 2, 3, 4]]);
    }
}
