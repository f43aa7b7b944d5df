//! Exports as files: workbooks, JSON, CSV. What is written is read back to the same texts.

use std::path::Path;

use calamine::{Data, Reader as _};
use jiff::tz::TimeZone;
use ring::digest::{Context, SHA256};
use rust_decimal::Decimal;
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde_json::{Map, Value, json};

use crate::cli::energy_question::cell_text;
use crate::cli::output;
use crate::model::text::hex;
use crate::report::table::{Cell, ReportTable};

/// Rows of a sheet, its head included.
pub const SHEET_ROWS_MAX: usize = 1_048_576;
/// Columns of a sheet.
pub const SHEET_COLUMNS_MAX: usize = 16_384;

/// A table with more columns is not shrunk to the width of a page.
const PRINTED_COLUMNS: usize = 24;

/// A table as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTable {
    pub name: String,
    /// The head first. Numbers are as a spreadsheet has them: the shortest text of the nearest floating-point number.
    pub rows: Vec<Vec<String>>,
}

/// A table as it will stand in a file.
pub fn file_table(table: &ReportTable, zone: &TimeZone) -> FileTable {
    let text = |cell: &Cell| match cell {
        Cell::Number(value) => shortest(*value),
        other => cell_text(other, zone),
    };
    let rows = table.rows.iter().map(|row| row.iter().map(text).collect());
    let rows = std::iter::once(table.head.clone()).chain(rows).collect();
    trimmed(FileTable { name: table.name.to_string(), rows })
}

/// The number that a spreadsheet shows, as a text.
fn shortest(value: Decimal) -> String {
    f64::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

/// Without empty cells at the end of rows, and without empty rows: files do not keep them.
fn trimmed(mut table: FileTable) -> FileTable {
    for row in &mut table.rows {
        while row.last().is_some_and(String::is_empty) {
            row.pop();
        }
    }
    while table.rows.last().is_some_and(Vec::is_empty) {
        table.rows.pop();
    }
    table
}

/// SHA-256 of the contents, in hexadecimal digits.
pub fn hash(tables: &[FileTable]) -> String {
    let mut context = Context::new(&SHA256);
    for table in tables {
        context.update(table.name.as_bytes());
        for cell in table.rows.iter().flat_map(|row| row.iter().map(String::as_str).chain(["\n"])) {
            context.update(b"\0");
            context.update(cell.as_bytes());
        }
    }
    hex(context.finish().as_ref())
}

/// Writes a workbook with a sheet for each table.
///
/// # Errors
/// The disk refuses it, or a table is larger than a sheet.
pub fn write_workbook(path: &Path, tables: &[ReportTable], zone: &TimeZone) -> Result<(), XlsxError> {
    let mut workbook = Workbook::new();
    let bold = Format::new().set_bold();
    for table in tables {
        let sheet = workbook.add_worksheet();
        sheet.set_name(table.name)?;
        sheet.set_freeze_panes(1, 1)?;
        for (column, name) in (0u16..).zip(&table.head) {
            sheet.write_string_with_format(0, column, name, &bold)?;
        }
        for (at, row) in (1u32..).zip(&table.rows) {
            for (column, cell) in (0u16..).zip(row) {
                match cell {
                    Cell::Empty => {}
                    Cell::Number(value) => match f64::try_from(*value) {
                        Ok(value) => _ = sheet.write_number(at, column, value)?,
                        Err(_) => _ = sheet.write_string(at, column, value.to_string())?,
                    },
                    other => _ = sheet.write_string(at, column, cell_text(other, zone))?,
                }
            }
        }
        for (column, name) in (0u16..).zip(&table.head) {
            let first =
                table.rows.iter().find_map(|row| row.get(usize::from(column)).filter(|cell| **cell != Cell::Empty));
            let width = match first {
                Some(Cell::Time(_)) => 30,
                Some(Cell::Text(text)) => text.chars().count().max(name.chars().count()).min(40) + 2,
                _ => name.chars().count().max(12) + 2,
            };
            sheet.set_column_width(column, f64::from(u32::try_from(width).unwrap_or(40)))?;
        }
        sheet.set_landscape();
        sheet.set_repeat_rows(0, 0)?;
        if table.head.len() <= PRINTED_COLUMNS {
            sheet.set_print_fit_to_pages(1, 0);
        }
    }
    workbook.save(path)
}

/// Writes the same as JSON: numbers are texts with all their digits.
///
/// # Errors
/// The disk refuses it.
pub fn write_json(path: &Path, tables: &[ReportTable], zone: &TimeZone) -> std::io::Result<()> {
    let of = |table: &ReportTable| {
        let rows: Vec<Vec<Value>> =
            table.rows.iter().map(|row| row.iter().map(|cell| json_cell(cell, zone)).collect()).collect();
        json!({ "name": table.name, "columns": table.head, "rows": rows })
    };
    let all = json!({ "tables": tables.iter().map(of).collect::<Vec<_>>() });
    std::fs::write(path, serde_json::to_vec(&all)?)
}

fn json_cell(cell: &Cell, zone: &TimeZone) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Number(value) => {
            Value::Object(Map::from_iter([("number".to_string(), Value::String(value.to_string()))]))
        }
        other => Value::String(cell_text(other, zone)),
    }
}

/// Writes one table as CSV with a byte order mark.
///
/// # Errors
/// The disk refuses it.
pub fn write_csv(path: &Path, table: &ReportTable, zone: &TimeZone) -> std::io::Result<()> {
    let rows = table.rows.iter().map(|row| row.iter().map(|cell| cell_text(cell, zone)).collect());
    let text = output::csv_lines(std::iter::once(table.head.clone()).chain(rows));
    std::fs::write(path, format!("{}{text}", output::BYTE_ORDER_MARK))
}

/// Reads an export back.
///
/// # Errors
/// It is no workbook or no export, in words.
pub fn read(path: &Path) -> Result<Vec<FileTable>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    if path.extension().is_some_and(|e| e == "json") {
        return read_json(&bytes);
    }
    let mut workbook: calamine::Xlsx<_> =
        calamine::open_workbook_from_rs(std::io::Cursor::new(bytes)).map_err(|e: calamine::XlsxError| e.to_string())?;
    let mut out = Vec::new();
    for name in workbook.sheet_names() {
        let range = workbook.worksheet_range(&name).map_err(|e| format!("sheet `{name}`: {e}"))?;
        let (first_row, first_column) = range.start().unwrap_or_default();
        let mut rows: Vec<Vec<String>> = (0..first_row).map(|_| Vec::new()).collect();
        for row in range.rows() {
            let before = (0..first_column).map(|_| String::new());
            rows.push(before.chain(row.iter().map(sheet_cell)).collect());
        }
        out.push(trimmed(FileTable { name, rows }));
    }
    Ok(out)
}

fn sheet_cell(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::Float(value) => value.to_string(),
        Data::Int(value) => value.to_string(),
        Data::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn read_json(bytes: &[u8]) -> Result<Vec<FileTable>, String> {
    let all: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let tables = all["tables"].as_array().ok_or("it has no `tables`")?;
    let cell = |cell: &Value| match (&cell["number"], cell) {
        (Value::String(number), _) => number.parse::<Decimal>().map_or_else(|_| number.clone(), shortest),
        (_, Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    let row = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect::<Vec<String>>();
    let of = |table: &Value| {
        let rows = table["rows"].as_array().into_iter().flatten().map(row);
        let rows = std::iter::once(row(&table["columns"])).chain(rows).collect();
        trimmed(FileTable { name: table["name"].as_str().unwrap_or_default().to_string(), rows })
    };
    Ok(tables.iter().map(of).collect())
}
