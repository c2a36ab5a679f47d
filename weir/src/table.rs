//! Tables for people.

use std::fmt::Write;
use std::ops::Range;

/// So much of a container's ID tells it apart (`crictl` prints as much).
const ID_LENGTH: usize = 13;

/// A table with a header, columns aligned; those of `numbers` to the right.
pub(crate) fn render<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    numbers: Range<usize>,
    rows: &[[String; COLUMNS]],
) -> String {
    let rows: Vec<_> = std::iter::once(&header.map(str::to_owned)).chain(rows).map(printable).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a String cannot fail.
            let _ = if numbers.contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text, or `-` for one that is absent or empty.
pub(crate) fn cell(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// The beginning of a container's ID.
pub(crate) fn short_id(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_LENGTH)]
}

/// A pod may name its interfaces as it likes, also with what a terminal takes for commands.
fn printable<const COLUMNS: usize>(row: &[String; COLUMNS]) -> [String; COLUMNS] {
    row.clone().map(|cell| cell.replace(char::is_control, "?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_controls_the_terminal() {
        let rows = [
            ["ä".to_owned(), "7".to_owned(), String::new()],
            ["long\x1b[2J".to_owned(), "1500".to_owned(), "x".to_owned()],
        ];
        let text = render(["NAME", "MTU", "LAST"], 1..2, &rows);
        assert_eq!(text, "NAME       MTU  LAST\nä            7\nlong?[2J  1500  x\n");
    }
}
