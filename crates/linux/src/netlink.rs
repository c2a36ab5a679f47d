//! A blocking netlink socket: a request, its replies, the kernel's sentence when it refuses.

mod failure;
mod message;
mod wait;

pub use failure::{Failure, Refusal};
pub use message::{HEADER_LEN, Reply, attributes};
pub(crate) use message::{message, read_text, read_u32, request_flags};
pub(crate) use wait::readable_until;

use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR};
use netlink_sys::{Socket as RawSocket, SocketAddr};
use nix::errno::Errno;
use nix::libc::{SO_NETNS_COOKIE, SOL_SOCKET, socklen_t};
use nix::sys::socket::sockopt::{RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{getsockopt, setsockopt};

use crate::error::{Error, Result};
use message::Messages;

const RECEIVE_CAPACITY: usize = 64 * 1024;
/// What the kernel counts for a queued refusal besides the message that it repeats.
const REFUSAL_CAPACITY: usize = 2048;
/// How long to wait for an answer once the kernel reported a lost message. The kernel queues its answer before the
/// request returns.
const ANSWER_PATIENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// A netlink socket. It stays for life in the network namespace that was current when it was opened.
pub struct Socket {
    raw: RawSocket,
    sequence: u32,
    receive: Vec<u8>,
    /// The error number by which the kernel reported a lost message since the last request. The lost message may be
    /// the answer, so the answer is not waited for without end.
    lost: Option<i32>,
}

impl Socket {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) in the current namespace.
    ///
    /// Asks for extended acknowledgements, so that refusals have the kernel's sentence. Before Linux 4.12 they have
    /// only a number.
    pub fn open(protocol: isize) -> Result<Self> {
        Self::open_as(protocol, |_| Ok(()))
    }

    /// As [`Socket::open`]; `bind` may give the socket a port ID before it is used.
    pub(crate) fn open_as(
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

    /// Makes the kernel filter dumps by the request's header (`NETLINK_GET_STRICT_CHK`, Linux 4.20). Older kernels
    /// send everything, so every reader of a dump filters again.
    pub(crate) fn filter_dumps(&self) {
        // Not an error, as said above.
        let _ = self.raw.set_netlink_get_strict_chk(true);
    }

    /// Returns the number of the socket's network namespace, which no other one gets until the next boot; none before
    /// Linux 5.14 (`SO_NETNS_COOKIE`).
    pub fn namespace_cookie(&self) -> Option<u64> {
        let (mut cookie, mut length): (u64, socklen_t) = (0, 8);
        let (fd, cookie_at) = (self.raw.as_raw_fd(), (&raw mut cookie).cast());
        // SAFETY: the kernel writes at most `length` bytes at `cookie_at`, which is a number of that size, and the
        // length that it wrote. The descriptor is open as long as `self` lives.
        #[allow(unsafe_code)]
        let outcome =
            unsafe { nix::libc::getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie_at, &raw mut length) };
        (outcome == 0).then_some(cookie)
    }

    /// Returns the sequence number for the next message.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends `bytes` (whole messages) and hands each reply to `on_reply` until the message numbered `last` is
    /// acknowledged, a dump is done, or the message numbered `first` is refused as a whole.
    ///
    /// Returns the first refusal after the whole exchange was read, so that the socket is usable afterwards. The kernel
    /// may refuse each message of a batch; those refusals that it had no room for do not hide the first.
    pub fn exchange(
        &mut self,
        bytes: &[u8],
        first: u32,
        last: u32,
        mut on_reply: impl FnMut(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        self.make_room_for_refusals(bytes.len(), last.wrapping_sub(first));
        self.send(bytes)?;
        let mut refusal: Option<Refusal> = None;
        loop {
            let length = match (self.receive(), &mut refusal) {
                (Err(_), Some(_)) if self.lost.is_some() => {
                    return refusal.map_or(Ok(()), |refused| Err(Failure::Refused(refused)));
                }
                (length, _) => length?,
            };
            for message in Messages(&self.receive[..length]) {
                if message.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                // The dumped objects changed meanwhile: one may be missing or come twice.
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

    /// Sends `bytes`, one request for an object without `NLM_F_ACK`, and hands the object to `on_reply`. The kernel
    /// answers with the object or a refusal, so there is one datagram to read instead of two.
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

    /// Sends `bytes`, whole messages numbered `first` to `last` of which only the last asks for an acknowledgement,
    /// and waits for that. `on_refusal` gets the place of each refused message; the kernel reports refusals unasked.
    pub(crate) fn exchange_all(
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

    /// Enlarges the receive buffer for a batch that is refused message by message: each refusal repeats its message.
    fn make_room_for_refusals(&self, bytes: usize, messages: u32) {
        let needed = bytes + messages as usize * REFUSAL_CAPACITY;
        if needed > RECEIVE_CAPACITY {
            // Without the privilege, the first refusals still arrive.
            let _ = setsockopt(&self.raw, RcvBufForce, &needed);
        }
    }

    /// Sends again when a signal interrupted the call, before anything is sent, and with a larger buffer when the bytes do
    /// not fit into the socket's.
    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.lost = None;
        loop {
            match self.raw.send(bytes, 0) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                    let needed = bytes.len() + RECEIVE_CAPACITY;
                    if getsockopt(&self.raw, SndBuf)? >= needed {
                        return Err(error);
                    }
                    setsockopt(&self.raw, SndBufForce, &needed)?;
                }
                sent => return sent.map(drop),
            }
        }
    }

    /// Reads the next datagram and returns its length.
    ///
    /// `ENOBUFS` and `ENOMEM` report that the kernel lost a message, or cannot hand it over now; the rest of the
    /// queue is read. If the lost message is the answer, it is unknown whether the request was carried out, and the
    /// error is returned.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_lost_behind_refusals_is_not_waited_for_without_end() {
        use netlink_packet_core::NLM_F_REQUEST;
        use nix::libc::RTM_SETLINK;
        const REQUESTS: u32 = 64;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut socket = Socket::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
            // The smallest that the kernel allows: room for a few refusals, not for the last one.
            socket.raw.set_rx_buf_sz(1).unwrap();
            let mut absent = [0; 16];
            absent[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
            let numbered = |sequence| message(RTM_SETLINK, NLM_F_REQUEST, sequence, &absent);
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
