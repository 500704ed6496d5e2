//! `millstream sql`

use crate::table::Table;
use crate::terminal::{csv_cell, csv_cell_raw, json_line, printable};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Deserialize;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Run SQL on a server: from a file, from the command line, or from standard
/// input.
#[derive(Debug, clap::Args)]
pub struct Sql {
    /// A file of statements; `-` is standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "execute")]
    file: Option<PathBuf>,
    /// Statements.
    #[arg(short, long, value_name = "STATEMENT")]
    execute: Option<String>,
    /// The server's HTTP address.
    #[arg(
        long,
        env = "MILLSTREAM_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    server: String,
    /// How rows are printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print cells of CSV as they are. Without it one that begins like a
    /// formula (=, +, -, @) gets a quote mark before it, so that a spreadsheet
    /// shows it instead of running it.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns.
    Table,
    /// One JSON object a row.
    Json,
    /// RFC 4180, with a header line.
    Csv,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

#[derive(Debug, Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<Vec<serde_json::Value>>,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    truncated_by: Option<String>,
    #[serde(default)]
    skipped_records: u64,
    #[serde(default)]
    notices: Vec<String>,
}

impl Answer {
    /// What the rows alone do not say, for standard error.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.notices.clone();
        if self.truncated {
            let rows = plural(self.rows.len() as u64, "row");
            notes.push(match self.truncated_by.as_deref() {
                Some("bytes") => format!(
                    "there are more rows than these {rows}: they fill the largest answer that \
                     the server gives. Select fewer columns, or add a WHERE or a LIMIT"
                ),
                _ => format!(
                    "there are more rows than these {rows}: the server answers with no more. Add \
                     a WHERE or a LIMIT"
                ),
            });
        }
        if self.skipped_records > 0 {
            notes.push(format!(
                "{} could not be decoded and gave no row: compare the table's columns and \
                 format with the topic (millstream consume TOPIC)",
                plural(self.skipped_records, "record")
            ));
        }
        notes
    }
}

fn plural(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: Option<String>,
    hint: Option<String>,
    line: Option<u64>,
    column: Option<u64>,
}

impl Sql {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let sql = self.text()?;
        let answer = self.ask(&sql)?;
        match self.format {
            Format::Table => print_table(&answer),
            Format::Json => print_json(&answer),
            Format::Csv if self.raw => print_csv(&answer, csv_cell_raw),
            Format::Csv if std::io::stdout().is_terminal() => {
                print_csv(&answer, |text| printable(&csv_cell(text)).into_owned());
            }
            Format::Csv => print_csv(&answer, csv_cell),
        }
        for note in answer.notes() {
            eprintln!("note: {note}");
        }
        Ok(())
    }

    fn text(&self) -> Result<String> {
        match (&self.file, &self.execute) {
            (_, Some(statement)) => Ok(statement.clone()),
            (Some(path), None) if path.as_os_str() != "-" => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display())),
            _ => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("cannot read standard input")?;
                Ok(text)
            }
        }
    }

    fn ask(&self, sql: &str) -> Result<Answer> {
        let url = format!("{}/api/v1/sql", self.server.trim_end_matches('/'));
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(600)))
            .build()
            .into();
        let mut response = agent
            .post(&url)
            .send_json(serde_json::json!({ "sql": sql }))
            .map_err(|error| {
                anyhow::anyhow!(
                    "no answer from {}: {error}. Is the server running there (millstream start, \
                     or millstream demo)? Another address: --server URL",
                    self.server
                )
            })?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()?;
        if status.is_success() {
            return serde_json::from_str(&body)
                .with_context(|| format!("{} did not answer as Millstream does", self.server));
        }
        match serde_json::from_str::<Problem>(&body) {
            Ok(problem) => bail!("{}", problem.render(sql)),
            Err(_) => bail!("{} answered {status}: {body}", self.server),
        }
    }
}

impl Problem {
    /// The problem with the line it is about, marked.
    fn render(&self, sql: &str) -> String {
        let mut text = self.title.clone();
        if let Some(detail) = &self.detail {
            text.push_str(&format!(": {detail}"));
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            let source = sql
                .lines()
                .nth(usize::try_from(line).unwrap_or(1).saturating_sub(1))
                .unwrap_or("");
            let gap = " ".repeat(usize::try_from(column).unwrap_or(1).saturating_sub(1));
            let margin = " ".repeat(line.to_string().len());
            text.push_str(&format!(
                "\n{margin} ┌ line {line}, column {column}\n{line} │ {source}\n{margin} │ {gap}^"
            ));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }
}

fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "NULL".into(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print_table(answer: &Answer) {
    let names: Vec<&str> = answer.columns.iter().map(|c| c.name.as_str()).collect();
    let numeric = ["INT", "DOUBLE", "FLOAT", "DECIMAL"];
    let right: Vec<usize> = answer
        .columns
        .iter()
        .enumerate()
        .filter(|(_, c)| numeric.iter().any(|n| c.data_type.contains(n)))
        .map(|(i, _)| i)
        .collect();
    let mut table = Table::new(&names).right(&right);
    for row in &answer.rows {
        table.row(row.iter().map(cell));
    }
    table.print();
    eprintln!("{}", plural(answer.rows.len() as u64, "row"));
}

fn print_json(answer: &Answer) {
    for row in &answer.rows {
        let object: serde_json::Map<_, _> = answer
            .columns
            .iter()
            .map(|c| c.name.clone())
            .zip(row.iter().cloned())
            .collect();
        println!("{}", json_line(&serde_json::Value::Object(object)));
    }
}

fn print_csv(answer: &Answer, quote: fn(&str) -> String) {
    let head = answer.columns.iter().map(|c| quote(&c.name));
    println!("{}", head.collect::<Vec<_>>().join(","));
    for row in &answer.rows {
        let cells = row.iter().map(|value| match value {
            serde_json::Value::Null => String::new(),
            value => quote(&cell(value)),
        });
        println!("{}", cells.collect::<Vec<_>>().join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(answer: &str) -> Vec<String> {
        serde_json::from_str::<Answer>(answer).unwrap().notes()
    }

    #[test]
    fn rows_that_are_not_shown_and_records_that_gave_none_are_told() {
        let whole = r#"{"columns": [], "rows": [[1]], "truncated": false, "skipped_records": 0}"#;
        assert!(notes(whole).is_empty());
        let one = notes(r#"{"columns": [], "rows": [[1]], "skipped_records": 1}"#);
        assert!(
            one[0].starts_with("1 record could not be decoded"),
            "{one:?}"
        );
        let both = notes(
            r#"{"columns": [], "rows": [[1], [2]], "truncated": true, "truncated_by": "bytes",
                "skipped_records": 60}"#,
        );
        assert!(both[0].contains("these 2 rows: they fill"), "{both:?}");
        assert!(both[1].starts_with("60 records"), "{both:?}");
    }

    #[test]
    fn a_problem_points_at_its_column() {
        let problem = Problem {
            title: "Unknown column".into(),
            detail: Some("table orders has no column amout".into()),
            hint: Some("did you mean amount?".into()),
            line: Some(2),
            column: Some(8),
        };
        assert_eq!(
            problem.render("-- x\nSELECT amout FROM orders"),
            "Unknown column: table orders has no column amout\n  ┌ line 2, column 8\n2 │ SELECT amout FROM orders\n  │        ^\nhint: did you mean amount?"
        );
    }
}
