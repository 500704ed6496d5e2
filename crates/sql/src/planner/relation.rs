//! What stands in FROM: tables, subqueries, TUMBLE.

use super::expr::{Binder, position};
use super::query::{Mode, QueryPlanner, Result, alias, columns_of, filter, project};
use super::scope::internal;
use super::steps;
use super::value::{Family, family};
use crate::catalog::{TableDef, TableKind};
use crate::error::{Position, SqlError};
use crate::functions::window;
use crate::parser::dialect::TABLE_PREFIX;
use crate::plan::WindowSpec;
use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalTableSource, TableScan};
use sqlparser::ast::{self, Spanned};
use std::sync::Arc;

impl QueryPlanner<'_> {
    pub(super) fn relation(&mut self, factor: &ast::TableFactor) -> Result<LogicalPlan> {
        use ast::TableFactor as T;
        let at: Position = factor.span().into();
        match factor {
            T::Table {
                name,
                alias: named,
                args,
                with_hints,
                version,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                if version.is_some() {
                    return Err(SqlError::at(at, "FOR SYSTEM_TIME AS OF is not supported")
                        .hint("join with the table as it is, in an ad-hoc SELECT"));
                }
                let ident = one_part(name, at)?;
                let plan = match args {
                    None => self.table(ident)?,
                    Some(args) if args.settings.is_none() => {
                        self.window(&ident.value, &args.args, ident.span.into())?
                    }
                    Some(_) => return Err(SqlError::at(at, "SETTINGS is not supported")),
                };
                optional_alias(plan, named.as_ref())
            }
            T::Derived {
                lateral: false,
                subquery,
                alias: named,
                sample: None,
            } => {
                let plan = self.query(subquery)?;
                match named {
                    Some(named) => alias(plan, named),
                    None => Ok(unqualified(plan, at)?),
                }
            }
            T::TableFunction {
                expr: ast::Expr::Function(function),
                alias: named,
            } => {
                let ident = one_part(&function.name, at)?;
                let ast::FunctionArguments::List(list) = &function.args else {
                    return Err(SqlError::at(at, "TABLE(...) needs TUMBLE(...)"));
                };
                let plan = self.window(&ident.value, &list.args, ident.span.into())?;
                optional_alias(plan, named.as_ref())
            }
            T::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.from(std::slice::from_ref(table_with_joins), at),
            T::MatchRecognize { .. } => Err(SqlError::at(at, "MATCH_RECOGNIZE is not supported")),
            T::UNNEST { .. } => Err(SqlError::at(at, "UNNEST is not supported")),
            T::Derived { lateral: true, .. } | T::Function { .. } => {
                Err(SqlError::at(at, "LATERAL is not supported").hint("write a join with ON"))
            }
            T::Pivot { .. } | T::Unpivot { .. } => {
                Err(SqlError::at(at, "PIVOT and UNPIVOT are not supported")
                    .hint("use SUM(x) FILTER (WHERE ...)"))
            }
            T::Table {
                sample: Some(_), ..
            }
            | T::Derived {
                sample: Some(_), ..
            } => Err(SqlError::at(at, "TABLESAMPLE is not supported")),
            T::Table { .. } => Err(SqlError::at(at, "hints after a table are not supported")
                .hint("options belong in the table's WITH (...)")),
            _ => Err(SqlError::at(at, "this is not supported in FROM")
                .hint("name a table, write (SELECT ...) AS t, or TABLE(TUMBLE(...))")),
        }
    }

    fn table(&mut self, name: &ast::Ident) -> Result<LogicalPlan> {
        if let Some(cte) = self.ctes.get(&name.value) {
            steps::spend(cte.size, name.span.into())?;
            return Ok(cte.plan.clone());
        }
        let table = self.lookup(name)?;
        scan(&table, name.span.into())
    }

    /// A table of the catalog.
    fn lookup(&mut self, name: &ast::Ident) -> Result<Arc<TableDef>> {
        let Some(table) = self.catalog.table(&name.value) else {
            return Err(no_table(
                &name.value,
                name.span.into(),
                &self.catalog.table_names(),
            ));
        };
        if self.tables.iter().all(|t| t.name != table.name) {
            self.tables.push(table.clone());
        }
        Ok(table)
    }

    /// `TUMBLE(TABLE t, DESCRIPTOR(ts), size[, offset])`.
    fn window(
        &mut self,
        name: &str,
        args: &[ast::FunctionArg],
        at: Position,
    ) -> Result<LogicalPlan> {
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "TUMBLE" => {}
            "HOP" | "CUMULATE" | "SESSION" => {
                return Err(SqlError::at(at, format!("{upper} is not supported"))
                    .hint("TUMBLE is the window table function there is"));
            }
            _ => {
                return Err(
                    SqlError::at(at, format!("there is no table function {upper}"))
                        .hint("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) is"),
                );
            }
        }
        let args = window_arguments(args, at)?;
        let table = self.window_table(args.data)?;
        let plan = scan(&table, position(args.data))?;
        let time = self.time_column(&table, &plan, args.time)?;
        let empty = datafusion::common::DFSchema::empty();
        let mut binder = Binder::scalar(self.session, &empty, "sizes are literals");
        let mut ms = |expr: &ast::Expr| {
            binder.bind(expr)?.literal_interval_ms().ok_or_else(|| {
                SqlError::at(
                    position(expr),
                    "expected a literal interval of whole milliseconds",
                )
                .hint("write INTERVAL '5' SECOND")
            })
        };
        let size_ms = ms(args.size)?;
        if size_ms <= 0 {
            return Err(SqlError::at(
                position(args.size),
                "a window must be longer than 0",
            ));
        }
        let mut offset_ms = args.offset.map_or(Ok(0), &mut ms)?;
        if family(time.data_type()) == Family::TimestampLtz {
            offset_ms -= zone_shift(self.session.time_zone, size_ms, position(args.size))?;
        }
        let spec = WindowSpec::Tumble {
            size_ms,
            offset_ms: offset_ms.rem_euclid(size_ms),
        };
        let mut plan = plan;
        if self.mode == Mode::Bounded && time.nullable() {
            // A row without a time is in no window; a job puts it aside.
            plan = filter(plan, time.expr.clone().is_not_null(), at)?;
        }
        let mut columns: Vec<Expr> = columns_of(&plan).into_iter().map(|c| c.expr).collect();
        for name in ["window_start", "window_end", "window_time"] {
            if table.schema.field_with_name(name).is_ok() {
                return Err(SqlError::at(
                    position(args.data),
                    format!("table '{}' has a column '{name}' already", table.name),
                ));
            }
        }
        let [start, end, row_time] = window::columns(&time.expr, time.data_type(), spec);
        columns.push(start.alias("window_start"));
        columns.push(end.alias("window_end"));
        columns.push(row_time.alias("window_time"));
        project(plan, columns, at)
    }

    fn window_table(&mut self, data: &ast::Expr) -> Result<Arc<TableDef>> {
        let at = position(data);
        let parts = match data {
            ast::Expr::Prefixed { prefix, value } if prefix.value == TABLE_PREFIX => {
                match value.as_ref() {
                    ast::Expr::CompoundIdentifier(parts) => parts.as_slice(),
                    _ => &[],
                }
            }
            _ => &[],
        };
        let [name] = parts else {
            return Err(
                SqlError::at(at, "the first argument must be a table").hint("write TABLE t")
            );
        };
        if self.ctes.contains_key(&name.value) {
            return Err(SqlError::at(name.span, "a window over a WITH query is not supported")
                .hint("window over the table, and filter after it: FROM TABLE(TUMBLE(TABLE t, ...)) WHERE ..."));
        }
        self.lookup(name)
    }

    fn time_column(
        &mut self,
        table: &Arc<TableDef>,
        plan: &LogicalPlan,
        descriptor: &ast::Expr,
    ) -> Result<super::value::Bound> {
        let at = position(descriptor);
        let usage =
            || SqlError::at(at, "expected DESCRIPTOR(time column)").hint("write DESCRIPTOR(ts)");
        let ast::Expr::Function(function) = descriptor else {
            return Err(usage());
        };
        let ast::FunctionArguments::List(list) = &function.args else {
            return Err(usage());
        };
        let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(ident)))] =
            list.args.as_slice()
        else {
            return Err(usage());
        };
        if !one_part(&function.name, at)?
            .value
            .eq_ignore_ascii_case("DESCRIPTOR")
        {
            return Err(usage());
        }
        let time = super::scope::column(std::slice::from_ref(ident), plan.schema())?;
        if !matches!(
            family(time.data_type()),
            Family::Timestamp | Family::TimestampLtz
        ) {
            return Err(SqlError::at(
                ident.span,
                format!(
                    "'{}' is {}, windows need TIMESTAMP or TIMESTAMP_LTZ",
                    ident.value,
                    time.type_name()
                ),
            )
            .hint("add a column like: ts AS TO_TIMESTAMP(text), and WATERMARK FOR ts"));
        }
        if self.mode == Mode::Streaming {
            let watermark = table
                .watermark
                .as_ref()
                .map(|w| table.schema.field(w.column).name());
            match watermark {
                Some(column) if *column == ident.value => {}
                Some(column) => {
                    return Err(SqlError::at(
                        ident.span,
                        format!(
                            "'{}' is not the event time of '{}'",
                            ident.value, table.name
                        ),
                    )
                    .hint(format!(
                        "write DESCRIPTOR({column}), which has the watermark"
                    )));
                }
                None if table.kind == TableKind::MaterializedTable => {
                    return Err(SqlError::at(
                        ident.span,
                        format!("table '{}' has no event time", table.name),
                    )
                    .detail("A window closes when the watermark passes its end")
                    .hint("select window_time, or its source's event-time column, in its query"));
                }
                None => {
                    return Err(SqlError::at(
                        ident.span,
                        format!("table '{}' has no watermark", table.name),
                    )
                    .detail("A window closes when the watermark passes its end")
                    .hint(format!(
                        "add WATERMARK FOR {0} AS {0} - INTERVAL '5' SECOND to CREATE TABLE {1}",
                        ident.value, table.name
                    )));
                }
            }
        }
        Ok(time)
    }
}

/// "There is no table".
pub(super) fn no_table(name: &str, at: Position, known: &[String]) -> SqlError {
    SqlError::at(at, format!("there is no table '{name}'"))
        .hint("SHOW TABLES lists them; names are case-sensitive")
        .meant(name, known.iter().map(String::as_str))
}

/// Reads a table's full schema.
fn scan(table: &Arc<TableDef>, at: Position) -> Result<LogicalPlan> {
    steps::relation(table.schema.fields().len(), at)?;
    let source = Arc::new(LogicalTableSource::new(table.schema.clone()));
    let name = TableReference::bare(table.name.as_str());
    TableScan::try_new(name, source, None, Vec::new(), None)
        .map(LogicalPlan::TableScan)
        .map_err(internal(at))
}

fn optional_alias(plan: LogicalPlan, named: Option<&ast::TableAlias>) -> Result<LogicalPlan> {
    match named {
        Some(named) => alias(plan, named),
        None => Ok(plan),
    }
}

/// A subquery without a name: its columns belong to no table.
fn unqualified(plan: LogicalPlan, at: Position) -> Result<LogicalPlan> {
    let columns = columns_of(&plan);
    if columns
        .iter()
        .all(|c| matches!(&c.expr, Expr::Column(c) if c.relation.is_none()))
    {
        return Ok(plan);
    }
    let plain = columns
        .into_iter()
        .map(|c| c.expr.alias(c.field.name()))
        .collect();
    project(plan, plain, at)
}

pub(super) fn one_part(name: &ast::ObjectName, at: Position) -> Result<&ast::Ident> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] => Ok(ident),
        _ => Err(SqlError::at(at, "names have one part")
            .detail("There is one catalog and one database")
            .hint("leave out what stands before the last dot")),
    }
}

struct WindowArguments<'a> {
    data: &'a ast::Expr,
    time: &'a ast::Expr,
    size: &'a ast::Expr,
    offset: Option<&'a ast::Expr>,
}

/// Arguments in order, or by Flink's names.
fn window_arguments(args: &[ast::FunctionArg], at: Position) -> Result<WindowArguments<'_>> {
    const NAMES: [&str; 4] = ["DATA", "TIMECOL", "SIZE", "OFFSET"];
    let mut slots: [Option<&ast::Expr>; 4] = [None; 4];
    for (index, arg) in args.iter().enumerate() {
        let (slot, value) = match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) => (Some(index), value),
            ast::FunctionArg::Named {
                name,
                arg: ast::FunctionArgExpr::Expr(value),
                ..
            } => {
                let upper = name.value.to_ascii_uppercase();
                (NAMES.iter().position(|n| *n == upper), value)
            }
            _ => return Err(usage(at)),
        };
        let Some(slot) = slot.and_then(|s| slots.get_mut(s)) else {
            return Err(usage(position(value)));
        };
        *slot = Some(value);
    }
    match slots {
        [Some(data), Some(time), Some(size), offset] => Ok(WindowArguments {
            data,
            time,
            size,
            offset,
        }),
        _ => Err(usage(at)),
    }
}

fn usage(at: Position) -> SqlError {
    SqlError::at(at, "TUMBLE needs a table, a time column and a size")
        .hint("write TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))")
}

/// Windows of instants are cut in local time. A zone that changes its offset
/// by something that is not whole windows cannot be cut evenly.
fn zone_shift(zone: Tz, size_ms: i64, at: Position) -> Result<i64> {
    const SECOND_MS: i64 = 1000;
    let offset_ms = |month: u32| {
        // Offsets of today's rules, in winter and in summer.
        let year = 2025;
        chrono::NaiveDate::from_ymd_opt(year, month, 1)
            .and_then(|d| d.and_hms_opt(0, 0, 0))
            .map_or(0, |t| {
                i64::from(zone.offset_from_utc_datetime(&t).fix().local_minus_utc()) * SECOND_MS
            })
    };
    let (winter, summer) = (offset_ms(1), offset_ms(7));
    if (winter - summer) % size_ms != 0 {
        return Err(SqlError::at(
            at,
            format!(
                "windows of this size are not even in {}, which has summer time",
                zone.name()
            ),
        )
        .hint("SET 'table.local-time-zone' = 'UTC', or use a size that divides an hour"));
    }
    Ok(winter)
}
