//! `CREATE TABLE` and `CREATE MATERIALIZED TABLE`.

use super::{Parsed, StatementParser};
use crate::error::SqlError;
use crate::statement::{
    ColumnDef, ColumnSource, CreateMaterializedTable, CreateTable, Name, Options, StatementKind,
    WatermarkClause,
};
use sqlparser::tokenizer::Token;

/// Columns of one table.
const COLUMNS_MAX: usize = 1_000;

impl StatementParser<'_> {
    pub(super) fn create(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        let what = self.parser.peek_token();
        if self.word("TABLE") {
            return self.create_table().map(StatementKind::CreateTable);
        }
        let or_alter = self.or_alter();
        if or_alter || self.word("MATERIALIZED") {
            if or_alter {
                self.expect_word("MATERIALIZED")?;
            }
            self.expect_word("TABLE")?;
            return self
                .create_materialized_table(or_alter)
                .map(StatementKind::CreateMaterializedTable);
        }
        let hint = match what.token.to_string().to_ascii_uppercase().as_str() {
            "VIEW" => "write the view's query as a subquery, or CREATE MATERIALIZED TABLE",
            "TEMPORARY" => "tables are kept in the metadata log: write CREATE TABLE",
            "FUNCTION" => "SHOW FUNCTIONS lists the functions there are",
            "CATALOG" | "DATABASE" => "there is one catalog and one database",
            "OR" => {
                "write CREATE OR ALTER MATERIALIZED TABLE, or DROP TABLE first: nothing is \
                 replaced silently"
            }
            _ => "CREATE TABLE and CREATE MATERIALIZED TABLE are supported",
        };
        Err(SqlError::at(
            self.place(what.span.start),
            format!("cannot create {}", what.token),
        )
        .hint(hint))
    }

    /// `OR ALTER`; anything else after `OR` is left where it is.
    fn or_alter(&mut self) -> bool {
        let follows = matches!(
            &self.parser.peek_nth_token(1).token,
            Token::Word(word) if word.value.eq_ignore_ascii_case("ALTER")
        );
        follows && self.word("OR") && self.word("ALTER")
    }

    fn if_not_exists(&mut self) -> Parsed<bool> {
        if !self.word("IF") {
            return Ok(false);
        }
        self.expect_word("NOT")?;
        self.expect_word("EXISTS")?;
        Ok(true)
    }

    fn create_table(&mut self) -> Parsed<CreateTable> {
        let if_not_exists = self.if_not_exists()?;
        let mut table = CreateTable {
            name: self.name()?,
            if_not_exists,
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            comment: None,
            options: Options::default(),
            text: self.text(),
        };
        self.expect(&Token::LParen)?;
        loop {
            self.table_element(&mut table)?;
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        table.comment = self.comment()?;
        let at = self.parser.peek_token().span;
        if self.word("PARTITIONED") || self.word("DISTRIBUTED") {
            return Err(SqlError::at(at, "PARTITIONED BY and DISTRIBUTED BY are not supported")
                .hint("set 'millstream.partitions' in WITH (...) for the topic's partitions, 'key.fields' for what decides among them"));
        }
        table.options = self.options()?;
        let at = self.parser.peek_token().span;
        if self.word("LIKE") {
            return Err(SqlError::at(at, "CREATE TABLE ... LIKE is not supported")
                .hint("write the columns and options out"));
        }
        if self.word("AS") {
            return Err(
                SqlError::at(at, "CREATE TABLE ... AS SELECT is not supported")
                    .hint("write CREATE MATERIALIZED TABLE ... AS SELECT"),
            );
        }
        Ok(table)
    }

    fn table_element(&mut self, table: &mut CreateTable) -> Parsed<()> {
        let at = self.parser.peek_token();
        let quoted = matches!(&at.token, Token::Word(w) if w.quote_style.is_some());
        let next = self
            .parser
            .peek_nth_token(1)
            .token
            .to_string()
            .to_ascii_uppercase();
        if !quoted && next == "FOR" && self.word("WATERMARK") {
            if table.watermark.is_some() {
                return Err(SqlError::at(at.span, "a table has one WATERMARK FOR"));
            }
            table.watermark = Some(Box::new(self.watermark()?));
            return Ok(());
        }
        if !quoted && (next == "KEY" && self.word("PRIMARY")) {
            return self.primary_key(table, at.span.into());
        }
        if !quoted && self.word("CONSTRAINT") {
            self.name()?;
            self.expect_word("PRIMARY")?;
            return self.primary_key(table, at.span.into());
        }
        if table.columns.len() >= COLUMNS_MAX {
            return Err(SqlError::at(
                at.span,
                format!("a table has at most {COLUMNS_MAX} columns"),
            ));
        }
        let column = self.column(table)?;
        if table
            .columns
            .iter()
            .any(|c| c.name.value == column.name.value)
        {
            return Err(SqlError::at(
                at.span,
                format!("column '{}' is declared twice", column.name.value),
            ));
        }
        table.columns.push(column);
        Ok(())
    }

    fn watermark(&mut self) -> Parsed<WatermarkClause> {
        self.expect_word("FOR")?;
        let column = self.name()?;
        self.expect_word("AS")?;
        Ok(WatermarkClause {
            column,
            expression: self.expression()?,
        })
    }

    /// After `PRIMARY`.
    fn primary_key(&mut self, table: &mut CreateTable, at: crate::error::Position) -> Parsed<()> {
        self.expect_word("KEY")?;
        if !table.primary_key.is_empty() {
            return Err(SqlError::at(at, "a table has one PRIMARY KEY"));
        }
        table.primary_key = self.name_list()?;
        self.not_enforced(at)
    }

    fn not_enforced(&mut self, at: crate::error::Position) -> Parsed<()> {
        if self.word("NOT") {
            return self.expect_word("ENFORCED");
        }
        self.word("ENFORCED");
        Err(SqlError::at(at, "a PRIMARY KEY must be NOT ENFORCED")
            .detail("Nothing checks it while rows stream by")
            .hint("write PRIMARY KEY (...) NOT ENFORCED"))
    }

    /// A column's name; one with a dot in it has backticks.
    fn column_name(&mut self) -> Parsed<Name> {
        let first = self.parser.peek_token();
        if let Token::Period = self.parser.peek_nth_token(1).token
            && let Token::Word(second) = self.parser.peek_nth_token(2).token
        {
            let name = first.token.to_string();
            let name = format!("{}.{}", name.trim_matches('`'), second.value);
            return Err(
                SqlError::at(first.span, format!("'{name}' is no name of a column"))
                    .hint(format!("write a name with a dot in backticks: `{name}`")),
            );
        }
        self.name()
    }

    fn column(&mut self, table: &mut CreateTable) -> Parsed<ColumnDef> {
        let name = self.column_name()?;
        if self.word("AS") {
            let at = self.parser.peek_token().span;
            let expression = self.expression()?;
            if expression
                .text
                .trim()
                .to_ascii_uppercase()
                .starts_with("PROCTIME")
            {
                return Err(SqlError::at(at, "processing time is not supported")
                    .hint("use an event-time column with WATERMARK FOR, or CURRENT_TIMESTAMP for the time a row is read"));
            }
            let comment = self.comment()?;
            return Ok(ColumnDef {
                name,
                source: ColumnSource::Computed(Box::new(expression)),
                comment,
            });
        }
        let data_type = self.data_type()?;
        if self.word("METADATA") {
            let key = if self.word("FROM") {
                Some(self.literal("a metadata key in quotes")?)
            } else {
                None
            };
            let is_virtual = self.word("VIRTUAL");
            let comment = self.comment()?;
            return Ok(ColumnDef {
                name,
                source: ColumnSource::Metadata {
                    data_type,
                    key,
                    is_virtual,
                },
                comment,
            });
        }
        let at = self.parser.peek_token().span;
        if self.word("PRIMARY") {
            self.expect_word("KEY")?;
            if !table.primary_key.is_empty() {
                return Err(SqlError::at(at, "a table has one PRIMARY KEY"));
            }
            table.primary_key = vec![name.clone()];
            self.not_enforced(at.into())?;
        }
        for word in ["DEFAULT", "UNIQUE", "CHECK", "REFERENCES", "GENERATED"] {
            if self.word(word) {
                return Err(
                    SqlError::at(at, format!("{word} is not supported in a column")).hint(
                        "compute the value in the SELECT, or in a column `name AS expression`",
                    ),
                );
            }
        }
        let comment = self.comment()?;
        Ok(ColumnDef {
            name,
            source: ColumnSource::Physical(data_type),
            comment,
        })
    }

    fn comment(&mut self) -> Parsed<Option<String>> {
        if !self.word("COMMENT") {
            return Ok(None);
        }
        Ok(Some(self.literal("a comment in quotes")?.value))
    }

    /// `WITH ('key' = 'value', ...)`, if there.
    fn options(&mut self) -> Parsed<Options> {
        let mut options = Options {
            position: Some(self.start.into()),
            ..Options::default()
        };
        let at = self.parser.peek_token().span;
        if !self.word("WITH") {
            return Ok(options);
        }
        options.position = Some(at.into());
        self.expect(&Token::LParen)?;
        while self.parser.peek_token_ref().token != Token::RParen {
            let key = self.literal("an option's key in quotes")?;
            self.expect(&Token::Eq)?;
            let value = self.literal("an option's value in quotes")?;
            if options.values.contains_key(&key.value) {
                return Err(SqlError::at(
                    key.position,
                    format!("option '{}' is given twice", key.value),
                ));
            }
            options
                .values
                .insert(key.value, (value.value, key.position));
            if !self.parser.consume_token(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok(options)
    }

    fn create_materialized_table(&mut self, or_alter: bool) -> Parsed<CreateMaterializedTable> {
        let at = self.parser.peek_token().span;
        let if_not_exists = self.if_not_exists()?;
        if or_alter && if_not_exists {
            return Err(
                SqlError::at(at, "OR ALTER and IF NOT EXISTS exclude each other")
                    .hint("leave IF NOT EXISTS out: OR ALTER creates what is not there"),
            );
        }
        let name = self.name()?;
        let at = self.parser.peek_token();
        if at.token == Token::LParen {
            return Err(SqlError::at(
                at.span,
                "a materialized table takes its columns from its query",
            )
            .hint("leave the column list out; name columns with AS in the SELECT"));
        }
        let comment = self.comment()?;
        for word in ["PARTITIONED", "DISTRIBUTED"] {
            let at = self.parser.peek_token().span;
            if self.word(word) {
                return Err(SqlError::at(at, format!("{word} BY is not supported"))
                    .hint("set 'millstream.partitions' in WITH (...) for the topic's partitions"));
            }
        }
        let options = self.options()?;
        let freshness = self.freshness()?;
        self.refresh_mode()?;
        self.expect_word("AS")?;
        Ok(CreateMaterializedTable {
            name,
            if_not_exists,
            or_alter,
            comment,
            options,
            freshness,
            query: self.query()?,
            text: self.text(),
        })
    }

    /// `FRESHNESS = INTERVAL '3' MINUTE`, if there: how old results may be.
    fn freshness(&mut self) -> Parsed<bool> {
        if !self.word("FRESHNESS") {
            return Ok(false);
        }
        self.expect(&Token::Eq)?;
        self.expect_word("INTERVAL")?;
        let number = self.literal("a number in quotes")?;
        if !number.value.trim().parse().is_ok_and(|n: u64| n > 0) {
            return Err(SqlError::at(
                number.position,
                format!("'{}' is no freshness", number.value),
            )
            .hint("write FRESHNESS = INTERVAL '1' MINUTE"));
        }
        let units = ["SECOND", "MINUTE", "HOUR", "DAY"];
        let plurals = ["SECONDS", "MINUTES", "HOURS", "DAYS"];
        if !units.iter().chain(&plurals).any(|unit| self.word(unit)) {
            let found = self.parser.peek_token();
            return Err(SqlError::at(
                self.place(found.span.start),
                format!(
                    "expected SECOND, MINUTE, HOUR or DAY, found {}",
                    found.token
                ),
            ));
        }
        Ok(true)
    }

    /// `REFRESH_MODE = CONTINUOUS`, if there.
    fn refresh_mode(&mut self) -> Parsed<()> {
        if !self.word("REFRESH_MODE") {
            return Ok(());
        }
        self.expect(&Token::Eq)?;
        let at = self.parser.peek_token();
        if self.word("CONTINUOUS") {
            return Ok(());
        }
        Err(SqlError::at(
            self.place(at.span.start),
            format!("REFRESH_MODE cannot be {}", at.token),
        )
        .hint("leave it out: a materialized table is always kept up to date"))
    }
}
