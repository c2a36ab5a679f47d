//! Names of network interfaces.

use std::fmt;
use std::ops::Deref;

/// A name that a network interface can have: 1 to 15 bytes, not `.` or `..`, without `/`, `:`, `%` and white space
/// (`dev_valid_name` and `dev_prep_valid_name` in net/core/dev.c; the kernel puts a number in the place of `%d`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct InterfaceName(String);

/// A text that is not a name for an interface.
#[derive(Debug, thiserror::Error)]
#[error("invalid interface name {0:?} (1 to 15 bytes, without / : % and white space)")]
pub struct InvalidInterfaceName(String);

impl InterfaceName {
    /// Most bytes of a name (`IFNAMSIZ` in uapi/linux/if.h, less its zero).
    pub const MAX_LEN: usize = 15;
}

impl TryFrom<String> for InterfaceName {
    type Error = InvalidInterfaceName;

    fn try_from(name: String) -> Result<Self, InvalidInterfaceName> {
        /// The kernel's `isspace` takes this byte for Latin-1's no-break space, also within a UTF-8 character.
        const NO_BREAK_SPACE: u8 = 0xa0;
        let is_forbidden = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace();
        let is_valid = (1..=Self::MAX_LEN).contains(&name.len())
            && name != "."
            && name != ".."
            && !name.contains(is_forbidden)
            && !name.as_bytes().contains(&NO_BREAK_SPACE);
        if is_valid { Ok(Self(name)) } else { Err(InvalidInterfaceName(name)) }
    }
}

impl Deref for InterfaceName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// As a text in quotes, for sentences.
impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::new_namespace;
    use crate::{NewLink, NewLinkKind};

    #[test]
    fn the_kernel_creates_links_of_valid_names_and_refuses_the_others() {
        let mut rtnetlink = new_namespace();
        for (name, is_valid) in [
            ("eth0", true),
            ("fifteen-bytes-0", true),
            ("sixteen-bytes-00", false),
            ("...", true),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a:b", false),
            ("a b", false),
            ("a\tb", false),
            ("a\u{b}b", false),
            ("grün", true),
            ("là", false),
            ("%s", false),
            ("\u{7}", true),
        ] {
            assert_eq!(InterfaceName::try_from(name.to_owned()).is_ok(), is_valid, "{name:?}");
            let created = rtnetlink.create(&NewLink::new(name, NewLinkKind::Ifb));
            assert_eq!(created.is_ok(), is_valid, "{name:?}: {created:?}");
        }
    }

    #[test]
    fn a_name_that_the_kernel_completes_and_an_empty_one_are_invalid() {
        for name in ["", "eth%d"] {
            let error = InterfaceName::try_from(name.to_owned()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?} (1 to 15 bytes")), "{error}");
        }
    }
}
