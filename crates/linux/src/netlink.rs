//! One blocking netlink socket: a request, its replies, the kernel's own words when it refuses.

use std::fmt;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NlaBuffer, NlasIterator};
use netlink_sys::{Socket as RawSocket, SocketAddr};
use nix::errno::Errno;

use crate::error::{Error, Result};

/// Length of `struct nlmsghdr` (uapi/linux/netlink.h).
pub const HEADER_LEN: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// What was dumped changed in the middle: something may be missing or stand there twice.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const RECEIVE_CAPACITY: usize = 64 * 1024;
/// How long the answer to a request may take once the kernel said that it lost a message. It puts its answer into the
/// queue before it returns from the request.
const ANSWER_PATIENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// A netlink socket of the network namespace that was current when it was opened; it stays in that
/// namespace for life.
pub struct Socket {
    raw: RawSocket,
    sequence: u32,
    receive: Vec<u8>,
    /// The error number by which the kernel said, since the last request, that it lost a message: the answer may be
    /// that one, and is not waited for without end.
    lost: Option<i32>,
}

/// One message from the kernel: its type (`nlmsg_type`), its sequence number and what follows the header.
pub struct Reply<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// Why the kernel refused: the error number and, where it gave one, its own sentence
/// (`NLMSGERR_ATTR_MSG`).
#[derive(Debug)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own sentence.
    pub message: Option<String>,
    /// Sequence number of the message that was refused.
    pub sequence: u32,
}

impl Refusal {
    /// Says what we wanted when the kernel refused.
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        Error::refused(operation.to_string(), self.errno, self.message)
    }
}

/// What went wrong in an exchange: the transport, or the kernel's answer.
#[derive(Debug)]
pub enum Failure {
    /// The transport failed.
    Io(std::io::Error),
    /// The kernel refused.
    Refused(Refusal),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The error of what was to be done, as "verb object".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        match self {
            Self::Io(source) => Error::Netlink { operation: operation.to_string(), source },
            Self::Refused(refusal) => refusal.during(operation),
        }
    }

    /// The kernel's error number, if it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io(_) => None,
            Self::Refused(refusal) => Some(refusal.errno),
        }
    }
}

impl Socket {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) in the current namespace.
    ///
    /// Extended acknowledgements are asked for, so that refusals carry the kernel's sentence; before Linux 4.12 they
    /// carry only its number.
    pub fn open(protocol: isize) -> Result<Self> {
        Self::open_as(protocol, |_| Ok(()))
    }

    /// As [`Socket::open`]; `bind` may give the socket a port ID before it is used.
    pub fn open_as(
        protocol: isize,
        bind: impl FnOnce(&mut RawSocket) -> std::io::Result<()>,
    ) -> Result<Self> {
        let open = || {
            let mut raw = RawSocket::new(protocol)?;
            // Not an error, as said above.
            let _ = raw.set_ext_ack(true);
            bind(&mut raw)?;
            raw.connect(&SocketAddr::new(0, 0))?;
            std::io::Result::Ok(raw)
        };
        let raw = open().map_err(|source| Error::Netlink {
            operation: format!("open a netlink socket (protocol {protocol})"),
            source,
        })?;
        Ok(Self { raw, sequence: 0, receive: Vec::with_capacity(RECEIVE_CAPACITY), lost: None })
    }

    /// Lets the kernel filter dumps by the request's header (`NETLINK_GET_STRICT_CHK`, Linux 4.20). An older one sends
    /// everything, so every reader of a dump filters again.
    pub fn filter_dumps(&self) {
        // Not an error, as said above.
        let _ = self.raw.set_netlink_get_strict_chk(true);
    }

    /// Joins a multicast group, so that [`Socket::wait`] sees its events.
    pub fn subscribe(&mut self, group: u32) -> Result<()> {
        self.raw.add_membership(group).map_err(|source| Error::Netlink {
            operation: format!("subscribe to netlink group {group}"),
            source,
        })
    }

    /// The sequence number for the next message.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends `bytes` (whole messages) and hands each reply to `on_reply` until the message numbered
    /// `last` is acknowledged, a dump is done, or the message numbered `first` is refused as a whole.
    ///
    /// Returns the first refusal after everything that belongs to the exchange was read, so the socket
    /// is usable afterwards.
    pub fn exchange(
        &mut self,
        bytes: &[u8],
        first: u32,
        last: u32,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        self.send(bytes)?;
        let mut refusal: Option<Refusal> = None;
        loop {
            let length = self.receive()?;
            for message in Messages(&self.receive[..length]) {
                if message.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    let sequence = message.sequence;
                    refusal.get_or_insert(Refusal { errno: Errno::EINTR, message: None, sequence });
                }
                match message.kind {
                    NLMSG_ERROR => {
                        if let Some(refused) = message.refusal() {
                            refusal.get_or_insert(refused);
                        }
                        let whole = refusal.is_some() && message.sequence == first;
                        if message.sequence == last || whole {
                            return refusal.map_or(Ok(()), |refused| Err(Failure::Refused(refused)));
                        }
                    }
                    NLMSG_DONE if message.sequence == last => {
                        if let Some(refused) = message.refusal() {
                            refusal.get_or_insert(refused);
                        }
                        return refusal.map_or(Ok(()), |refused| Err(Failure::Refused(refused)));
                    }
                    kind => on_reply(Reply { kind, payload: message.payload }),
                }
            }
        }
    }

    /// Sends `bytes`, one request for an object that asks for no acknowledgement, and hands the object to `on_reply`: the
    /// kernel answers with it or with a refusal. So there is one datagram to read instead of two.
    pub fn ask(
        &mut self,
        bytes: &[u8],
        sequence: u32,
        on_reply: impl FnOnce(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        self.send(bytes)?;
        loop {
            let length = self.receive()?;
            if let Some(message) =
                Messages(&self.receive[..length]).find(|message| message.sequence == sequence)
            {
                if message.kind != NLMSG_ERROR {
                    on_reply(Reply { kind: message.kind, payload: message.payload });
                    return Ok(());
                }
                return message.refusal().map_or(Ok(()), |refused| Err(Failure::Refused(refused)));
            }
        }
    }

    /// Sends `bytes`, whole messages numbered `first` to `last` of which the last asks for an acknowledgement, and
    /// waits for that; refusals come unasked. `on_refusal` gets the place of each message that was refused.
    pub fn exchange_all(
        &mut self,
        bytes: &[u8],
        first: u32,
        last: u32,
        mut on_refusal: impl FnMut(usize, Refusal),
    ) -> std::io::Result<()> {
        self.send(bytes)?;
        loop {
            let length = self.receive()?;
            for message in Messages(&self.receive[..length]) {
                let place = message.sequence.wrapping_sub(first);
                if message.kind != NLMSG_ERROR || place > last.wrapping_sub(first) {
                    continue;
                }
                if let Some(refusal) = message.refusal() {
                    on_refusal(place as usize, refusal);
                }
                if message.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the events of one datagram of the subscribed groups; waits for it until `deadline`.
    ///
    /// Returns `false` when the deadline passed without an event. Where the kernel had to drop events (`ENOBUFS`), there
    /// was one: what they are about is to be looked at again.
    pub fn wait(
        &mut self,
        deadline: std::time::Instant,
        mut on_event: impl FnMut(Reply<'_>),
    ) -> std::result::Result<bool, Failure> {
        if !self.is_readable_until(deadline)? {
            return Ok(false);
        }
        self.receive.clear();
        let length = match self.raw.recv(&mut self.receive, 0) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => return Ok(true),
            length => length?,
        };
        for message in Messages(&self.receive[..length]) {
            on_event(Reply { kind: message.kind, payload: message.payload });
        }
        Ok(true)
    }

    /// A signal may interrupt the call before anything is sent.
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.lost = None;
        loop {
            match self.raw.send(bytes, 0) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Reads the next datagram and returns its length.
    ///
    /// `ENOBUFS` and `ENOMEM` say that the kernel could not keep a message, or not hand it over now: what is still
    /// in the queue is read. When the answer is the message that was lost, whether the request was carried out is
    /// unknown, and the error is returned.
    fn receive(&mut self) -> std::io::Result<usize> {
        loop {
            if let Some(errno) = self.lost
                && !self.is_readable_until(std::time::Instant::now() + ANSWER_PATIENCE)?
            {
                return Err(std::io::Error::from_raw_os_error(errno));
            }
            self.receive.clear();
            match self.raw.recv(&mut self.receive, 0) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => match error.raw_os_error() {
                    lost @ Some(nix::libc::ENOBUFS | nix::libc::ENOMEM) => self.lost = lost,
                    _ => return Err(error),
                },
                length => return length,
            }
        }
    }

    fn is_readable_until(&self, deadline: std::time::Instant) -> std::io::Result<bool> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::BorrowedFd;

        // SAFETY: the descriptor belongs to `self.raw`, which outlives this borrow.
        #[allow(unsafe_code)]
        let fd = unsafe { BorrowedFd::borrow_raw(self.raw.as_raw_fd()) };
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
                Err(Errno::EINTR) => {}
                ready => return Ok(ready? > 0),
            }
        }
    }
}

/// Flags of a request that asks for an acknowledgement, or for a dump (which ends with `NLMSG_DONE`).
pub(crate) fn request_flags(extra: u16) -> u16 {
    if extra & NLM_F_DUMP == NLM_F_DUMP { NLM_F_REQUEST | extra } else { NLM_F_REQUEST | NLM_F_ACK | extra }
}

/// Attributes of a payload after its fixed header of `offset` bytes; a malformed tail is skipped.
pub fn attributes(payload: &[u8], offset: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(payload.get(offset..).unwrap_or_default()).map_while(std::result::Result::ok)
}

/// The `u32` that `bytes` begin with, in host order.
pub(crate) fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Message<'_> {
    /// `None` for an acknowledgement, and for the end of a dump that went well: both begin with an error
    /// number.
    fn refusal(&self) -> Option<Refusal> {
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
            .map(|attribute| {
                let text = attribute.value();
                String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned()
            })
    }
}

/// Splits a datagram into its messages.
struct Messages<'a>(&'a [u8]);

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
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_LEN + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_kernels_sentence_is_read_from_an_extended_acknowledgement() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend([0; HEADER_LEN]);
        payload.extend([10, 0, 1, 0]);
        payload.extend(b"taken\0");
        let bytes = message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, &payload);
        let refusal = Messages(&bytes).next().unwrap().refusal().unwrap();
        assert_eq!(refusal.errno, Errno::EEXIST);
        assert_eq!(refusal.message.as_deref(), Some("taken"));
        assert_eq!(refusal.sequence, 7);
    }

    #[test]
    fn the_kernels_sentence_stands_behind_the_request_that_it_repeats() {
        let mut payload = (-22i32).to_ne_bytes().to_vec();
        payload.extend(message(20, 0, &[7; 10]));
        payload.extend([8, 0, 1, 0]);
        payload.extend(b"bad\0");
        let bytes = message(NLMSG_ERROR, NLM_F_ACK_TLVS, &payload);
        let refusal = Messages(&bytes).next().unwrap().refusal().unwrap();
        assert_eq!((refusal.errno, refusal.message.as_deref()), (Errno::EINVAL, Some("bad")));
    }

    #[test]
    fn a_dump_that_failed_in_the_end_is_no_empty_one() {
        let refused = |code: i32| {
            let bytes = message(NLMSG_DONE, 0, &code.to_ne_bytes());
            Messages(&bytes).next().unwrap().refusal().map(|refusal| refusal.errno)
        };
        assert_eq!(refused(-19), Some(Errno::ENODEV));
        assert_eq!(refused(0), None);
    }

    #[test]
    fn a_truncated_datagram_ends_the_iteration() {
        let mut bytes = message(16, 0, &[1, 2, 3, 4]);
        bytes.extend(message(16, 0, &[5, 6, 7, 8]));
        bytes.truncate(bytes.len() - 2);
        let payloads: Vec<_> = Messages(&bytes).map(|message| message.payload.to_vec()).collect();
        assert_eq!(payloads, [vec![1, 2, 3, 4]]);
    }

    #[test]
    fn an_answer_that_was_lost_behind_refusals_is_not_waited_for_without_end() {
        const RTM_SETLINK: u16 = 19;
        const REQUESTS: u32 = 64;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut socket = Socket::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
            // The kernel's least: room for a few refusals, and none for the last one.
            socket.raw.set_rx_buf_sz(1).unwrap();
            let mut absent = [0; 16];
            absent[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
            let numbered = |sequence: u32| {
                let mut request = message(RTM_SETLINK, NLM_F_REQUEST, &absent);
                request[8..12].copy_from_slice(&sequence.to_ne_bytes());
                request
            };
            let requests: Vec<u8> = (1..=REQUESTS).flat_map(numbered).collect();
            let mut refusals = 0;
            let outcome = socket.exchange_all(&requests, 1, REQUESTS, |_, _| refusals += 1);
            tell.send((refusals, outcome.map_err(|error| error.raw_os_error()))).unwrap();
        });
        let (refusals, outcome) = told.recv_timeout(std::time::Duration::from_secs(60)).expect("it waits");
        assert!((1..REQUESTS).contains(&refusals), "{refusals}");
        assert_eq!(outcome, Err(Some(nix::libc::ENOBUFS)));
    }
}
