//! Logged loss curves: one column of a file, read row by row in constant memory.
//!
//! The format shows in the first rows: a line that begins with `{` is JSON lines; otherwise the first of comma,
//! semicolon and tab that occurs separates the cells, or else white space does. A first row with a cell that is no
//! number holds the names of the columns, and so does a last comment (`#`) before the first row that has as many
//! names as there are cells; else the columns are named `1`, `2`, ...

mod json;

use std::io::{self, BufRead, Read};

use thiserror::Error;

/// Columns that are taken, the first that there is, when none is named.
const USUAL: [&str; 4] = ["unclipped_loss", "loss", "train_loss", "Value"];

/// Lines of a JSON file among which the names of the columns are gathered.
const LINES_WITH_NAMES: usize = 100;

/// Why a curve cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// There is no row.
    #[error("it holds no rows with values: nothing has been logged there yet")]
    Empty,
    /// The column holds nothing.
    #[error("its column '{column}' is empty in all of its {rows} rows; give another --column")]
    NoValues {
        /// The column.
        column: String,
        /// Rows of the file, but for that with the names.
        rows: u64,
    },
    /// No value of the column is a loss that can be clipped.
    #[error(
        "no number in its column '{column}' is finite in single precision ({losses} losses): there is nothing to clip; \
         give another --column"
    )]
    NotFinite {
        /// The column.
        column: String,
        /// Values of the column.
        losses: u64,
    },
    /// The file is binary, or text of another encoding.
    #[error(
        "it holds NUL bytes, so that it is no UTF-8 text: it is binary, or in another encoding such as UTF-16"
    )]
    NotText,
    /// The file is another form of JSON.
    #[error(
        "it begins as JSON, but is not JSON lines: each line must be an object with the numbers of one step, such as \
         {{\"step\": 0, \"loss\": 2.5}}"
    )]
    NotJsonLines,
    /// No column has the name that was asked for.
    #[error("it has no column '{asked}'{}; its columns: {}", did_you_mean(nearest), columns.join(", "))]
    Unknown {
        /// The name.
        asked: String,
        /// The most similar name, if one is similar.
        nearest: Option<String>,
        /// All names.
        columns: Vec<String>,
    },
    /// No column was asked for, and none is obvious.
    #[error("give --column; its columns: {}", .0.join(", "))]
    Unnamed(Vec<String>),
    /// A cell holds something else than a number.
    #[error("line {line}: {problem}")]
    Row {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(", did you mean '{name}'?")).unwrap_or_default()
}

/// A column of a file.
pub struct Log {
    rows: Rows,
    column: String,
    format: &'static str,
    line: u64,
}

type Source = Box<dyn BufRead>;

/// Where the next row comes from, and the place of the column.
enum Rows {
    Csv { csv: csv::Reader<Source>, row: csv::ByteRecord, index: usize },
    Words { lines: Source, line: Vec<u8>, index: usize },
    Json { lines: Source, line: Vec<u8> },
}

impl Log {
    /// Finds the column, or one of the usual names if none is given, and the format.
    pub fn open(mut source: impl BufRead + 'static, column: Option<&str>) -> Result<Self, LogError> {
        if source.fill_buf()?.contains(&0) {
            return Err(LogError::NotText);
        }
        let mut head = Vec::new();
        let mut comment = None;
        let (first, first_line) = loop {
            let line = read_line(&mut source, &mut head)?.ok_or(LogError::Empty)?;
            let number = head.iter().filter(|&&byte| byte == b'\n').count() as u64;
            if let Some(text) = line.strip_prefix('#') {
                comment = Some(text.trim().to_owned());
            } else if !line.is_empty() {
                break (line, number.max(1));
            }
        };
        if first.starts_with('{') {
            return Self::open_json(source, head, column);
        }
        if first.starts_with('[') && json::is_json(&first) {
            return Err(LogError::NotJsonLines);
        }
        let delimiter = [',', ';', '\t'].into_iter().find(|&delimiter| first.contains(delimiter));
        let cells = split(&first, delimiter);
        let is_header = cells.iter().any(|cell| !cell.is_empty() && cell.parse::<f64>().is_err());
        let names =
            comment.map(|comment| split(&comment, delimiter)).filter(|names| names.len() == cells.len());
        let columns = match names {
            _ if is_header => cells,
            Some(names) => names,
            None => (1..=cells.len()).map(|number| number.to_string()).collect(),
        };
        let index = choose(&columns, column)?;
        let source: Source = Box::new(io::Cursor::new(head).chain(source));
        let (rows, format) = match delimiter {
            Some(delimiter) => {
                let csv = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .comment(Some(b'#'))
                    .delimiter(delimiter as u8)
                    .from_reader(source);
                (Rows::Csv { csv, row: csv::ByteRecord::new(), index }, "separated values")
            }
            None => (Rows::Words { lines: source, line: Vec::new(), index }, "white space"),
        };
        let mut log = Self { rows, column: columns[index].clone(), format, line: 0 };
        while is_header && log.line < first_line {
            log.skip()?;
        }
        Ok(log)
    }

    fn open_json(
        mut source: impl BufRead + 'static,
        mut head: Vec<u8>,
        column: Option<&str>,
    ) -> Result<Self, LogError> {
        for _ in 1..LINES_WITH_NAMES {
            read_line(&mut source, &mut head)?;
        }
        let mut columns: Vec<String> = Vec::new();
        for line in head.split(|&byte| byte == b'\n') {
            for name in json::names(line) {
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
        }
        if columns.is_empty() {
            return Err(LogError::NotJsonLines);
        }
        let column = columns[choose(&columns, column)?].clone();
        let lines: Source = Box::new(io::Cursor::new(head).chain(source));
        Ok(Self { rows: Rows::Json { lines, line: Vec::new() }, column, format: "JSON lines", line: 0 })
    }

    /// The name of the column.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The format that was found.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The value of the next row, perhaps NaN or infinite; the inner none where the row has no value. The outer none is
    /// the end.
    pub fn next_value(&mut self) -> Result<Option<Option<f64>>, LogError> {
        let problem = |line, problem| LogError::Row { line, problem };
        match &mut self.rows {
            Rows::Csv { csv, row, index } => {
                if !csv.read_byte_record(row).map_err(io::Error::from)? {
                    return Ok(None);
                }
                self.line = row.position().map_or(self.line + 1, csv::Position::line);
                let value = row.get(*index).map_or(Ok(None), number);
                value.map(Some).map_err(|error| problem(self.line, error))
            }
            Rows::Words { lines, line, index } => loop {
                self.line += 1;
                if !next_line(lines, line)? {
                    return Ok(None);
                }
                let mut cells =
                    line.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty()).peekable();
                if cells.peek().is_some_and(|cell| cell[0] != b'#') {
                    let value = cells.nth(*index).map_or(Ok(None), number);
                    return value.map(Some).map_err(|error| problem(self.line, error));
                }
            },
            Rows::Json { lines, line } => loop {
                self.line += 1;
                if !next_line(lines, line)? {
                    return Ok(None);
                }
                if !line.trim_ascii().is_empty() {
                    let value = json::value(line, &self.column);
                    return value.map(Some).map_err(|error| problem(self.line, error.to_string()));
                }
            },
        }
    }

    /// Passes over a row, which may hold names.
    fn skip(&mut self) -> Result<(), LogError> {
        match self.next_value() {
            Ok(None) => Err(LogError::Empty),
            Ok(Some(_)) | Err(LogError::Row { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Appends a line to `head`; returns it without blanks at its ends, without a byte order mark; none at the end.
fn read_line(source: &mut impl BufRead, head: &mut Vec<u8>) -> io::Result<Option<String>> {
    let start = head.len();
    let read = source.read_until(b'\n', head)?;
    let text = String::from_utf8_lossy(&head[start..]).trim().trim_start_matches('\u{feff}').to_owned();
    Ok((read > 0).then_some(text))
}

fn next_line(source: &mut Source, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(source.read_until(b'\n', line)? > 0)
}

/// The cells of a line, without the quotes and blanks around them.
fn split(line: &str, delimiter: Option<char>) -> Vec<String> {
    let clean = |cell: &str| cell.trim().trim_matches('"').to_owned();
    let Some(delimiter) = delimiter else { return line.split_whitespace().map(clean).collect() };
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter as u8).from_reader(line.as_bytes());
    reader.records().next().and_then(Result::ok).unwrap_or_default().iter().map(clean).collect()
}

/// The place of the column that is wanted, or else of a usual or an only one.
fn choose(columns: &[String], wanted: Option<&str>) -> Result<usize, LogError> {
    let find = |name: &str| columns.iter().position(|column| column == name);
    let Some(wanted) = wanted else {
        let only = (columns.len() == 1).then_some(0);
        let usual = USUAL.into_iter().find_map(find);
        return usual.or(only).ok_or_else(|| LogError::Unnamed(columns.to_vec()));
    };
    find(wanted).ok_or_else(|| {
        let similarity = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase());
        let nearest = columns.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        let nearest = nearest.filter(|name| similarity(name) > 0.7).cloned();
        LogError::Unknown { asked: wanted.to_owned(), nearest, columns: columns.to_vec() }
    })
}

/// The number in a cell; none in an empty one.
fn number(cell: &[u8]) -> Result<Option<f64>, String> {
    let cell = cell.trim_ascii();
    if cell.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let text = String::from_utf8_lossy(cell);
        let has_decimal_comma = text.trim_matches('"').replacen(',', ".", 1).parse::<f64>().is_ok();
        let reason =
            if has_decimal_comma { ": it has a comma where a decimal point is expected" } else { "" };
        format!("'{text}' is not a number{reason}")
    })
}
