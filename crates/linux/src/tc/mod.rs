//! Traffic control: shaping of a pod's packets in both directions.
//!
//! Packets *to* a pod leave by the host's end of its veth pair, where a token bucket filter ([`Tbf`]) at the root
//! delays them. Packets *from* the pod arrive there, and an arriving packet cannot be queued. So a filter at the
//! link's ingress hook ([`Rule`]) redirects them to an intermediate device
//! ([`NewLinkKind::Ifb`](crate::NewLinkKind::Ifb)) with a token bucket filter of its own, which passes them back to
//! where they came in.
//!
//! All of it is read back ([`Qdisc`], [`Rtnetlink::rules`](crate::Rtnetlink::rules)) for CHECK.

mod filter;
mod hook;
mod htb;
mod qdisc;
mod rule;
mod rules;
mod tbf;
mod tcx;

pub use hook::Hook;
pub use qdisc::{Qdisc, QdiscStatistics};
pub use rule::{End, Rule};
pub use tbf::Tbf;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

/// Returns an option that netlink-packet-route has no type for.
fn option(kind: u16, value: &[u8]) -> TcOption {
    TcOption::Other(DefaultNla::new(kind, value.to_vec()))
}

/// Returns a request about the object at `parent` of `link`.
fn request(link: u32, parent: TcHandle, kind: Option<&str>) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = link.cast_signed();
    message.header.parent = parent;
    message.attributes.extend(kind.map(|kind| TcAttribute::Kind(kind.to_owned())));
    message
}

#[cfg(test)]
mod tests {
    use crate::testing::{ifb, namespace_with_veth};
    use crate::{Change, Hook, Rule, Tbf};

    /// Runs `tc` in this test's namespace.
    pub fn tc(arguments: &str) -> String {
        let output = std::process::Command::new("tc").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_pod_is_shaped_in_both_directions_and_read_back() {
        let (mut rtnetlink, veth) = namespace_with_veth();
        let tbf = Tbf { rate_bytes_per_sec: 1_250_000, burst_bytes: 125_000, limit_bytes: 156_250 };
        rtnetlink.apply(&[Change::set_root_tbf(veth.index, &tbf)]).unwrap();
        let ifb = ifb(&mut rtnetlink, "bwp0");
        rtnetlink.apply(&[Change::set_root_tbf(ifb.index, &tbf), Change::set_up(ifb.index)]).unwrap();
        rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(ifb.index)]).unwrap();

        for link in [veth.index, ifb.index] {
            let qdisc = rtnetlink.root_qdisc(link).unwrap().unwrap();
            assert_eq!((qdisc.kind.as_str(), qdisc.handle, qdisc.tbf), ("tbf", 0x1_0000, Some(tbf)));
        }
        assert_eq!(rtnetlink.redirects(veth.index, Hook::Ingress).unwrap(), [ifb.index]);
        rtnetlink.delete_link(ifb.index).unwrap();
    }
}
