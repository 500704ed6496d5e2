//! Text to statements.
//!
//! Statements, types and clauses that are Flink's own are parsed here;
//! expressions and queries are `sqlparser`'s with `dialect::FlinkDialect`.
//! Whatever is left over after a statement is an error, never dropped; what
//! queries may contain is checked where they are planned.

mod create;
mod data_type;
pub(crate) mod dialect;
mod source;

use crate::error::{Position, SqlError};
use crate::stack::on_large_stack;
use crate::statement::{
    Drop, DropJob, Expression, Insert, Literal, Name, Query, Statement, StatementKind,
};
use crate::types::SqlType;
use dialect::FlinkDialect;
use millstream_core::limits::SQL_BYTES_MAX;
use source::{Source, check_tokens};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// Statements in one text.
const STATEMENTS_MAX: usize = 1_000;

/// Parses all statements of a text, each ended by `;` or the end.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    if text.len() > SQL_BYTES_MAX {
        return Err(SqlError::at(Position::START, "the text is too long")
            .detail(format!("At most {SQL_BYTES_MAX} bytes are allowed")));
    }
    let statements = split(tokenize(text)?);
    if let Some(first_over) = statements.get(STATEMENTS_MAX) {
        let at = first_over
            .first()
            .map_or(Position::START, |t| t.span.into());
        return Err(SqlError::at(at, "the text has too many statements")
            .detail(format!("At most {STATEMENTS_MAX} are allowed"))
            .hint("run them in several texts"));
    }
    let source = Source::new(text);
    on_large_stack(|| {
        statements
            .into_iter()
            .map(|tokens| StatementParser::new(tokens, &source).whole())
            .collect()
    })
}

/// Whether two texts say the same in the same words: only spaces and comments
/// may differ.
pub fn same_tokens(one: &str, other: &str) -> bool {
    let tokens = |text| {
        let tokens = tokenize(text).ok()?.into_iter().map(|t| t.token);
        let words = tokens.filter(|t| !matches!(t, Token::Whitespace(_) | Token::EOF));
        Some(words.collect::<Vec<_>>())
    };
    match (tokens(one), tokens(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Parses an expression that stands alone: a stored computed column or
/// watermark.
pub(crate) fn parse_expression(text: &str) -> Result<Expression, SqlError> {
    let tokens = tokenize(text)?;
    let source = Source::new(text);
    let mut parser = StatementParser::new(tokens, &source);
    let expression = parser.expression()?;
    parser.end()?;
    Ok(expression)
}

/// Parses a type from its canonical name.
pub(crate) fn parse_type_name(text: &str) -> Result<SqlType, SqlError> {
    let tokens = tokenize(text)?;
    let source = Source::new(text);
    let mut parser = StatementParser::new(tokens, &source);
    let parsed = parser.data_type()?;
    parser.end()?;
    Ok(parsed)
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&FlinkDialect, text)
        .tokenize_with_location()
        .map_err(|e| SqlError::at(e.location, e.message))?;
    check_tokens(&tokens)?;
    Ok(tokens)
}

/// Cuts at semicolons and drops what holds no token.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut parts = vec![Vec::new()];
    for token in tokens {
        if token.token == Token::SemiColon {
            parts.push(Vec::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(token);
        }
    }
    let is_text = |t: &TokenWithSpan| !matches!(t.token, Token::Whitespace(_) | Token::EOF);
    parts.retain(|part| part.iter().any(is_text));
    parts
}

/// Parses one statement.
struct StatementParser<'a> {
    parser: Parser<'a>,
    source: &'a Source<'a>,
    start: Location,
    end: Location,
}

type Parsed<T> = Result<T, SqlError>;

impl<'a> StatementParser<'a> {
    fn new(tokens: Vec<TokenWithSpan>, source: &'a Source<'a>) -> Self {
        let is_text = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_) | Token::EOF);
        let start = tokens.iter().find(is_text).map(|t| t.span.start);
        let end = tokens.iter().rev().find(is_text).map(|t| t.span.end);
        let first = Location { line: 1, column: 1 };
        Self {
            parser: Parser::new(&FlinkDialect).with_tokens_with_locations(tokens),
            source,
            start: start.unwrap_or(first),
            end: end.unwrap_or(first),
        }
    }

    fn text(&self) -> String {
        self.source.slice(self.start, self.end).to_owned()
    }

    fn whole(mut self) -> Parsed<Statement> {
        let kind = self.statement()?;
        self.end()?;
        Ok(Statement {
            kind,
            text: self.text(),
            position: self.start.into(),
        })
    }

    fn statement(&mut self) -> Parsed<StatementKind> {
        let first = self.parser.peek_token();
        let word = match &first.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            Token::LParen => "SELECT".to_owned(),
            _ => String::new(),
        };
        match word.as_str() {
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "INSERT" => self.insert().map(StatementKind::Insert),
            "SELECT" | "WITH" | "VALUES" => self.query().map(StatementKind::Query),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => {
                self.parser.next_token();
                self.name().map(StatementKind::Describe)
            }
            "EXPLAIN" => self.explain(),
            "STOP" => self.stop_job(),
            "START" => self.start_job(),
            "ALTER" => self.alter(),
            "SET" => self.set(),
            "RESET" => self.reset(),
            _ => Err(unknown_statement(&first, &word)),
        }
    }

    fn drop(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        let what = self.parser.peek_token();
        let materialized = self.word("MATERIALIZED");
        if !materialized && self.word("JOB") {
            return Ok(StatementKind::DropJob(DropJob {
                if_exists: self.if_exists()?,
                id: self.literal("the job's id in quotes")?,
            }));
        }
        if !self.word("TABLE") {
            return Err(
                SqlError::at(what.span, format!("cannot drop {}", what.token))
                    .hint("DROP TABLE, DROP MATERIALIZED TABLE and DROP JOB are supported"),
            );
        }
        let drop = Drop {
            if_exists: self.if_exists()?,
            name: self.name()?,
        };
        Ok(if materialized {
            StatementKind::DropMaterializedTable(drop)
        } else {
            StatementKind::DropTable(drop)
        })
    }

    fn if_exists(&mut self) -> Parsed<bool> {
        let if_exists = self.word("IF");
        if if_exists {
            self.expect_word("EXISTS")?;
        }
        Ok(if_exists)
    }

    fn insert(&mut self) -> Parsed<Insert> {
        self.parser.next_token();
        if self.word("OVERWRITE") {
            let at = self.parser.get_current_token().span;
            return Err(SqlError::at(at, "INSERT OVERWRITE is not supported")
                .hint("a topic is appended to: write INSERT INTO"));
        }
        self.expect_word("INTO")?;
        let table = self.name()?;
        if self.word("PARTITION") {
            let at = self.parser.get_current_token().span;
            return Err(SqlError::at(at, "PARTITION (...) is not supported")
                .hint("write all columns in the SELECT"));
        }
        let columns = if self.parser.peek_token_ref().token == Token::LParen
            && !matches!(&self.parser.peek_nth_token(1).token, Token::Word(w) if matches!(w.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
        {
            self.name_list()?
        } else {
            Vec::new()
        };
        Ok(Insert {
            table,
            columns,
            query: self.query()?,
            text: self.text(),
        })
    }

    fn show(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        let what = self.parser.peek_token();
        if self.word("TABLES") {
            return Ok(StatementKind::ShowTables);
        }
        if self.word("JOBS") {
            return Ok(StatementKind::ShowJobs);
        }
        if self.word("FUNCTIONS") {
            return Ok(StatementKind::ShowFunctions);
        }
        if self.word("CREATE") {
            self.word("MATERIALIZED");
            self.expect_word("TABLE")?;
            return self.name().map(StatementKind::ShowCreateTable);
        }
        Err(
            SqlError::at(what.span, format!("cannot show {}", what.token))
                .hint("SHOW TABLES, SHOW JOBS, SHOW FUNCTIONS, SHOW CREATE TABLE t are supported"),
        )
    }

    fn explain(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        if self.word("PLAN") {
            self.expect_word("FOR")?;
        }
        let at = self.parser.peek_token().span.start;
        if self.word("EXPLAIN") {
            return Err(SqlError::at(at, "EXPLAIN of an EXPLAIN is not supported"));
        }
        let kind = self.statement()?;
        let explained = match &kind {
            StatementKind::Query(_)
            | StatementKind::Insert(_)
            | StatementKind::CreateMaterializedTable(_) => Statement {
                kind,
                text: self.source.slice(at, self.end).to_owned(),
                position: at.into(),
            },
            _ => {
                return Err(SqlError::at(at, "this statement has no plan")
                    .hint("EXPLAIN takes a SELECT, an INSERT or a CREATE MATERIALIZED TABLE"));
            }
        };
        Ok(StatementKind::Explain(Box::new(explained)))
    }

    fn stop_job(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        self.expect_word("JOB")?;
        let id = self.literal("the job's id in quotes")?;
        if self.word("WITH") {
            let at = self.parser.get_current_token().span;
            return Err(SqlError::at(at, "savepoints are not supported")
                .hint("write STOP JOB 'id': the job's state stays in its changelog topic"));
        }
        Ok(StatementKind::StopJob(id))
    }

    fn start_job(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        self.expect_word("JOB")?;
        self.literal("the job's id in quotes")
            .map(StatementKind::StartJob)
    }

    /// `ALTER MATERIALIZED TABLE t SUSPEND | RESUME`.
    fn alter(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        let what = self.parser.peek_token();
        if !self.word("MATERIALIZED") {
            return Err(
                SqlError::at(what.span, format!("cannot alter {}", what.token)).hint(
                    "DROP TABLE and CREATE TABLE again: the topic and its records stay; \
                 ALTER MATERIALIZED TABLE t SUSPEND and RESUME are supported",
                ),
            );
        }
        self.expect_word("TABLE")?;
        let name = self.name()?;
        let what = self.parser.peek_token();
        let kind = if self.word("SUSPEND") {
            StatementKind::SuspendMaterializedTable(name)
        } else if self.word("RESUME") {
            StatementKind::ResumeMaterializedTable(name)
        } else {
            let at = self.place(what.span.start);
            return Err(SqlError::at(
                at,
                format!("expected SUSPEND or RESUME, found {}", what.token),
            )
            .hint(
                "for another query or other options, DROP MATERIALIZED TABLE and CREATE it again",
            ));
        };
        // Flink: RESUME WITH (...) changes options for the time after it.
        if self.word("WITH") {
            let at = self.parser.get_current_token().span;
            return Err(SqlError::at(at, "WITH (...) is not supported here")
                .hint("the table goes on with the options that it was created with"));
        }
        Ok(kind)
    }

    fn set(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        if self.parser.peek_token_ref().token == Token::EOF {
            return Ok(StatementKind::Set(None));
        }
        let key = self.literal("a key in quotes")?;
        self.expect(&Token::Eq)?;
        let value = self.literal("a value in quotes")?;
        Ok(StatementKind::Set(Some((key, value.value))))
    }

    fn reset(&mut self) -> Parsed<StatementKind> {
        self.parser.next_token();
        if self.parser.peek_token_ref().token == Token::EOF {
            return Ok(StatementKind::Reset(None));
        }
        let key = self.literal("a key in quotes")?;
        Ok(StatementKind::Reset(Some(key)))
    }

    fn query(&mut self) -> Parsed<Query> {
        let start = self.parser.peek_token().span.start;
        let ast = self.parser.parse_query().map_err(|e| self.error(e))?;
        let end = self.parser.get_current_token().span.end;
        Ok(Query {
            ast,
            text: self.source.slice(start, end).to_owned(),
            position: start.into(),
        })
    }

    fn expression(&mut self) -> Parsed<Expression> {
        let start = self.parser.peek_token().span.start;
        let ast = self.parser.parse_expr().map_err(|e| self.error(e))?;
        let end = self.parser.get_current_token().span.end;
        Ok(Expression {
            ast,
            text: self.source.slice(start, end).to_owned(),
            position: start.into(),
        })
    }

    fn data_type(&mut self) -> Parsed<SqlType> {
        data_type::parse_type(&mut self.parser).map_err(|e| self.error(e))
    }

    /// A name of one part.
    fn name(&mut self) -> Parsed<Name> {
        let token = self.parser.peek_token();
        let ident = self.parser.parse_identifier().map_err(|e| self.error(e))?;
        if self.parser.peek_token_ref().token == Token::Period {
            return Err(SqlError::at(token.span, "names have one part")
                .detail("There is one catalog and one database")
                .hint("leave out what stands before the last dot"));
        }
        Ok(Name {
            value: ident.value,
            position: token.span.into(),
        })
    }

    /// `(a, b, c)`.
    fn name_list(&mut self) -> Parsed<Vec<Name>> {
        self.expect(&Token::LParen)?;
        let mut names = vec![self.name()?];
        while self.parser.consume_token(&Token::Comma) {
            names.push(self.name()?);
        }
        self.expect(&Token::RParen)?;
        Ok(names)
    }

    fn literal(&mut self, what: &str) -> Parsed<Literal> {
        let token = self.parser.next_token();
        match token.token {
            Token::SingleQuotedString(value) => Ok(Literal {
                value,
                position: token.span.into(),
            }),
            other => Err(SqlError::at(
                self.place(token.span.start),
                format!("expected {what}, found {other}"),
            )),
        }
    }

    /// Takes a word that is not quoted, in any case.
    fn word(&mut self, word: &str) -> bool {
        let found = matches!(
            &self.parser.peek_token_ref().token,
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word)
        );
        if found {
            self.parser.next_token();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.word(word) {
            return Ok(());
        }
        let found = self.parser.peek_token();
        let at = self.place(found.span.start);
        Err(SqlError::at(
            at,
            format!("expected {word}, found {}", found.token),
        ))
    }

    fn expect(&mut self, token: &Token) -> Parsed<()> {
        if self.parser.consume_token(token) {
            return Ok(());
        }
        let found = self.parser.peek_token();
        let at = self.place(found.span.start);
        Err(SqlError::at(
            at,
            format!("expected {token}, found {}", found.token),
        ))
    }

    /// Refuses what follows a statement.
    fn end(&mut self) -> Parsed<()> {
        let token = self.parser.peek_token();
        match token.token {
            Token::EOF => Ok(()),
            other => Err(SqlError::at(
                token.span,
                format!("expected the end of the statement, found {other}"),
            )
            .hint("statements are separated by ';'")),
        }
    }

    /// The end of the statement has no place of its own.
    fn place(&self, location: Location) -> Location {
        if location.line == 0 {
            self.end
        } else {
            location
        }
    }

    fn error(&self, error: ParserError) -> SqlError {
        let message = match error {
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
            ParserError::RecursionLimitExceeded => {
                return SqlError::at(
                    self.place(self.parser.peek_token().span.start),
                    "nested too deeply",
                )
                .hint("compute parts in a subquery");
            }
        };
        match split_place(&message) {
            Some((message, place)) => SqlError::at(place, tidy(message)),
            None => SqlError::at(self.end, tidy(&message)),
        }
    }
}

/// Cuts ` at Line: 1, Column: 2` off.
fn split_place(message: &str) -> Option<(&str, Position)> {
    let (message, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let position = Position {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    };
    Some((message, position))
}

/// `Expected: x, found: y` as the other messages say it.
fn tidy(message: &str) -> String {
    message
        .replace("Expected: ", "expected ")
        .replace(", found: ", ", found ")
}

fn unknown_statement(token: &TokenWithSpan, word: &str) -> SqlError {
    const KNOWN: [&str; 13] = [
        "CREATE", "DROP", "ALTER", "INSERT", "SELECT", "SHOW", "DESCRIBE", "EXPLAIN", "START",
        "STOP", "SET", "RESET", "WITH",
    ];
    let (message, hint) = match word {
        "EXECUTE" | "BEGIN" | "END" => (
            "statement sets are not supported".to_owned(),
            "write the INSERTs one after the other: each is a job of its own",
        ),
        "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => (
            format!("{word} is not supported"),
            "a topic is appended to: INSERT INTO it, or DROP TABLE",
        ),
        "USE" | "LOAD" | "UNLOAD" | "ADD" | "REMOVE" => (
            format!("{word} is not supported"),
            "there is one catalog and one database, and no modules or jars",
        ),
        "" => (
            format!("expected a statement, found {}", token.token),
            "a statement begins with CREATE, DROP, ALTER, INSERT, SELECT, SHOW, DESCRIBE, EXPLAIN, START JOB, STOP JOB, SET or RESET",
        ),
        _ => {
            return SqlError::at(token.span, format!("there is no statement '{}'", token.token))
                .hint("a statement begins with CREATE, DROP, ALTER, INSERT, SELECT, SHOW, DESCRIBE, EXPLAIN, START JOB, STOP JOB, SET or RESET")
                .meant(word, KNOWN);
        }
    };
    SqlError::at(token.span, message).hint(hint)
}
