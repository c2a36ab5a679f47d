//! Programs that see a link's packets before the filters of traffic control (TCX, Linux 6.6).

use nix::libc;

use super::hook::Hook;
use crate::constants::{BPF_PROG_QUERY, BPF_TCX_EGRESS, BPF_TCX_INGRESS};

/// The part of `union bpf_attr` for `BPF_PROG_QUERY` as of Linux 6.6; `prog_cnt` is filled in by the kernel.
#[repr(C)]
#[derive(Default)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Returns whether a TCX program is attached to a hook of the link with this index; `false` where the kernel has no
/// TCX, or does not let this process ask. As `bpftool net show dev NAME`.
pub(super) fn has_program(link: u32, hook: Hook) -> bool {
    let attach_type = match hook {
        Hook::Ingress => BPF_TCX_INGRESS,
        Hook::Egress => BPF_TCX_EGRESS,
        Hook::Root => return false,
    };
    let mut query = Query { target_ifindex: link, attach_type, ..Query::default() };
    // SAFETY: the kernel reads and writes at most the size that it is told at `query`, which is exclusively borrowed
    // and plain numbers; `prog_ids` is null, so that it only counts.
    #[allow(unsafe_code)]
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    outcome == 0 && query.prog_cnt > 0
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::testing::ifb;
    use crate::testing::namespace_with_veth;
    use crate::{Change, Rtnetlink, Rule, Tbf};

    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_LINK_CREATE: libc::c_int = 28;
    const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

    /// As far as `BPF_PROG_LOAD` needs it.
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        rest: [u64; 5],
        expected_attach_type: u32,
        padding: u32,
    }

    #[repr(C)]
    #[derive(Default)]
    struct Create {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
        rest: [u64; 4],
    }

    fn bpf<T>(command: libc::c_int, attributes: &mut T) -> OwnedFd {
        // SAFETY: the kernel reads at most the size that it is told at `attributes`, which is plain numbers; the
        // addresses in it are of things that outlive the call.
        #[allow(unsafe_code)]
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
        let fd = i32::try_from(fd).unwrap();
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both commands return a new descriptor, which nothing else has.
        #[allow(unsafe_code)]
        unsafe {
            OwnedFd::from_raw_fd(fd)
        }
    }

    /// `r0 = 0; exit`, which is `TCX_PASS`: no other program or filter is asked.
    fn accept_everything(link: u32) -> [OwnedFd; 2] {
        let program: [u64; 2] = [0xb7, 0x95];
        let program = program.map(u64::from_le);
        let license = c"GPL";
        let mut load = Load {
            prog_type: BPF_PROG_TYPE_SCHED_CLS,
            insn_cnt: 2,
            insns: program.as_ptr() as u64,
            license: license.as_ptr() as u64,
            ..Load::default()
        };
        let loaded = bpf(BPF_PROG_LOAD, &mut load);
        let prog_fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&loaded)).unwrap();
        let mut create =
            Create { prog_fd, target_ifindex: link, attach_type: BPF_TCX_INGRESS, ..Create::default() };
        let attached = bpf(BPF_LINK_CREATE, &mut create);
        [loaded, attached]
    }

    #[test]
    fn a_program_that_accepts_everything_is_told_and_a_chain_is_asked_after_it() {
        let (mut host, veth) = namespace_with_veth();
        let ifb = ifb(&mut host, "bwp0");
        let tbf = Tbf { rate_bytes_per_sec: 1_250_000, burst_bytes: 125_000, limit_bytes: 156_250 };
        // The device itself sends nothing.
        let silent = Change::without_link_local_address(ifb.index);
        host.apply(&[Change::set_root_tbf(ifb.index, &tbf), silent, Change::set_up(ifb.index)]).unwrap();
        host.set_rules(veth.index, Hook::Ingress, &[Rule::everything(ifb.index)]).unwrap();
        assert_eq!(host.filter_before(veth.index, Hook::Ingress, ifb.index).unwrap(), None);
        let program = accept_everything(veth.index);
        assert!(has_program(veth.index, Hook::Ingress) && !has_program(veth.index, Hook::Egress));
        let first = host.filter_before(veth.index, Hook::Ingress, ifb.index).unwrap();
        assert_eq!(first.as_deref(), Some("a program of TCX"));

        // The peer sends neighbour solicitations as soon as it is up.
        let passed = |host: &mut Rtnetlink| host.root_qdisc(ifb.index).unwrap().unwrap().statistics.packets;
        let received = || {
            let shown = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            let line = shown.lines().find(|line| line.trim_start().starts_with("host0:")).unwrap().to_owned();
            line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        host.apply(&[Change::set_up(veth.index), Change::set_up(veth.peer.unwrap())]).unwrap();
        while received() == 0 {
            assert!(Instant::now() < deadline, "nothing is received");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(passed(&mut host), 0, "the program ends the search before the rule");
        let chain = "add table netdev weir
            add chain netdev weir host0 { type filter hook ingress device host0 priority 2147483647; }
            add rule netdev weir host0 iif host0 fwd to bwp0";
        assert!(std::process::Command::new("nft").arg(chain).status().unwrap().success());
        while passed(&mut host) == 0 {
            assert!(Instant::now() < deadline, "nothing passes the limit");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(program);
        assert!(!has_program(veth.index, Hook::Ingress));
    }
}
