//! Elements of sets and maps: written, and as the kernel shows them.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

use crate::attributes::{Attributes, each, find, find_nested, text};
use crate::batch::Batch;
use crate::constants::*;
use crate::expressions::{Verdict, verdict};
use crate::user_data::UserData;

/// An element of a set or a map of the batch's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The name of the set.
    pub set: String,
    /// Its key; of several fields, each filled up to whole words of four bytes.
    pub key: Vec<u8>,
    /// Its value.
    pub data: Data,
    /// Its comment, and entries that only weir reads: see [`UserData`].
    pub user_data: Vec<u8>,
}

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nothing, in a plain set.
    None,
    /// Data, of the length that the map declares.
    Value(Vec<u8>),
    /// `jump CHAIN`, in a verdict map.
    Jump(String),
}

impl Element {
    /// Returns an element of a plain set, without user data.
    pub fn new(set: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self { set: set.into(), key: key.into(), data: Data::None, user_data: Vec::new() }
    }

    /// Returns the same element with data, of a map.
    #[must_use]
    pub fn with_data(self, data: impl Into<Vec<u8>>) -> Self {
        Self { data: Data::Value(data.into()), ..self }
    }

    /// Returns the same element with user data.
    #[must_use]
    pub fn with_user_data(self, user_data: &UserData) -> Self {
        Self { user_data: user_data.bytes().to_vec(), ..self }
    }
}

impl Batch {
    /// Adds an element, unless it exists with the same data. The kernel refuses the batch if the data differs
    /// ([`Failed::is_conflict`](crate::Failed::is_conflict)).
    ///
    /// Equivalent to `nft add element TABLE SET { KEY : DATA }`.
    pub fn add_element(&mut self, element: &Element) {
        self.new_element(0, element);
    }

    /// Adds an element. The kernel refuses the batch if the key exists
    /// ([`Failed::is_conflict`](crate::Failed::is_conflict)).
    ///
    /// Equivalent to `nft create element TABLE SET { KEY : DATA }`.
    pub fn create_element(&mut self, element: &Element) {
        self.new_element(NLM_F_EXCL, element);
    }

    /// Deletes an element. The kernel refuses the batch with `ENOENT` if it does not exist. Returns the message's index.
    ///
    /// Equivalent to `nft delete element TABLE SET { KEY }`.
    pub fn delete_element(&mut self, set: &str, key: &[u8]) -> usize {
        self.message(libc::NFT_MSG_DELSETELEM, 0, |list| list_range(list, &Element::new(set, key), None))
    }

    /// Adds an element with `flags`.
    fn new_element(&mut self, flags: u16, element: &Element) {
        self.message(libc::NFT_MSG_NEWSETELEM, NLM_F_CREATE | flags, |list| list_range(list, element, None));
    }

    /// Adds ranges to a set of one field. Each goes from its first key to the key before its second, or to the last of all
    /// keys.
    ///
    /// Equivalent to `nft add element TABLE SET { FIRST-LAST }`.
    pub fn add_ranges(&mut self, set: &str, ranges: &[(Vec<u8>, Option<Vec<u8>>)]) {
        self.ranges(set, None, ranges);
    }

    /// As [`Batch::add_ranges`]; a set that is one rule's own is named by `id`.
    pub(crate) fn ranges(&mut self, set: &str, id: Option<u32>, ranges: &[(Vec<u8>, Option<Vec<u8>>)]) {
        /// A list's length is 16 bits.
        const AT_ONCE: usize = 500;
        for ranges in ranges.chunks(AT_ONCE) {
            self.message(libc::NFT_MSG_NEWSETELEM, NLM_F_CREATE, |list| {
                list.text(NFTA_SET_ELEM_LIST_SET, set);
                if let Some(id) = id {
                    list.number(NFTA_SET_ELEM_LIST_SET_ID, id);
                }
                list.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |elements| {
                    for (first, end) in ranges {
                        bound(elements, first, false);
                        end.iter().for_each(|end| bound(elements, end, true));
                    }
                });
            });
        }
    }

    /// Adds an element of several fields. Each field is a range, from its value in `element`'s key to that in `last`.
    ///
    /// Equivalent to `nft add element TABLE SET { FIRST-LAST . FIRST-LAST }`.
    pub fn add_range_of_several(&mut self, element: &Element, last: &[u8]) {
        self.message(libc::NFT_MSG_NEWSETELEM, NLM_F_CREATE, |list| list_range(list, element, Some(last)));
    }
}

/// One end of a range in a set.
fn bound(elements: &mut Attributes<'_>, key: &[u8], is_end: bool) {
    elements.nest(NFTA_LIST_ELEM, |element| {
        element.nest(NFTA_SET_ELEM_KEY, |nest| nest.bytes(NFTA_DATA_VALUE, key));
        if is_end {
            element.number(NFTA_SET_ELEM_FLAGS, libc::NFT_SET_ELEM_INTERVAL_END.cast_unsigned());
        }
    });
}

/// Names a set, and with it all of its elements.
pub(crate) fn list_all(list: &mut Attributes<'_>, set: &str) {
    list.text(NFTA_SET_ELEM_LIST_SET, set);
}

/// Names one element, or with `last` a range of them.
pub(crate) fn list_range(list: &mut Attributes<'_>, element: &Element, last: Option<&[u8]>) {
    list.text(NFTA_SET_ELEM_LIST_SET, &element.set);
    list.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |elements| {
        elements.nest(NFTA_LIST_ELEM, |nest| {
            nest.nest(NFTA_SET_ELEM_KEY, |key| key.bytes(NFTA_DATA_VALUE, &element.key));
            if let Some(last) = last {
                nest.nest(NFTA_SET_ELEM_KEY_END, |key| key.bytes(NFTA_DATA_VALUE, last));
            }
            match &element.data {
                Data::None => {}
                Data::Value(value) => {
                    nest.nest(NFTA_SET_ELEM_DATA, |data| data.bytes(NFTA_DATA_VALUE, value));
                }
                Data::Jump(chain) => {
                    nest.nest(NFTA_SET_ELEM_DATA, |data| verdict(data, Verdict::Jump(chain)));
                }
            }
            if !element.user_data.is_empty() {
                nest.bytes(NFTA_SET_ELEM_USERDATA, &element.user_data);
            }
        });
    });
}

/// An element as the kernel shows it.
#[derive(Clone, Copy)]
pub struct FoundElement<'a>(&'a [u8]);

impl<'a> FoundElement<'a> {
    /// Returns the elements of one reply.
    pub(crate) fn each(reply: &'a [u8]) -> impl Iterator<Item = Self> {
        each(find(reply, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default()).map(|(_, element)| Self(element))
    }

    /// Returns its key.
    pub fn key(self) -> &'a [u8] {
        find_nested(self.0, &[NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE]).unwrap_or_default()
    }

    /// Returns its data; empty for a verdict, and in a plain set.
    pub fn data(self) -> &'a [u8] {
        find_nested(self.0, &[NFTA_SET_ELEM_DATA, NFTA_DATA_VALUE]).unwrap_or_default()
    }

    /// Returns the chain that its verdict jumps or goes to.
    pub fn chain(self) -> Option<&'a [u8]> {
        find_nested(self.0, &[NFTA_SET_ELEM_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN]).map(text)
    }

    /// Returns whether it is the end of a range, and not in it.
    pub fn is_end(self) -> bool {
        let flags = find(self.0, NFTA_SET_ELEM_FLAGS).and_then(|flags| flags.try_into().ok());
        flags.map_or(0, u32::from_be_bytes) & libc::NFT_SET_ELEM_INTERVAL_END.cast_unsigned() != 0
    }

    /// Returns its user data.
    pub fn user_data(self) -> &'a [u8] {
        find(self.0, NFTA_SET_ELEM_USERDATA).unwrap_or_default()
    }
}
