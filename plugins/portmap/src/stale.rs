//! UDP connections that the kernel tracks, and that lead elsewhere than the table does now.
//!
//! The kernel asks the table for the first packet of a connection only. A client that goes on sending from the same
//! port keeps such a connection alive, to a pod that is gone or to the host.

use std::collections::HashMap;
use std::net::IpAddr;

use linux::{Conntrack, Family, Result, Rtnetlink, TrackedConnection};
use nix::libc;

use crate::forward::Forward;

/// Deletes the connections that began before `forwards` led to their pods, and lead elsewhere.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn delete_from_before(forwards: &[Forward]) -> Result<()> {
    delete(forwards, false)
}

/// Deletes the connections that lead to the pods of `forwards`, which do not any more.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn delete_of(forwards: &[Forward]) -> Result<()> {
    delete(forwards, true)
}

fn delete(forwards: &[Forward], to_pod: bool) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let ports: HashMap<u16, Vec<&Forward>> = forwards
            .iter()
            .filter(|forward| i32::from(forward.protocol) == libc::IPPROTO_UDP && forward.family() == family)
            .fold(HashMap::new(), |mut ports, forward| {
                ports.entry(forward.host_port).or_default().push(forward);
                ports
            });
        if ports.is_empty() {
            continue;
        }
        let mut conntrack = Conntrack::open()?;
        let candidates = conntrack.list(family, udp(), only(&ports), |connection| {
            let of_port = ports.get(&connection.destination_port);
            of_port.into_iter().flatten().any(|forward| leads(forward, connection) == to_pod)
        })?;
        let mut addresses = LocalAddresses::default();
        let mut stale = Vec::new();
        for connection in candidates {
            let destination = connection.destination;
            let of_port = ports.get(&connection.destination_port);
            let mut hosts = of_port.into_iter().flatten().map(|forward| forward.host);
            // A port of another machine is not the mapping's, nor is one of another address.
            if hosts.any(|host| host.is_none_or(|host| host == destination)) && addresses.has(destination)? {
                stale.push(connection);
            }
        }
        conntrack.delete(&stale)?;
    }
    Ok(())
}

fn udp() -> u8 {
    u8::try_from(libc::IPPROTO_UDP).unwrap_or_default()
}

/// Returns the port, if there is only one: the kernel looks for it.
fn only(ports: &HashMap<u16, Vec<&Forward>>) -> Option<u16> {
    ports.keys().next().copied().filter(|_| ports.len() == 1)
}

/// Returns whether answers come from the pod.
fn leads(forward: &Forward, connection: &TrackedConnection) -> bool {
    (connection.answers_from, connection.answers_from_port) == (forward.pod.ip(), forward.container_port)
}

/// The addresses of the host, asked for one by one.
#[derive(Default)]
struct LocalAddresses {
    host: Option<Rtnetlink>,
    known: HashMap<IpAddr, bool>,
}

impl LocalAddresses {
    fn has(&mut self, address: IpAddr) -> Result<bool> {
        if let Some(is_local) = self.known.get(&address) {
            return Ok(*is_local);
        }
        let host = match &mut self.host {
            Some(host) => host,
            None => self.host.insert(Rtnetlink::open()?),
        };
        let is_local = host.is_local(address)?;
        self.known.insert(address, is_local);
        Ok(is_local)
    }
}
