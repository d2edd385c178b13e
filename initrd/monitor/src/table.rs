//! Text in columns.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Rows of cells; the first one is the head.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table of a head alone.
    pub(crate) fn new(head: [&str; N]) -> Self {
        Self {
            rows: alloc::vec![head.map(String::from)],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// The table as lines. Each column is as wide as its widest cell; the last one ends where it ends.
    pub(crate) fn text(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                // Writing to a string does not fail.
                let written = write!(line, "{cell:width$}  ");
                debug_assert!(written.is_ok());
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_lines_end_where_they_end() {
        let mut table = Table::new(["NAME", "N", "WHY"]);
        table.row(["a".into(), "100".into(), String::new()]);
        table.row(["\u{e9}t\u{e9} long".into(), "1".into(), "b".into()]);
        let expected = "NAME      N    WHY\na         100\n\u{e9}t\u{e9} long  1    b\n";
        assert_eq!(table.text(), expected);
    }
}
