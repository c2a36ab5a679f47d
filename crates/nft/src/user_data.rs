//! User data: the comment that `nft` shows, and entries that only weir reads.
//!
//! User data is a list of entries: one byte kind, one byte length, the value. Kind 0 of tables, chains, rules and elements
//! is the comment, ended by a zero byte. `nft` ignores unknown kinds; weir's have the highest bit.

use nix::libc;

use crate::claimant::{Claimant, Digest};

const COMMENT: u8 = 0;

/// The user data of an object, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData(Vec<u8>);

impl UserData {
    /// `NFT_USERDATA_MAXLEN`: the most bytes that the kernel accepts.
    #[allow(clippy::cast_sign_loss, reason = "a constant that is positive")]
    pub const CAPACITY: usize = libc::NFT_USERDATA_MAXLEN as usize;

    /// The kind of a claimant's digest.
    pub const CLAIMANT: u8 = 0x87;

    /// Creates user data with a comment of at most 127 bytes, the most that `nft` accepts.
    pub fn of_comment(text: &str) -> Self {
        let mut data = Self(Vec::with_capacity(text.len() + 3));
        data.push(COMMENT, &[text.as_bytes(), &[0]].concat());
        data
    }

    /// Creates user data without entries. Programs that do not know weir's kinds show nothing of those that are added.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// Creates user data with a claimant's comment and digest.
    pub fn of_claimant(claimant: &Claimant) -> Self {
        let mut data = Self::of_comment(&claimant.comment);
        data.push(Self::CLAIMANT, &claimant.digest.0);
        data
    }

    /// Appends an entry of at most 255 bytes. `kind` is 0x80 or more; [`Self::CLAIMANT`] is taken.
    #[must_use]
    pub fn with(mut self, kind: u8, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, kind: u8, value: &[u8]) {
        self.0.extend([kind, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
        self.0.extend(value);
    }

    /// Returns the value of the first entry of a kind.
    pub fn find(user_data: &[u8], kind: u8) -> Option<&[u8]> {
        entries(user_data).find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Returns the comment, if there is one.
    pub fn comment(user_data: &[u8]) -> Option<String> {
        let comment = Self::find(user_data, COMMENT)?;
        Some(String::from_utf8_lossy(comment.strip_suffix(&[0]).unwrap_or(comment)).into_owned())
    }

    /// Returns the claimant that [`UserData::of_claimant`] wrote.
    pub fn claimant(user_data: &[u8]) -> Option<Claimant> {
        let digest = Digest(Self::find(user_data, Self::CLAIMANT)?.try_into().ok()?);
        Some(Claimant { comment: Self::comment(user_data).unwrap_or_default(), digest })
    }
}

/// Creates the user data of a set, which has kinds of its own (`enum nftnl_udata_set_types` of libnftnl's udata.h).
pub(crate) fn of_set(comment: &str, has_keys_in_host_order: bool) -> UserData {
    const KEY_BYTE_ORDER: u8 = 0;
    const SET_COMMENT: u8 = 7;
    const HOST_ORDER: u32 = 1;
    let mut data = UserData(Vec::with_capacity(comment.len() + 9));
    if has_keys_in_host_order {
        data.push(KEY_BYTE_ORDER, &HOST_ORDER.to_ne_bytes());
    }
    data.push(SET_COMMENT, &[comment.as_bytes(), &[0]].concat());
    data
}

/// Returns each entry's kind and value. Skips a malformed tail.
fn entries(user_data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = user_data;
    std::iter::from_fn(move || {
        let [kind, length, tail @ ..] = rest else { return None };
        let (value, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        Some((*kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let claimant = Claimant { comment: "podnet/abc/eth0".to_owned(), digest: Digest::of(&["podnet"]) };
        let data = UserData::of_claimant(&claimant).with(0x84, &[24, 10, 0, 0, 5]);
        assert_eq!(UserData::claimant(data.bytes()), Some(claimant));
        assert_eq!(UserData::find(data.bytes(), 0x84), Some([24, 10, 0, 0, 5].as_slice()));
        assert_eq!(UserData::find(data.bytes(), 0x85), None);
    }

    #[test]
    fn malformed_user_data_has_no_claimant_and_no_comment() {
        for bytes in [&[][..], &[0], &[0, 9, 1], &[0x87, 3, 1, 2, 3], &[0x87, 16, 1]] {
            assert_eq!((UserData::claimant(bytes), UserData::comment(bytes)), (None, None));
        }
    }
}
