//! What the plugin changes.

use std::collections::BTreeMap;

use linux::{Change, Link, Mac};
use serde::{Deserialize, Serialize, Serializer};

/// Properties of an interface and kernel parameters of its namespace: those that a config asks for, or the values that
/// they had before. In the reference's file, the same properties stand under the same keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tuning {
    /// Hardware address.
    #[serde(deserialize_with = "cni::optional", serialize_with = "as_text")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whether the interface receives every frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    /// Largest packet in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether the interface receives every multicast frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allmulti: Option<bool>,
    /// Length of the transmit queue in packets.
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    pub tx_queue_length: Option<u32>,
    /// Values of kernel parameters by their [path](crate::sysctls::path). The reference does not restore them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
}

fn as_text<S: Serializer>(mac: &Option<Mac>, serializer: S) -> Result<S::Ok, S::Error> {
    mac.map(|mac| mac.to_string()).serialize(serializer)
}

impl Tuning {
    /// Returns the properties of `link`, as far as `wanted` has them.
    pub fn of(link: &Link, wanted: &Self) -> Self {
        Self {
            mac: wanted.mac.and(link.mac),
            promisc: wanted.promisc.map(|_| link.promiscuous),
            mtu: wanted.mtu.map(|_| link.mtu),
            allmulti: wanted.allmulti.map(|_| link.all_multicast),
            tx_queue_length: wanted.tx_queue_length.map(|_| link.tx_queue_length),
            sysctl: BTreeMap::new(),
        }
    }

    /// Adds what only `other` has.
    pub fn or(mut self, other: Self) -> Self {
        let mut sysctl = other.sysctl;
        sysctl.append(&mut self.sysctl);
        Self {
            mac: self.mac.or(other.mac),
            promisc: self.promisc.or(other.promisc),
            mtu: self.mtu.or(other.mtu),
            allmulti: self.allmulti.or(other.allmulti),
            tx_queue_length: self.tx_queue_length.or(other.tx_queue_length),
            sysctl,
        }
    }

    /// Tells whether it has properties of the interface.
    pub fn is_of_interface(&self) -> bool {
        Self { sysctl: BTreeMap::new(), ..self.clone() } != Self::default()
    }

    /// Returns the changes that give `link` these properties, where it has others: a driver may refuse any change of what
    /// is right already. The MTU comes first, because the kernel then sets the parameters that follow from it anew.
    pub fn changes(&self, link: &Link) -> Vec<Change> {
        fn other<T: PartialEq>(wanted: Option<T>, now: Option<T>) -> Option<T> {
            wanted.filter(|wanted| now.as_ref() != Some(wanted))
        }
        let (now, index) = (Self::of(link, self), link.index);
        let mtu = other(self.mtu, now.mtu).map(|mtu| Change::set_mtu(index, mtu));
        let mac = other(self.mac, now.mac).map(|mac| Change::set_mac(index, mac));
        let promisc = other(self.promisc, now.promisc).map(|on| Change::set_promiscuous(index, on));
        let allmulti = other(self.allmulti, now.allmulti).map(|on| Change::set_all_multicast(index, on));
        let queue = other(self.tx_queue_length, now.tx_queue_length);
        let queue = queue.map(|packets| Change::set_tx_queue_length(index, packets));
        [mtu, mac, promisc, allmulti, queue].into_iter().flatten().collect()
    }

    /// Returns the first property that is not as in `self`: its key, its value in `self`, and the one in `found`.
    pub fn difference(&self, found: &Self) -> Option<(&'static str, String, String)> {
        fn differing<T: PartialEq + ToString>(
            wanted: Option<T>,
            found: Option<T>,
        ) -> Option<(String, String)> {
            let wanted = wanted.filter(|wanted| found.as_ref() != Some(wanted))?;
            Some((wanted.to_string(), found.map_or_else(|| "none".to_owned(), |found| found.to_string())))
        }
        [
            ("mac", differing(self.mac, found.mac)),
            ("promisc", differing(self.promisc, found.promisc)),
            ("mtu", differing(self.mtu, found.mtu)),
            ("allmulti", differing(self.allmulti, found.allmulti)),
            ("txQLen", differing(self.tx_queue_length, found.tx_queue_length)),
        ]
        .into_iter()
        .find_map(|(key, values)| values.map(|(wanted, found)| (key, wanted, found)))
    }
}
