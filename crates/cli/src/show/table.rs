//! Tables without borders: columns aligned, the last one cut to the terminal.

use super::clean;

/// Rows of cells; a column is as wide as its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

/// Between two columns.
const GAP: usize = 3;

impl Table {
    /// A table whose columns of these numbers are aligned to the right.
    pub(crate) fn new(right: &[usize]) -> Self {
        Self { rows: Vec::new(), right: right.to_vec() }
    }

    /// Adds a row; what comes from a package is escaped here.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The lines, each indented; cut to `width` columns where that is given.
    pub(crate) fn lines(&self, indent: usize, width: Option<usize>) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        self.rows.iter().map(|row| self.line(row, &widths, indent, width)).collect()
    }

    fn line(
        &self,
        row: &[String],
        widths: &[usize],
        indent: usize,
        width: Option<usize>,
    ) -> String {
        let mut line = " ".repeat(indent);
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            if self.right.contains(&column) {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
            line.push_str(&" ".repeat(if *width == 0 { 0 } else { GAP }));
        }
        line.truncate(line.trim_end().len());
        match width {
            Some(width) if line.chars().count() > width => {
                line.chars().take(width - 1).chain(['…']).collect()
            }
            _ => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns_and_leaves_out_empty_ones() {
        let mut table = Table::new(&[2]);
        table.row(["NAME", "", "SIZE", "NOTE"]);
        table.row(["é", "", "7", "a\nb"]);
        assert_eq!(table.lines(2, None), ["  NAME   SIZE   NOTE", "  é         7   a\\u{a}b"]);
    }

    #[test]
    fn cuts_to_the_terminal() {
        let mut table = Table::new(&[]);
        table.row(["a", "0123456789"]);
        assert_eq!(table.lines(0, Some(8)), ["a   012…"]);
        assert_eq!(table.lines(0, Some(14)), ["a   0123456789"]);
    }
}
