//! Tables of figures, whatever they are printed as.

use rust_decimal::Decimal;

use crate::model::time::UnixMillis;

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known, which is not 0.
    Empty,
    Text(String),
    /// A figure, all digits.
    Number(Decimal),
    Time(UnixMillis),
}

impl Cell {
    /// A text, or an empty cell.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Cell::Empty } else { Cell::Text(text) }
    }

    /// A figure, or an empty cell.
    pub fn number(value: Option<Decimal>) -> Self {
        value.map_or(Cell::Empty, |value| Cell::Number(value.normalize()))
    }

    /// An amount of money with all its decimals, or an empty cell.
    pub fn money(value: Option<Decimal>) -> Self {
        value.map_or(Cell::Empty, Cell::Number)
    }

    /// A moment, or an empty cell.
    pub fn time(at: Option<UnixMillis>) -> Self {
        at.map_or(Cell::Empty, Cell::Time)
    }
}

/// A table with the names of its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportTable {
    /// Its name, as that of a sheet.
    pub name: &'static str,
    /// Names of its columns.
    pub head: Vec<String>,
    /// As many cells in each row as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

impl ReportTable {
    /// A table with these columns.
    pub fn new(name: &'static str, head: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        Self { name, head: head.iter().map(ToString::to_string).collect(), rows }
    }
}
