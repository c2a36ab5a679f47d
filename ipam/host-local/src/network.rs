//! A network, for the operator's commands.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::config;
use crate::error::Result;
use crate::prefixes::Prefixes;
use crate::range_set::RangeSet;
use crate::store::Options;

/// The reservations of a network, and its ranges.
pub struct Network {
    /// `name` of the config.
    pub name: String,
    /// The directory of its reservations.
    pub directory: PathBuf,
    /// Its range sets; none when the runtime supplies them, or when there is no config.
    pub(crate) sets: Vec<RangeSet>,
    /// How to use the directory.
    pub(crate) options: Options,
    pub(crate) exclude: Vec<IpNetwork>,
}

impl Network {
    /// Returns the network called `name` of a plugin's config whose `ipam` is `host-local`.
    ///
    /// # Errors
    /// Code 7 with the first invalid key.
    pub fn of_config(name: &str, config: &Value) -> Result<Self> {
        config::network(name, config)
    }

    /// Returns the network whose reservations are in `directory`, by the directory's name alone.
    pub fn of_directory(directory: &Path) -> Self {
        Self {
            name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            directory: directory.to_owned(),
            sets: Vec::new(),
            options: Options::default(),
            exclude: Vec::new(),
        }
    }

    /// Counts the addresses from `start` to `end` that can be allocated; at most 2¹²⁸ − 1.
    pub(crate) fn size(&self, start: IpAddr, end: IpAddr) -> u128 {
        let gateways = self.sets.iter().flat_map(|set| &set.ranges).map(|range| range.gateway.into());
        Prefixes::new(self.exclude.iter().copied().chain(gateways)).count_outside(start, end)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_size_is_what_can_be_allocated() {
        let network =
            |ipam: Value| Network::of_config("net1", &json!({"name": "net1", "ipam": ipam})).unwrap();
        let size = |network: &Network| {
            let range = &network.sets[0].ranges[0];
            network.size(range.start, range.end)
        };
        assert_eq!(size(&network(json!({"subnet": "10.1.2.0/24"}))), 253);
        assert_eq!(size(&network(json!({"subnet": "10.1.2.0/24", "gateway": "10.9.0.1"}))), 254);
        let exclude = json!(["10.1.2.0/30", "10.1.2.2", "10.1.2.100/31", "10.9.0.0/16"]);
        assert_eq!(size(&network(json!({"subnet": "10.1.2.0/24", "exclude": exclude}))), 254 - 3 - 2);
        assert_eq!(size(&network(json!({"subnet": "10.1.2.0/31"}))), 1);
        assert_eq!(size(&network(json!({"subnet": "fd00::/64"}))), (1 << 64) - 2);
        assert_eq!(size(&network(json!({"subnet": "fd00::/32"}))), (1 << 96) - 2);
        assert_eq!(size(&network(json!({"subnet": "::/0"}))), u128::MAX - 1);
        assert_eq!(size(&network(json!({"subnet": "::/0", "exclude": ["::/0"]}))), 0);
    }
}
