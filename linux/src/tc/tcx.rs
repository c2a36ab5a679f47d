//! Programs that see a link's packets before the filters of traffic control (TCX, Linux 6.6).

use nix::libc;

use super::hook::Hook;

/// `enum bpf_cmd` and `enum bpf_attach_type` (uapi/linux/bpf.h).
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

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

/// Whether a program of TCX is attached to a hook of the link with this index. A kernel that has no TCX, or does not
/// let this process ask, has none to tell of. As `bpftool net show dev NAME`.
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
