//! The rtnetlink socket: links, addresses, routes and traffic control of one network namespace.

use std::fmt;

use netlink_packet_core::{NLM_F_DUMP, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

use crate::error::Result;
use crate::netlink::{Failure, Reply, Socket, request_flags};

/// How often a dump is begun before it fails; on a node where links come and go all the time, several are
/// interrupted in a row.
const DUMP_ATTEMPTS: u32 = 32;

/// A `NETLINK_ROUTE` socket. It belongs to the namespace it was opened in; see
/// [`Namespace::rtnetlink`](crate::Namespace::rtnetlink) for one in another namespace.
pub struct Rtnetlink {
    pub(crate) socket: Socket,
    send: Vec<u8>,
}

impl Rtnetlink {
    /// Opens a socket in the current namespace.
    ///
    /// # Errors
    /// [`Error::Netlink`](crate::Error::Netlink) when the kernel gives no socket.
    pub fn open() -> Result<Self> {
        let socket = Socket::open(NETLINK_ROUTE)?;
        socket.filter_dumps()?;
        Ok(Self { socket, send: Vec::with_capacity(1024) })
    }

    /// Sends one request and hands each reply to `on_reply` before the acknowledgement. `operation` completes
    /// "cannot …".
    pub(crate) fn query(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        operation: fmt::Arguments<'_>,
        on_reply: impl FnMut(Reply<'_>),
    ) -> Result<()> {
        self.attempt(request, flags, on_reply).map_err(|failure| failure.during(operation))
    }

    /// Dumps what `parse` makes something of. A dump that the kernel interrupts, because what it shows
    /// changed in the middle, is begun anew.
    pub(crate) fn dump<T>(
        &mut self,
        request: RouteNetlinkMessage,
        operation: fmt::Arguments<'_>,
        parse: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.attempt_dump(&request, parse).map_err(|failure| failure.during(operation))
    }

    /// As [`Rtnetlink::dump`], for callers who know more to say of a failure.
    pub(crate) fn attempt_dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        mut parse: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> std::result::Result<Vec<T>, Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut found = Vec::new();
            let outcome = self.attempt(request.clone(), NLM_F_DUMP, |reply| found.extend(parse(&reply)));
            match outcome {
                Ok(()) => return Ok(found),
                Err(failure) if failure.errno() == Some(Errno::EINTR) && attempts < DUMP_ATTEMPTS => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// As [`Rtnetlink::query`], for callers to whom some refusals are an answer.
    pub(crate) fn attempt(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        on_reply: impl FnMut(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        let sequence = self.socket.next_sequence();
        encode(request, flags, sequence, &mut self.send);
        self.socket.exchange(&self.send, sequence, sequence, on_reply)
    }
}

/// Puts one whole message into `bytes`, in place of what is there.
pub(crate) fn encode(request: RouteNetlinkMessage, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
    let mut header = NetlinkHeader::default();
    header.flags = request_flags(flags);
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    bytes.clear();
    bytes.resize(message.buffer_len(), 0);
    message.serialize(bytes);
}
