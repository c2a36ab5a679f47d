//! The attachments of this node, as several commands show and find them: pairs, whose they are, what limits them.

mod base64;
mod error;
pub(crate) mod json;
mod kept;
mod pods;
mod target;

pub(crate) use error::Error;
pub(crate) use pods::Pods;
pub(crate) use target::{Target, find, find_one};

use bandwidth::Pair;
use linux::{Link, Rtnetlink};

/// Every veth pair of this namespace by its host's end; with whose it is, where anything tells.
pub(crate) fn pairs(host: &mut Rtnetlink, pods: &Pods) -> Result<Vec<Pair>, Error> {
    let mut pairs = bandwidth::pairs(host)?;
    for pair in &mut pairs {
        identify(host, pods, pair);
    }
    Ok(pairs)
}

/// The pair with this end; none when it has gone meanwhile.
fn pair(host: &mut Rtnetlink, pods: &Pods, host_end: Link) -> Result<Option<Pair>, Error> {
    let mut pair = Pair::of(host, host_end)?;
    if let Some(pair) = &mut pair {
        identify(host, pods, pair);
    }
    Ok(pair)
}

fn identify(host: &mut Rtnetlink, pods: &Pods, pair: &mut Pair) {
    pair.attachment = pods.identify(host, &pair.host_end, pair.attachment.take());
}
