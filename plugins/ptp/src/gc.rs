//! GC.

use attachment::Collection;
use cni::{Answer, Request};

pub(crate) fn gc(request: &Request) -> Answer<()> {
    let mut collection = Collection::begin(request)?;
    collection.delete_pairs();
    collection.end()
}
