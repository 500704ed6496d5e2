//! Statements, as parsed: names and types are not looked up yet.

use crate::error::{Position, SqlError};
use crate::parser::dialect::TABLE_PREFIX;
use crate::stack::on_large_stack;
use crate::types::SqlType;
use sqlparser::ast::{self, Visit, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// One statement of a text.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Its own text, without the semicolon.
    pub text: String,
    /// Where it begins in the whole text.
    pub position: Position,
}

/// What a statement says. One variant, one parser in `parser/`.
#[derive(Debug, Clone)]
pub enum StatementKind {
    /// `CREATE TABLE`.
    CreateTable(CreateTable),
    /// `CREATE MATERIALIZED TABLE ... AS SELECT`.
    CreateMaterializedTable(CreateMaterializedTable),
    /// `DROP TABLE`.
    DropTable(Drop),
    /// `DROP MATERIALIZED TABLE`: stops its job too.
    DropMaterializedTable(Drop),
    /// `INSERT INTO ... SELECT`: a job.
    Insert(Insert),
    /// `SELECT`: a bounded query.
    Query(Query),
    /// `SHOW TABLES`.
    ShowTables,
    /// `SHOW JOBS`.
    ShowJobs,
    /// `SHOW FUNCTIONS`.
    ShowFunctions,
    /// `SHOW CREATE TABLE t` and `SHOW CREATE MATERIALIZED TABLE t`.
    ShowCreateTable(Name),
    /// `DESCRIBE t` or `DESC t`.
    Describe(Name),
    /// `EXPLAIN [PLAN FOR] statement`.
    Explain(Box<Statement>),
    /// `STOP JOB 'id'`.
    StopJob(Literal),
    /// `START JOB 'id'` (ours; Flink starts a job again from a savepoint).
    StartJob(Literal),
    /// `DROP JOB [IF EXISTS] 'id'` (ours): stops a job and forgets it with its
    /// state.
    DropJob(DropJob),
    /// `ALTER MATERIALIZED TABLE t SUSPEND`.
    SuspendMaterializedTable(Name),
    /// `ALTER MATERIALIZED TABLE t RESUME`.
    ResumeMaterializedTable(Name),
    /// `SET 'key' = 'value'`; without a key, lists the settings.
    Set(Option<(Literal, String)>),
    /// `RESET 'key'`; without a key, all of them.
    Reset(Option<Literal>),
}

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, without backticks.
    pub value: String,
    /// Where.
    pub position: Position,
}

/// A string literal and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// The content.
    pub value: String,
    /// Where.
    pub position: Position,
}

/// `DROP ...`.
#[derive(Debug, Clone)]
pub struct Drop {
    /// What.
    pub name: Name,
    /// `IF EXISTS`.
    pub if_exists: bool,
}

/// `DROP JOB ...`.
#[derive(Debug, Clone)]
pub struct DropJob {
    /// Which.
    pub id: Literal,
    /// `IF EXISTS`.
    pub if_exists: bool,
}

/// `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Its name.
    pub name: Name,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Columns in order.
    pub columns: Vec<ColumnDef>,
    /// `WATERMARK FOR`.
    pub watermark: Option<Box<WatermarkClause>>,
    /// `PRIMARY KEY (...) NOT ENFORCED`.
    pub primary_key: Vec<Name>,
    /// `COMMENT '...'`.
    pub comment: Option<String>,
    /// `WITH (...)`.
    pub options: Options,
    /// The statement, whole.
    pub text: String,
}

/// `WITH ('key' = 'value', ...)`.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values by key, with the place of the key.
    pub values: BTreeMap<String, (String, Position)>,
    /// Where the clause, or the statement, begins.
    pub position: Option<Position>,
}

impl Options {
    /// Whether the keys and values are the same, wherever they stand.
    pub fn same_as(&self, other: &Self) -> bool {
        let values = |options: &Self| -> Vec<(String, String)> {
            let of = options.values.iter();
            of.map(|(key, (value, _))| (key.clone(), value.clone()))
                .collect()
        };
        values(self) == values(other)
    }
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its name.
    pub name: Name,
    /// What it is made from.
    pub source: ColumnSource,
    /// `COMMENT '...'`.
    pub comment: Option<String>,
}

/// What a column is made from.
#[derive(Debug, Clone)]
pub enum ColumnSource {
    /// `name TYPE`.
    Physical(SqlType),
    /// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata {
        /// Declared type.
        data_type: SqlType,
        /// `FROM 'key'`; the column's name if absent.
        key: Option<Literal>,
        /// `VIRTUAL`.
        is_virtual: bool,
    },
    /// `name AS expression`.
    Computed(Box<Expression>),
}

/// An expression and its text.
#[derive(Debug, Clone)]
pub struct Expression {
    /// Parsed.
    pub ast: ast::Expr,
    /// As written.
    pub text: String,
    /// Where it begins.
    pub position: Position,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone)]
pub struct WatermarkClause {
    /// The event-time column.
    pub column: Name,
    /// The watermark of a row.
    pub expression: Expression,
}

/// `CREATE MATERIALIZED TABLE`.
#[derive(Debug, Clone)]
pub struct CreateMaterializedTable {
    /// Its name.
    pub name: Name,
    /// `IF NOT EXISTS`; ours, Flink has none.
    pub if_not_exists: bool,
    /// `OR ALTER`.
    pub or_alter: bool,
    /// `COMMENT '...'`.
    pub comment: Option<String>,
    /// `WITH (...)`.
    pub options: Options,
    /// `FRESHNESS = ...` was given: rows are always fresher than it may ask.
    pub freshness: bool,
    /// What fills it.
    pub query: Query,
    /// The statement, whole.
    pub text: String,
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Debug, Clone)]
pub struct Insert {
    /// The sink.
    pub table: Name,
    /// `(columns)`; empty means all persisted ones.
    pub columns: Vec<Name>,
    /// What fills it.
    pub query: Query,
    /// The statement, whole.
    pub text: String,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// Parsed.
    pub ast: Box<ast::Query>,
    /// As written.
    pub text: String,
    /// Where it begins.
    pub position: Position,
}

impl Query {
    /// Names of the tables that it reads, without looking any of them up. The
    /// name of a WITH query is among them: a table may have that name too,
    /// and the WITH query may read it.
    pub fn tables(&self) -> Result<BTreeSet<String>, SqlError> {
        on_large_stack(|| {
            let mut found = TablesRead::default();
            let _ = self.ast.visit(&mut found);
            Ok(found.names)
        })
    }
}

#[derive(Default)]
struct TablesRead {
    names: BTreeSet<String>,
}

impl Visitor for TablesRead {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table {
            name, args: None, ..
        } = factor
            && let [ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice()
        {
            self.names.insert(ident.value.clone());
        }
        ControlFlow::Continue(())
    }

    /// `TABLE t` as the argument of a window table function.
    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Prefixed { prefix, value } = expr
            && prefix.value == TABLE_PREFIX
            && let ast::Expr::CompoundIdentifier(parts) = value.as_ref()
            && let [ident] = parts.as_slice()
        {
            self.names.insert(ident.value.clone());
        }
        ControlFlow::Continue(())
    }
}
