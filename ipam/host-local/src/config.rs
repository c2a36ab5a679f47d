//! The plugin's keys and their checks.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Cidr, Failure, Request, Route, Version, code};
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;
use crate::network::Network;
use crate::prefixes::Prefixes;
use crate::range_set::RangeSet;
use crate::requested;
use crate::store::Options;

/// The default of `dataDir`.
const DEFAULT_DATA_DIR: &str = "/var/lib/cni/networks";

/// The config of ADD and STATUS.
#[derive(Debug)]
pub(crate) struct Config {
    /// An attachment gets one address of each, in this order. May be empty: the runtime supplies its ranges only for
    /// ADD, CHECK and DEL.
    pub(crate) sets: Vec<RangeSet>,
    /// Passed on as they are.
    pub(crate) routes: Vec<Route>,
    /// The file with the resolver's settings.
    pub(crate) resolv_conf: Option<PathBuf>,
    /// The requested addresses.
    pub(crate) requested: Vec<IpAddr>,
    /// `exclude`: addresses that are not allocated.
    pub(crate) exclude: Prefixes,
    /// Whether addresses from before the last boot may be released when no other is free.
    pub(crate) reclaim_after_reboot: bool,
    /// Whether STATUS fails when a range set has no free address.
    pub(crate) status_reports_exhaustion: bool,
    /// The directory of the network's reservations.
    pub(crate) directory: PathBuf,
    /// How the directory is used.
    pub(crate) options: Options,
}

/// The keys of a range.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RangeKeys {
    #[serde(deserialize_with = "cni::optional")]
    pub(crate) subnet: Option<Cidr>,
    #[serde(deserialize_with = "cni::optional")]
    pub(crate) range_start: Option<IpAddr>,
    #[serde(deserialize_with = "cni::optional")]
    pub(crate) range_end: Option<IpAddr>,
    #[serde(deserialize_with = "cni::optional")]
    pub(crate) gateway: Option<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ipam: Option<Ipam>,
    runtime_config: RuntimeConfig,
    args: Args,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    ranges: Vec<Vec<RangeKeys>>,
    // A single range, from before there were sets. Not flattened: a flattened structure would match its keys only in
    // this case of letters.
    #[serde(deserialize_with = "cni::optional")]
    subnet: Option<Cidr>,
    #[serde(deserialize_with = "cni::optional")]
    range_start: Option<IpAddr>,
    #[serde(deserialize_with = "cni::optional")]
    range_end: Option<IpAddr>,
    #[serde(deserialize_with = "cni::optional")]
    gateway: Option<IpAddr>,
    routes: Vec<Route>,
    resolv_conf: String,
    exclude: Vec<IpNetwork>,
    reclaim_after_reboot: bool,
    status_reports_exhaustion: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeConfig {
    #[serde(rename = "ipRanges")]
    ip_ranges: Vec<Vec<RangeKeys>>,
    ips: Vec<Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: CniArgs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CniArgs {
    ips: Vec<Option<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Under<T> {
    ipam: T,
}

/// The keys that every verb needs.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StoreKeys {
    data_dir: String,
    lock_timeout_seconds: Option<u32>,
    durable: bool,
    reuse_delay_seconds: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DirectoryKeys {
    data_dir: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GcKeys {
    gc_removes_running: bool,
}

impl StoreKeys {
    fn options(&self) -> Options {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Options {
            lock_timeout: self.lock_timeout_seconds.map_or(Options::default().lock_timeout, seconds),
            durable: self.durable,
            reuse_delay: seconds(self.reuse_delay_seconds),
        }
    }
}

impl Config {
    /// Reads the config of a request, with a warning on standard error for a value that is corrected.
    pub(crate) fn of(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        let ipam = keys.ipam.ok_or_else(Failure::no_ipam)?;
        let sets = range_sets(&ipam, &keys.runtime_config.ip_ranges)?;
        check_sets(&sets, request.version)?;
        let requested = requested::addresses(
            request.environment.arguments.get("IP")?,
            &keys.args.cni.ips,
            &keys.runtime_config.ips,
        )?;
        let (directory, options) = place(request)?;
        Ok(Self {
            sets,
            routes: ipam.routes,
            resolv_conf: Some(ipam.resolv_conf).filter(|path| !path.is_empty()).map(PathBuf::from),
            requested,
            exclude: Prefixes::new(ipam.exclude),
            reclaim_after_reboot: ipam.reclaim_after_reboot,
            status_reports_exhaustion: ipam.status_reports_exhaustion,
            directory,
            options,
        })
    }
}

/// Returns the directory of the network's reservations and how it is used. Reads no other key.
pub(crate) fn place(request: &Request) -> Result<(PathBuf, Options)> {
    let keys: Under<StoreKeys> = request.config()?;
    Ok((directory_in(&keys.ipam.data_dir, &request.network), keys.ipam.options()))
}

/// Returns the same for DEL, which continues with defaults in place of invalid keys.
pub(crate) fn place_of_any(request: &Request) -> (PathBuf, Options) {
    place(request).unwrap_or_else(|error| {
        let keys: Under<DirectoryKeys> = request.config().unwrap_or_default();
        let directory = directory_in(&keys.ipam.data_dir, &request.network);
        cni::note(format_args!("weir: continuing with {}: {error}", directory.display()));
        (directory, Options::default())
    })
}

/// Returns `gcRemovesRunning`, of the network or of `ipam`: whether GC releases addresses in namespaces with processes.
pub(crate) fn gc_removes_running(request: &Request) -> Result<bool> {
    let network: GcKeys = request.config()?;
    let ipam: Under<GcKeys> = request.config()?;
    Ok(network.gc_removes_running || ipam.ipam.gc_removes_running)
}

/// Reads a plugin's config for the operator's commands.
pub(crate) fn network(name: &str, config: &Value) -> Result<Network> {
    let keys: Keys = cni::decode(config)?;
    let store: Under<StoreKeys> = cni::decode(config)?;
    let ipam = keys.ipam.ok_or_else(Failure::no_ipam)?;
    Ok(Network {
        name: name.to_owned(),
        directory: directory_in(&store.ipam.data_dir, name),
        sets: range_sets(&ipam, &keys.runtime_config.ip_ranges)?,
        options: store.ipam.options(),
        exclude: ipam.exclude,
    })
}

fn directory_in(data_dir: &str, network: &str) -> PathBuf {
    let data_dir = if data_dir.is_empty() { DEFAULT_DATA_DIR } else { data_dir };
    Path::new(data_dir).join(network)
}

/// Returns the runtime's sets, the single range and those of `ipam.ranges`, in this order.
fn range_sets(ipam: &Ipam, runtime: &[Vec<RangeKeys>]) -> Result<Vec<RangeSet>> {
    let mut sets = Vec::with_capacity(1 + runtime.len() + ipam.ranges.len());
    for (index, ranges) in runtime.iter().enumerate() {
        let key = format!("runtimeConfig.ipRanges[{index}]");
        // cri-dockerd sends an empty range while it does not know the node's.
        let known: Vec<_> = named(&key, ranges).filter(|(keys, _)| keys.subnet.is_some()).collect();
        if !known.is_empty() {
            sets.push(RangeSet::new(key, known.into_iter())?);
        }
    }
    if ipam.subnet.is_some() {
        let Ipam { subnet, range_start, range_end, gateway, .. } = *ipam;
        let keys = RangeKeys { subnet, range_start, range_end, gateway };
        sets.push(RangeSet::new("ipam".to_owned(), std::iter::once((&keys, "ipam".to_owned())))?);
    }
    for (index, ranges) in ipam.ranges.iter().enumerate() {
        let key = format!("ipam.ranges[{index}]");
        sets.push(RangeSet::new(key.clone(), named(&key, ranges))?);
    }
    Ok(sets)
}

fn named<'a>(key: &str, ranges: &'a [RangeKeys]) -> impl Iterator<Item = (&'a RangeKeys, String)> {
    ranges.iter().enumerate().map(move |(index, keys)| (keys, format!("{key}[{index}]")))
}

fn check_sets(sets: &[RangeSet], version: Version) -> Result<()> {
    version.check_room(sets.iter().map(RangeSet::is_ipv4))?;
    for (number, set) in sets.iter().enumerate() {
        for (other_number, other) in sets.iter().enumerate().skip(number + 1) {
            if set.overlaps(other) {
                return Err(Failure::new(
                    code::INVALID_CONFIG,
                    format!(
                        "range set {number} overlaps with {other_number}: {} is {set}, {} is {other}",
                        set.key, other.key
                    ),
                ));
            }
        }
    }
    Ok(())
}
