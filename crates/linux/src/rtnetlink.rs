//! The rtnetlink socket: links, addresses, routes and traffic control of one network namespace.

use std::fmt;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

use crate::contention::Attempts;
use crate::error::Result;
use crate::netlink::{Failure, Refusal, Reply, Socket, message, request_flags};
use crate::unfinished;

/// A `NETLINK_ROUTE` socket. It belongs to the namespace that it was opened in;
/// [`Namespace::rtnetlink`](crate::Namespace::rtnetlink) opens one in another namespace.
pub struct Rtnetlink {
    pub(crate) socket: Socket,
    /// The socket's port ID, which is also the group of unfinished links that it creates.
    pub(crate) port: u32,
    send: Vec<u8>,
}

impl Rtnetlink {
    /// Opens a socket in the current namespace.
    ///
    /// # Errors
    /// [`Error::Netlink`](crate::Error::Netlink) when the kernel gives no socket.
    pub fn open() -> Result<Self> {
        let mut port = 0;
        let socket = Socket::open_as(NETLINK_ROUTE, |raw| {
            port = unfinished::bind(raw)?;
            Ok(())
        })?;
        socket.filter_dumps();
        Ok(Self { socket, port, send: Vec::with_capacity(1024) })
    }

    /// Returns the number of the socket's network namespace, which no other one gets until the next boot; none before
    /// Linux 5.14. Unlike a path or an inode, it is not used again.
    pub fn namespace_cookie(&self) -> Option<u64> {
        self.socket.namespace_cookie()
    }

    /// Dumps objects and returns those that `parse` accepts. A dump that the kernel interrupts, because the objects
    /// changed meanwhile, is started again; on a busy node several are interrupted in a row.
    pub(crate) fn dump<T>(
        &mut self,
        request: RouteNetlinkMessage,
        operation: fmt::Arguments<'_>,
        parse: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.attempt_dump(&request, parse).map_err(|failure| failure.during(operation))
    }

    /// As [`Rtnetlink::dump`], for callers with an error of their own.
    pub(crate) fn attempt_dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        mut parse: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> std::result::Result<Vec<T>, Failure> {
        let mut attempts = Attempts::default();
        loop {
            let mut found = Vec::new();
            let outcome = self.attempt(request.clone(), NLM_F_DUMP, |reply| found.extend(parse(&reply)));
            match outcome {
                Ok(()) => return Ok(found),
                Err(failure) if failure.errno() == Some(Errno::EINTR) && attempts.next().is_some() => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Sends one request and hands each reply to `on_reply` before the acknowledgement.
    pub(crate) fn attempt(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        on_reply: impl FnMut(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        self.send.clear();
        let sequence = self.append(request, request_flags(flags));
        self.socket.exchange(&self.send, sequence, sequence, on_reply)
    }

    /// As [`Rtnetlink::attempt`], for a request that netlink-packet-route has no type for; `payload` follows `struct
    /// nlmsghdr`.
    pub(crate) fn attempt_raw(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        on_reply: impl FnMut(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        let sequence = self.socket.next_sequence();
        let bytes = message(kind, request_flags(flags), sequence, payload);
        self.socket.exchange(&bytes, sequence, sequence, on_reply)
    }

    /// Asks for one object that the kernel shows or refuses, such as a link (`RTM_GETLINK`). Not for objects that it
    /// sometimes does not show at all, such as a default qdisc.
    pub(crate) fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        on_reply: impl FnOnce(Reply<'_>),
    ) -> std::result::Result<(), Failure> {
        self.send.clear();
        let sequence = self.append(request, NLM_F_REQUEST);
        self.socket.ask(&self.send, sequence, on_reply)
    }

    /// Sends requests without replies in one datagram; `on_refusal` gets the places of the refused ones.
    pub(crate) fn attempt_all(
        &mut self,
        requests: impl ExactSizeIterator<Item = (RouteNetlinkMessage, u16)>,
        on_refusal: impl FnMut(usize, Refusal),
    ) -> std::io::Result<()> {
        self.send.clear();
        let (mut first, mut last) = (None, None);
        let count = requests.len();
        for (place, (request, flags)) in requests.enumerate() {
            let is_last = place + 1 == count;
            let flags = if is_last { request_flags(flags) } else { NLM_F_REQUEST | flags };
            last = Some(self.append(request, flags));
            first = first.or(last);
        }
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        self.socket.exchange_all(&self.send, first, last, on_refusal)
    }

    /// Appends a request to the send buffer and returns its sequence number.
    fn append(&mut self, request: RouteNetlinkMessage, flags: u16) -> u32 {
        let sequence = self.socket.next_sequence();
        encode(request, flags, sequence, &mut self.send);
        sequence
    }
}

/// Appends a whole message to `bytes`.
pub(crate) fn encode(request: RouteNetlinkMessage, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let begin = bytes.len().next_multiple_of(NLMSG_ALIGNTO.into());
    bytes.resize(begin + message.buffer_len(), 0);
    message.serialize(&mut bytes[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::new_namespace;

    #[test]
    fn every_namespace_has_a_cookie_of_its_own_that_its_sockets_share() {
        let cookies =
            || [new_namespace(), Rtnetlink::open().unwrap()].map(|socket| socket.namespace_cookie());
        let ([one, same], [other, _]) = (cookies(), cookies());
        assert!(one.is_some() && one == same && one != other, "{one:?} {same:?} {other:?}");
    }
}
