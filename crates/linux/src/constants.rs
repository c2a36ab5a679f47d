//! The kernel's numbers that the crate `libc` lacks or has as `c_int`, by the header that they are from.

// `libc` has the numbers of Ethernet's protocols as `c_int`; they have 16 bits.
#![allow(clippy::cast_possible_truncation)]

use nix::libc;

// linux/netlink.h, net_namespace.h
pub const NLMSGERR_ATTR_MSG: u16 = 1;
pub const NETNSA_NSID: u16 = 1;

// linux/rtnetlink.h, the lengths of fixed headers
pub const RTGENMSG_LEN: usize = 4;
pub const RTMSG_LEN: usize = 12;
pub const RTNEXTHOP_LEN: usize = 8;
pub const TCMSG_LEN: usize = 20;
pub const IFINFOMSG_LEN: usize = size_of::<libc::ifinfomsg>();
pub const IFADDRMSG_LEN: usize = size_of::<libc::ifaddrmsg>();

// linux/rtnetlink.h
pub const RTM_NEWVLAN: u16 = 112;
pub const RTM_GETVLAN: u16 = 114;
pub const RTAX_MTU: u16 = 2;
pub const RTAX_ADVMSS: u16 = 8;

// linux/if_link.h, ip.h
pub const IFLA_BR_VLAN_FILTERING: u16 = 7;
pub const IFLA_BR_VLAN_PROTOCOL: u16 = 8;
pub const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;
pub const IFLA_BRPORT_MODE: u16 = 4;
pub const IFLA_BRPORT_ISOLATED: u16 = 33;
pub const IFLA_INET_CONF: u16 = 1;
pub const IPV4_DEVCONF_ARP_NOTIFY: u16 = 22;

// linux/if_bridge.h
pub const BR_VLAN_MSG_LEN: usize = 8;
pub const BRIDGE_VLANDB_ENTRY: u16 = 1;
pub const BRIDGE_VLANDB_ENTRY_INFO: u16 = 1;
pub const BRIDGE_VLANDB_ENTRY_RANGE: u16 = 2;

// linux/netconf.h
pub const NETCONFMSG_LEN: usize = 4;
pub const NETCONFA_IFINDEX: u16 = 1;
pub const NETCONFA_FORWARDING: u16 = 2;
pub const NETCONFA_IFINDEX_ALL: i32 = -1;

// linux/gen_stats.h
pub const TCA_STATS_BASIC: u16 = 1;
pub const TCA_STATS_QUEUE: u16 = 3;
pub const TCA_STATS_PKT64: u16 = 8;

// linux/pkt_sched.h
pub const TC_LINKLAYER_ETHERNET: u8 = 1;
pub const TCA_TBF_PARMS: u16 = 1;
pub const TCA_TBF_RATE64: u16 = 4;
pub const TCA_TBF_PRATE64: u16 = 5;
pub const TCA_TBF_BURST: u16 = 6;
pub const TCA_TBF_PBURST: u16 = 7;
pub const TC_HTB_PROTOVER: u32 = 3;
pub const TCA_HTB_PARMS: u16 = 1;
pub const TCA_HTB_INIT: u16 = 2;
pub const TCA_HTB_RATE64: u16 = 6;
pub const TCA_HTB_CEIL64: u16 = 7;

// linux/pkt_cls.h, tc_act/tc_mirred.h
pub const TCA_U32_CLASSID: u16 = 1;
pub const TCA_U32_SEL: u16 = 5;
pub const TCA_U32_ACT: u16 = 7;
pub const TCA_ACT_KIND: u16 = 1;
pub const TCA_ACT_OPTIONS: u16 = 2;
pub const TCA_MIRRED_PARMS: u16 = 2;
pub const TCA_EGRESS_REDIR: u32 = 1;

// linux/bpf.h
pub const BPF_PROG_QUERY: libc::c_int = 16;
pub const BPF_TCX_INGRESS: u32 = 46;
pub const BPF_TCX_EGRESS: u32 = 47;

// linux/if_ether.h
pub const ETH_P_ALL: u16 = libc::ETH_P_ALL as u16;
pub const ETH_P_IP: u16 = libc::ETH_P_IP as u16;
pub const ETH_P_ARP: u16 = libc::ETH_P_ARP as u16;
pub const ETH_P_IPV6: u16 = libc::ETH_P_IPV6 as u16;
pub const ETH_P_8021Q: u16 = libc::ETH_P_8021Q as u16;
pub const ETH_P_8021AD: u16 = libc::ETH_P_8021AD as u16;
