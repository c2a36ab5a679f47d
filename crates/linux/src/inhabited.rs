//! Network namespaces that processes are in.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use netlink_packet_route::nsid::NsidAttribute;
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::link::Link;
use crate::peer::NamespaceNumber;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Returns the network namespaces that processes are in, by their numbers in the socket's namespace. Those that
    /// no link of the socket's namespace leads to are left out.
    ///
    /// As `lsns --type net`. Only processes that `/proc` shows count: those of this PID namespace and the ones below.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or the kernel's refusal.
    pub fn inhabited_namespaces(&mut self) -> Result<HashSet<NamespaceNumber>> {
        let unreadable = |error: io::Error| {
            Error::Other(format!(
                "cannot find out in which network namespaces processes live: /proc: {error}"
            ))
        };
        let (mut seen, mut inhabited) = (HashSet::new(), HashSet::new());
        for entry in fs::read_dir("/proc").map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // Most processes share a few namespaces, which are looked up once. The kernel hides the namespaces of
            // processes with more privileges, but not their numbers.
            let identity = fs::read_link(Path::new("/proc").join(&name).join("ns/net"));
            if identity.is_ok_and(|identity| !seen.insert(identity)) {
                continue;
            }
            inhabited.extend(self.number_of_process(pid)?);
        }
        inhabited.remove(&NamespaceNumber::NONE);
        Ok(inhabited)
    }

    /// Returns the number of a process's namespace; none when the process has ended.
    fn number_of_process(&mut self, pid: u32) -> Result<Option<NamespaceNumber>> {
        let operation = format!("look up the number of process {pid}'s network namespace");
        match self.namespace_number(NsidAttribute::Pid(pid), &operation) {
            Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(None),
            number => number.map(Some),
        }
    }
}

impl Link {
    /// Returns whether the peer is in one of `namespaces`, or in the link's own, in which this process lives.
    pub fn has_peer_in(&self, namespaces: &HashSet<NamespaceNumber>) -> bool {
        self.peer_namespace.map_or(self.peer.is_some(), |number| namespaces.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::sched::{CloneFlags, unshare};

    use crate::Namespace;
    use crate::testing::{new_namespace, veth};

    #[test]
    fn a_namespace_is_inhabited_as_long_as_a_process_is_in_it() {
        let mut host = new_namespace();
        // A process that waits for the end of its input, and the namespace that it was born in.
        let inhabit = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let namespace = Namespace::open("/proc/thread-self/ns/net").unwrap();
            let process = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            (namespace, process)
        };
        let (one, mut process) = std::thread::spawn(inhabit).join().unwrap();
        let (other, mut ended) = std::thread::spawn(inhabit).join().unwrap();
        ended.kill().unwrap();
        ended.wait().unwrap();
        let mut pair = |host_name, namespace| {
            let index = veth(&mut host, host_name, "eth0", Some(namespace)).index;
            host.link_by_index(index).unwrap().unwrap()
        };
        let (lived_in, left) = (pair("host0", &one), pair("host1", &other));
        let inhabited = host.inhabited_namespaces().unwrap();
        assert!(lived_in.has_peer_in(&inhabited) && !left.has_peer_in(&inhabited));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(host.inhabited_namespaces().unwrap().is_empty());
    }

    #[test]
    fn a_pair_with_both_ends_here_leads_into_a_namespace_with_a_process() {
        let mut host = new_namespace();
        let index = veth(&mut host, "host0", "eth0", None).index;
        let inhabited = host.inhabited_namespaces().unwrap();
        assert!(host.link_by_index(index).unwrap().unwrap().has_peer_in(&inhabited));
    }
}
