//! ADD: reserves one address of each range set.

use cni::{AddResult, Dns, Failure, Request, code};

use crate::allocator::Allocator;
use crate::boot;
use crate::config::Config;
use crate::error::{Result, in_set};
use crate::requested;
use crate::resolv_conf;
use crate::store::{Owner, Store};

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let config = Config::of(request)?;
    if config.sets.is_empty() {
        return Err(Failure::new(
            code::INVALID_CONFIG,
            "no IP ranges specified: want ipam.ranges, ipam.subnet or runtimeConfig.ipRanges",
        ));
    }
    let requested = requested::assign(&config.requested, &config.sets)?;
    let dns = config.resolv_conf.as_deref().map_or(Ok(Dns::default()), resolv_conf::read)?;
    let owner = Owner::of(request);
    let mut store = Store::create(&config.directory, config.options)?;
    if config.reclaim_after_reboot {
        boot::note(&mut store)?;
    }
    let mut allocator = Allocator::new(&mut store, owner, &config)?;
    let mut ips = Vec::with_capacity(config.sets.len());
    for (number, (set, requested)) in config.sets.iter().zip(requested).enumerate() {
        match allocator.allocate(number, set, requested) {
            Ok(ip) => ips.push(ip),
            Err(reason) => {
                allocator.undo(&ips);
                return Err(in_set(number, reason));
            }
        }
    }
    Ok(AddResult { ips, routes: config.routes, dns, ..AddResult::default() })
}
