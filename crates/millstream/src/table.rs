//! Tables on a terminal. Widths count columns, not characters, so that
//! Chinese text lines up.

use crate::terminal::printable_line;
use unicode_width::UnicodeWidthStr;

/// Widest cell; longer text is cut in the middle.
const CELL_COLUMNS_MAX: usize = 60;

/// A table that is printed whole.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with these heads.
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|h| cut(h)).collect(),
            rows: Vec::new(),
            right: Vec::new(),
        }
    }

    /// Aligns these columns to the right: numbers.
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| cut(&cell)).collect());
    }

    /// Prints to standard output; a closed pipe is not an error.
    pub fn print(&self) {
        use std::io::Write;
        let _ = std::io::stdout()
            .lock()
            .write_all(self.to_string().as_bytes());
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|h| h.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let mut text = String::new();
            for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width - cell.width());
                if i > 0 {
                    text.push_str("  ");
                }
                if self.right.contains(&i) {
                    text.push_str(&gap);
                    text.push_str(cell);
                } else {
                    text.push_str(cell);
                    text.push_str(&gap);
                }
            }
            text.trim_end().to_owned()
        };
        writeln!(f, "{}", line(&self.head))?;
        let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
        writeln!(f, "{}", line(&rule))?;
        for row in &self.rows {
            writeln!(f, "{}", line(row))?;
        }
        Ok(())
    }
}

fn cut(cell: &str) -> String {
    let cell = cell.replace(['\n', '\r', '\t'], " ");
    let cell = printable_line(&cell).into_owned();
    if cell.width() <= CELL_COLUMNS_MAX {
        return cell;
    }
    let keep = CELL_COLUMNS_MAX / 2 - 1;
    let head: String = take_columns(cell.chars(), keep);
    let tail: String = take_columns(cell.chars().rev(), keep)
        .chars()
        .rev()
        .collect();
    format!("{head}…{tail}")
}

fn take_columns(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = String::new();
    for c in chars {
        if taken.width() + c.to_string().width() > columns {
            break;
        }
        taken.push(c);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_text_lines_up() {
        let mut table = Table::new(&["region", "orders"]).right(&[1]);
        table.row(["华东".into(), "494".into()]);
        table.row(["North".into(), "7".into()]);
        assert_eq!(
            table.to_string(),
            "region  orders\n──────  ──────\n华东       494\nNorth        7\n"
        );
    }

    #[test]
    fn long_cells_are_cut_in_the_middle() {
        let cell = cut(&format!("{}END", "x".repeat(200)));
        assert!(
            cell.width() <= CELL_COLUMNS_MAX && cell.ends_with("END"),
            "{cell}"
        );
    }
}
