//! Parts of the kernel that can be absent.

/// A part of the kernel that can be absent: not built, or a module that is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Bridge devices.
    Bridge,
    /// VLANs of a bridge's ports.
    BridgeVlanFiltering,
    /// Reading the VLANs of one port.
    BridgeVlanList,
    /// Virtual Ethernet pairs.
    Veth,
    /// Macvlan devices.
    Macvlan,
    /// Intermediate functional block devices, which shape what a pod sends.
    Ifb,
    /// The token bucket filter.
    Tbf,
    /// The ingress and clsact qdiscs.
    Ingress,
    /// The u32 classifier.
    U32,
    /// The mirred action.
    Mirred,
    /// Network address translation in nf_tables.
    NftablesNat,
    /// The question of nf_tables whether an address is this host's.
    NftablesFib,
    /// nf_tables for frames that bridges forward.
    NftablesBridge,
    /// nf_tables at a link's ingress, with `fwd`.
    NftablesForward,
    /// Extensions of xtables in nf_tables, as `iptables-nft` uses them.
    NftablesCompat,
    /// The hierarchical token bucket, as a classifier before a token bucket filter.
    Htb,
    /// Tracking of SCTP connections.
    SctpConntrack,
    /// IPv6.
    Ipv6,
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge devices (CONFIG_BRIDGE, module bridge)",
            Self::BridgeVlanFiltering => "bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)",
            Self::BridgeVlanList => {
                "list of one port's VLANs (RTM_GETVLAN: CONFIG_BRIDGE_VLAN_FILTERING, in Linux 5.6 or later)"
            }
            Self::Veth => "veth devices (CONFIG_VETH, module veth)",
            Self::Macvlan => "macvlan devices (CONFIG_MACVLAN, module macvlan)",
            Self::Ifb => "ifb devices (CONFIG_IFB, module ifb)",
            Self::Tbf => "token bucket filter (CONFIG_NET_SCH_TBF, module sch_tbf)",
            Self::Ingress => "ingress qdisc (CONFIG_NET_SCH_INGRESS, module sch_ingress)",
            Self::U32 => "u32 classifier (CONFIG_NET_CLS_U32, module cls_u32)",
            Self::Mirred => "mirred action (CONFIG_NET_ACT_MIRRED, module act_mirred)",
            Self::NftablesNat => {
                "nf_tables address translation (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ, modules nf_tables, nft_chain_nat and nft_masq)"
            }
            Self::NftablesFib => {
                "lookup of local addresses in nf_tables (CONFIG_NFT_FIB_INET, module nft_fib_inet)"
            }
            Self::NftablesBridge => "nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE, module nf_tables)",
            Self::NftablesForward => {
                "nf_tables for what arrives at a link (CONFIG_NF_TABLES_NETDEV and CONFIG_NFT_FWD_NETDEV, modules nf_tables and nft_fwd_netdev)"
            }
            Self::NftablesCompat => {
                "extensions of iptables in nf_tables (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_MATCH_COMMENT and CONFIG_NETFILTER_XT_MATCH_CONNTRACK, modules nft_compat, xt_comment and xt_conntrack)"
            }
            Self::Htb => "hierarchical token bucket (CONFIG_NET_SCH_HTB, module sch_htb)",
            Self::SctpConntrack => "tracking of SCTP connections (CONFIG_NF_CT_PROTO_SCTP)",
            Self::Ipv6 => "IPv6 (CONFIG_IPV6, or it is switched off by ipv6.disable=1)",
        })
    }
}
