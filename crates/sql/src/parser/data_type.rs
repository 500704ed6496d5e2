//! Flink's type names (Flink: Data Types).

use crate::types::{self, SqlType};
use arrow::datatypes::{DataType, Field, Fields};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};
use std::sync::Arc;

/// How deep ROW, ARRAY and MAP may be nested (the formats' limit).
const NESTING_MAX: usize = 16;
/// Largest precision of DECIMAL.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// Parses a type with its nullability.
pub(crate) fn parse_type(parser: &mut Parser) -> Result<SqlType, ParserError> {
    let mut types = TypeParser {
        parser,
        closers: 0,
        depth: 0,
    };
    let parsed = types.parse()?;
    if types.closers > 0 {
        return Err(error("one '>' too many after a type", &parser.peek_token()));
    }
    Ok(parsed)
}

struct TypeParser<'a, 'p> {
    parser: &'a mut Parser<'p>,
    /// `>` of a `>>` that are not used yet.
    closers: usize,
    depth: usize,
}

impl TypeParser<'_, '_> {
    fn parse(&mut self) -> Result<SqlType, ParserError> {
        let token = self.parser.next_token();
        let Token::Word(word) = &token.token else {
            return Err(error("expected a type", &token));
        };
        let name = word.value.to_ascii_uppercase();
        let mut parsed = self.named(&name, &token)?;
        if self.word("NOT") {
            self.expect_word("NULL")?;
            parsed.nullable = false;
        } else if self.word("NULL") {
            parsed.nullable = true;
        }
        Ok(parsed)
    }

    fn named(&mut self, name: &str, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        let plain = |data_type| Ok(SqlType::of(data_type));
        match name {
            "BOOLEAN" => plain(DataType::Boolean),
            "TINYINT" => plain(DataType::Int8),
            "SMALLINT" => plain(DataType::Int16),
            "INT" | "INTEGER" => plain(DataType::Int32),
            "BIGINT" => plain(DataType::Int64),
            "FLOAT" => plain(DataType::Float32),
            "DOUBLE" => {
                self.word("PRECISION");
                plain(DataType::Float64)
            }
            "STRING" => plain(DataType::Utf8),
            "BYTES" => plain(DataType::Binary),
            "DATE" => plain(DataType::Date32),
            "CHAR" | "CHARACTER" => self.text("CHAR", token),
            "VARCHAR" => self.text("VARCHAR", token),
            "VARBINARY" => self.bytes(token),
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(token),
            "TIME" => self.time(token),
            "TIMESTAMP" => self.timestamp(token, false),
            "TIMESTAMP_LTZ" => self.timestamp(token, true),
            "ARRAY" => {
                let mut item = self.nested(1, token)?;
                let item = item.pop().ok_or_else(|| error("expected a type", token))?;
                let name = format!("ARRAY<{}>", full_name(&item));
                let data_type = DataType::List(Arc::new(item.field("item")));
                Ok(SqlType {
                    data_type,
                    name,
                    nullable: true,
                })
            }
            "MAP" => {
                let mut pair = self.nested(2, token)?;
                let (Some(value), Some(key)) = (pair.pop(), pair.pop()) else {
                    return Err(error("expected two types", token));
                };
                let name = format!("MAP<{}, {}>", full_name(&key), full_name(&value));
                let data_type = types::map(key, value);
                Ok(SqlType {
                    data_type,
                    name,
                    nullable: true,
                })
            }
            "ROW" => self.row(token),
            "BINARY" | "MULTISET" | "RAW" | "INTERVAL" | "VARIANT" | "STRUCTURED" => Err(error(
                &format!("type {name} is not supported: use BYTES, STRING, ARRAY, MAP or ROW"),
                token,
            )),
            _ => Err(error(
                &format!("there is no type '{name}'{}", instead(name)),
                token,
            )),
        }
    }

    fn text(&mut self, name: &str, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        let length = self.numbers(1)?.first().copied().unwrap_or(1);
        if length < 1 || length > i64::from(i32::MAX) {
            return Err(error("a length is from 1 to 2147483647", token));
        }
        let mut parsed = SqlType::of(DataType::Utf8);
        if length != i64::from(i32::MAX) {
            parsed.name = format!("{name}({length})");
        }
        Ok(parsed)
    }

    fn bytes(&mut self, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        let length = self.numbers(1)?.first().copied().unwrap_or(1);
        if length < 1 || length > i64::from(i32::MAX) {
            return Err(error("a length is from 1 to 2147483647", token));
        }
        let mut parsed = SqlType::of(DataType::Binary);
        if length != i64::from(i32::MAX) {
            parsed.name = format!("VARBINARY({length})");
        }
        Ok(parsed)
    }

    fn decimal(&mut self, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        let numbers = self.numbers(2)?;
        let precision = numbers.first().copied().unwrap_or(10);
        let scale = numbers.get(1).copied().unwrap_or(0);
        if precision < 1
            || precision > i64::from(DECIMAL_DIGITS_MAX)
            || scale < 0
            || scale > precision
        {
            return Err(error(
                "DECIMAL(p, s) needs p from 1 to 38 and s from 0 to p",
                token,
            ));
        }
        Ok(SqlType::of(DataType::Decimal128(
            precision as u8,
            scale as i8,
        )))
    }

    fn time(&mut self, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        let precision = self.numbers(1)?.first().copied().unwrap_or(0);
        self.without_time_zone()?;
        if !(0..=3).contains(&precision) {
            return Err(error("TIME(p) is supported with p from 0 to 3", token));
        }
        Ok(SqlType {
            data_type: types::time(),
            name: format!("TIME({precision})"),
            nullable: true,
        })
    }

    fn timestamp(&mut self, token: &TokenWithSpan, local: bool) -> Result<SqlType, ParserError> {
        let precision = self.numbers(1)?.first().copied().unwrap_or(6);
        let precision = u8::try_from(precision)
            .ok()
            .filter(|p| *p <= 9)
            .ok_or_else(|| error("TIMESTAMP(p) needs p from 0 to 9", token))?;
        let local = local || self.local_time_zone(token)?;
        let (data_type, name) = if local {
            (types::timestamp_ltz(precision), "TIMESTAMP_LTZ")
        } else {
            (types::timestamp(precision), "TIMESTAMP")
        };
        Ok(SqlType {
            data_type,
            name: format!("{name}({precision})"),
            nullable: true,
        })
    }

    /// `WITH LOCAL TIME ZONE`.
    fn local_time_zone(&mut self, token: &TokenWithSpan) -> Result<bool, ParserError> {
        if self.word("WITH") {
            if !self.word("LOCAL") {
                return Err(error(
                    "TIMESTAMP WITH TIME ZONE is not supported: use TIMESTAMP_LTZ",
                    token,
                ));
            }
            self.expect_word("TIME")?;
            self.expect_word("ZONE")?;
            return Ok(true);
        }
        self.without_time_zone()?;
        Ok(false)
    }

    fn without_time_zone(&mut self) -> Result<(), ParserError> {
        if self.word("WITHOUT") {
            self.expect_word("TIME")?;
            self.expect_word("ZONE")?;
        }
        Ok(())
    }

    /// `<TYPE, ...>`.
    fn nested(&mut self, count: usize, token: &TokenWithSpan) -> Result<Vec<SqlType>, ParserError> {
        self.enter(token)?;
        self.open()?;
        let mut inner = vec![self.parse()?];
        while inner.len() < count {
            self.parser.expect_token(&Token::Comma)?;
            inner.push(self.parse()?);
        }
        self.close()?;
        self.depth -= 1;
        Ok(inner)
    }

    /// `ROW<name TYPE ['comment'], ...>` or with parentheses.
    fn row(&mut self, token: &TokenWithSpan) -> Result<SqlType, ParserError> {
        self.enter(token)?;
        let parens = self.parser.consume_token(&Token::LParen);
        if !parens {
            self.open()?;
        }
        let mut fields: Vec<Field> = Vec::new();
        let mut names = Vec::new();
        loop {
            let name = self.parser.parse_identifier()?.value;
            if fields.iter().any(|f| *f.name() == name) {
                return Err(error(&format!("field '{name}' is declared twice"), token));
            }
            let inner = self.parse()?;
            names.push(format!("`{name}` {}", full_name(&inner)));
            fields.push(inner.field(&name));
            if matches!(
                self.parser.peek_token_ref().token,
                Token::SingleQuotedString(_)
            ) {
                self.parser.next_token();
            }
            if self.closers > 0 || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        if parens {
            self.parser.expect_token(&Token::RParen)?;
        } else {
            self.close()?;
        }
        self.depth -= 1;
        Ok(SqlType {
            data_type: DataType::Struct(Fields::from(fields)),
            name: format!("ROW<{}>", names.join(", ")),
            nullable: true,
        })
    }

    fn enter(&mut self, token: &TokenWithSpan) -> Result<(), ParserError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(error("types are nested too deeply (at most 16)", token));
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), ParserError> {
        self.parser.expect_token(&Token::Lt).map(|_| ())
    }

    /// Takes one `>`; a `>>` closes two.
    fn close(&mut self) -> Result<(), ParserError> {
        if self.closers > 0 {
            self.closers -= 1;
            return Ok(());
        }
        if self.parser.consume_token(&Token::ShiftRight) {
            self.closers = 1;
            return Ok(());
        }
        self.parser.expect_token(&Token::Gt).map(|_| ())
    }

    /// `(n[, n])`, if there.
    fn numbers(&mut self, max: usize) -> Result<Vec<i64>, ParserError> {
        let mut numbers = Vec::new();
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(numbers);
        }
        loop {
            let token = self.parser.next_token();
            match &token.token {
                Token::Number(text, false) => numbers.push(
                    text.parse()
                        .map_err(|_| error("expected a whole number", &token))?,
                ),
                _ => return Err(error("expected a whole number", &token)),
            }
            if numbers.len() == max || !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.parser.expect_token(&Token::RParen)?;
        Ok(numbers)
    }

    fn word(&mut self, word: &str) -> bool {
        // Inside `<...>` a pending `>` comes first.
        if self.closers > 0 {
            return false;
        }
        let found = match &self.parser.peek_token_ref().token {
            Token::Word(w) => w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word),
            _ => false,
        };
        if found {
            self.parser.next_token();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), ParserError> {
        if self.word(word) {
            Ok(())
        } else {
            Err(error(
                &format!("expected {word}"),
                &self.parser.peek_token(),
            ))
        }
    }
}

/// The name with its nullability.
fn full_name(parsed: &SqlType) -> String {
    if parsed.nullable {
        parsed.name.clone()
    } else {
        format!("{} NOT NULL", parsed.name)
    }
}

/// Other engines' names of Flink's types.
fn instead(name: &str) -> &'static str {
    match name {
        "TEXT" | "NVARCHAR" | "CLOB" => ": write STRING",
        "BLOB" | "BYTEA" => ": write BYTES",
        "INT2" => ": write SMALLINT",
        "INT4" | "INT32" => ": write INT",
        "INT8" | "INT64" | "LONG" => ": write BIGINT",
        "REAL" | "FLOAT4" => ": write FLOAT",
        "FLOAT8" | "FLOAT64" => ": write DOUBLE",
        "BOOL" => ": write BOOLEAN",
        "DATETIME" => ": write TIMESTAMP(3)",
        "TIMESTAMPTZ" | "TIMESTAMP_TZ" => ": write TIMESTAMP_LTZ(3)",
        "STRUCT" => ": write ROW<...>",
        "JSON" | "JSONB" => ": write STRING, or ROW<...> with its fields",
        _ => "",
    }
}

fn error(message: &str, token: &TokenWithSpan) -> ParserError {
    ParserError::ParserError(format!("{message}{}", token.span.start))
}
