//! Text of other programs, made safe for a terminal.

use std::borrow::Cow;

/// Returns `text` on one line, with escapes such as `\u{1b}` for control characters, escape sequences, line breaks, and
/// Unicode's invisible and direction-changing characters.
///
/// A container may name its interfaces with such bytes (`dev_valid_name` in net/core/dev.c forbids only white space,
/// `/` and
/// `:`), and an executed plugin may print anything.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_printable(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    Cow::Owned(shown)
}

/// Returns whether the standard library prints the character without an escape, or with one that only a string literal
/// needs.
fn is_printable(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_and_everything_can_be_seen() {
        for (text, shown) in [
            ("eth0", "eth0"),
            ("a \"quoted\" Ä\\u{7}", "a \"quoted\" Ä\\u{7}"),
            ("long\x1b[2J", "long\\u{1b}[2J"),
            ("two\r\nlines", "two\\r\\nlines"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("right\u{202e}left\u{200b}", "right\\u{202e}left\\u{200b}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
