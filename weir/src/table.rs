//! Tables for people.

use std::fmt::Write;
use std::ops::Range;

/// The characters of a container ID that are shown, as many as `crictl` shows.
const ID_LENGTH: usize = 13;
/// The characters of a cell that are shown: enough for a pod's namespace and name (63 and 253). `format!` takes widths
/// up to 65,535.
const CELL_LENGTH: usize = 320;
/// The items of a list that are shown; the others are counted.
const ITEMS: usize = 4;

/// Renders a table with a header. Columns are aligned, those of `numbers` to the right.
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

/// Returns a text, or `-` for one that is absent or empty.
pub(crate) fn cell(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// Returns the beginning of a container's ID.
pub(crate) fn short_id(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_LENGTH)]
}

/// Renders the first items of a list, separated by commas, and how many more there are: `a,b,c,d,+3996`. A pod can have
/// thousands of addresses.
pub(crate) fn items<T: ToString>(all: &[T]) -> String {
    let (shown, others) = all.split_at(all.len().min(ITEMS));
    let others = (!others.is_empty()).then(|| format!("+{}", others.len()));
    shown.iter().map(T::to_string).chain(others).collect::<Vec<_>>().join(",")
}

/// Escapes control characters: a pod chooses the names of its interfaces, and a terminal would obey them.
fn printable<const COLUMNS: usize>(row: &[String; COLUMNS]) -> [String; COLUMNS] {
    row.each_ref().map(|cell| {
        let shown = cni::printable(cell);
        match shown.char_indices().nth(CELL_LENGTH) {
            Some((end, _)) => format!("{}…", &shown[..end]),
            None => shown.into_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_escaped() {
        let rows = [
            ["ä".to_owned(), "7".to_owned(), String::new()],
            ["long\x1b[2J".to_owned(), "1500".to_owned(), "x".to_owned()],
        ];
        let text = render(["NAME", "MTU", "LAST"], 1..2, &rows);
        assert_eq!(text, "NAME            MTU  LAST\nä                 7\nlong\\u{1b}[2J  1500  x\n");
    }

    #[test]
    fn a_cell_has_a_bounded_width() {
        let text = render(["NAME", "LAST"], 2..2, &[["ä".repeat(100_000), "x".to_owned()]]);
        assert_eq!(text.lines().nth(1).unwrap(), format!("{}…  x", "ä".repeat(CELL_LENGTH)));
    }

    #[test]
    fn a_long_list_shows_its_first_items_and_counts_the_others() {
        let all: Vec<_> = (0..4_000).map(|number| number.to_string()).collect();
        assert_eq!(items(&all[..4]), "0,1,2,3");
        assert_eq!(items(&all), "0,1,2,3,+3996");
        assert_eq!(items::<String>(&[]), "");
    }
}
