//! SCTP: packets are made by hand, for a kernel may forward the protocol without speaking it.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::json;
use tests::{Look, Node};

use super::{NODE, attached, config, forward, mapping, outside, says};

/// The checksum of SCTP (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

/// An INIT chunk behind the common header, in hexadecimal.
fn init(port: u16) -> String {
    let mut packet = [&7777u16.to_be_bytes()[..], &port.to_be_bytes(), &[0; 8]].concat();
    // Type, flags, length, initiate tag, window, streams out and in, TSN.
    packet.extend([1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let sum = crc32c(&packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn sctp_is_forwarded_where_the_kernel_tracks_it() {
    let node = Node::new();
    let outside = outside(&node);
    let (pod, result) = attached(&node, "c1");
    let mapped = config(json!([mapping("sctp", 9899, 36412)]), json!({}));
    let outcome = forward(&node, &pod, &mapped, &result);
    if node
        .look("ls /proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established 2> /dev/null || true")
        .is_empty()
    {
        says(&outcome.unwrap_err(), 999, &["SCTP port 9899", "CONFIG_NF_CT_PROTO_SCTP"]);
        assert_eq!(super::elements(&node), 0);
        return;
    }
    outcome.unwrap();
    node.call("portmap", &pod).check(&mapped, &result);
    let receive = "socket(S, 2, 3, 132) or die; $| = 1; print qq(ready\\n); alarm 60; recv(S, $p, 2000, 0); print unpack(q(H*), $p)";
    let mut receiver = pod.command(&format!("perl -e '{receive}'")).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(receiver.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let address: Vec<_> = NODE.split('.').collect();
    let send = format!(
        "perl -e 'socket(S, 2, 3, 132) or die; send(S, pack(q(H*), q({})), 0, pack(q(SnC4x8), 2, 0, {})) or die'",
        init(9899),
        address.join(", ")
    );
    tests::eventually("the packet arrives", || {
        outside.look(&send);
        std::thread::sleep(std::time::Duration::from_millis(50));
        receiver.try_wait().unwrap().is_some()
    });
    let mut packet = String::new();
    output.read_to_string(&mut packet).unwrap();
    // Behind twenty bytes of IP: source and destination port.
    assert_eq!(&packet[40..48], &format!("{:04x}{:04x}", 7777, 36412), "{packet}");
    node.call("portmap", &pod).del(&mapped);
    assert_eq!(super::elements(&node), 0);
}
