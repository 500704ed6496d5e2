//! Queries to logical plans. What a clause may be is decided here, clause by
//! clause; a clause that nobody reads is refused by name in [`check_select`]
//! and [`check_query`].

use super::coerce::common_type;
use super::expr::{Binder, Subqueries, convert, position};
use super::multiset::{Keep, match_all};
use super::scope::internal;
use super::steps::{self, Spent};
use super::value::Bound;
use crate::catalog::{Catalog, TableDef};
use crate::error::{Position, SqlError};
use crate::session::Session;
use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, ScalarValue, TableReference};
use datafusion::logical_expr::{
    Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SubqueryAlias,
};
use sqlparser::ast::{self, Spanned};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) type Result<T> = std::result::Result<T, SqlError>;

/// Whether a query runs for ever or over what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A job.
    Streaming,
    /// An ad-hoc SELECT.
    Bounded,
}

/// Plans one query and what is nested in it.
pub(crate) struct QueryPlanner<'a> {
    pub(super) catalog: &'a dyn Catalog,
    pub(super) session: &'a Session,
    pub(super) mode: Mode,
    /// The tables read, each once.
    pub(super) tables: Vec<Arc<TableDef>>,
    /// `WITH` queries in scope.
    pub(super) ctes: HashMap<String, Cte>,
}

/// A `WITH` query.
#[derive(Clone)]
pub(super) struct Cte {
    /// Its plan, which stands in the whole plan for each reference.
    pub(super) plan: LogicalPlan,
    /// What each reference adds.
    pub(super) size: Spent,
}

impl Subqueries for QueryPlanner<'_> {
    fn subquery(&mut self, query: &ast::Query) -> Result<LogicalPlan> {
        self.query(query)
    }
}

impl<'a> QueryPlanner<'a> {
    pub(crate) fn new(catalog: &'a dyn Catalog, session: &'a Session, mode: Mode) -> Self {
        Self {
            catalog,
            session,
            mode,
            tables: Vec::new(),
            ctes: HashMap::new(),
        }
    }

    /// A binder over a plan's columns.
    pub(super) fn binder<'b>(
        &'b mut self,
        schema: &'b datafusion::common::DFSchema,
        no_aggregates: Option<&'static str>,
    ) -> Binder<'b> {
        let session = self.session;
        Binder {
            session,
            schema,
            no_aggregates,
            subqueries: match self.mode {
                Mode::Bounded => Some(self),
                Mode::Streaming => None,
            },
        }
    }

    /// Refuses a clause in a job.
    pub(super) fn bounded_only(&self, at: Position, what: &str, hint: &str) -> Result<()> {
        match self.mode {
            Mode::Bounded => Ok(()),
            Mode::Streaming => Err(
                SqlError::at(at, format!("{what} is not supported in a job"))
                    .detail("A job's input never ends")
                    .hint(hint),
            ),
        }
    }

    pub(crate) fn query(&mut self, query: &ast::Query) -> Result<LogicalPlan> {
        check_query(query)?;
        let outer = self.ctes.clone();
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        let at: Position = query.body.span().into();
        let order = match &query.order_by {
            Some(order) => {
                let expressions = order_expressions(order, at)?;
                let at = expressions.first().map_or(at, |e| position(&e.expr));
                self.bounded_only(
                    at,
                    "ORDER BY",
                    "leave it out; sort when you read the result",
                )?;
                expressions
            }
            None => &[],
        };
        let plan = match query.body.as_ref() {
            ast::SetExpr::Select(select) => self.select(select, order)?,
            body => {
                let plan = self.set_expr(body)?;
                self.order_output(plan, order)?
            }
        };
        let plan = self.limit(plan, query, at)?;
        steps::check_depth(&plan, at)?;
        self.ctes = outer;
        Ok(plan)
    }

    fn with(&mut self, with: &ast::With) -> Result<()> {
        let at: Position = with.with_token.0.span.into();
        if with.recursive {
            return Err(SqlError::at(at, "WITH RECURSIVE is not supported"));
        }
        for cte in &with.cte_tables {
            if cte.from.is_some() || cte.materialized.is_some() {
                return Err(SqlError::at(at, "this kind of WITH is not supported")
                    .hint("write WITH name AS (SELECT ...)"));
            }
            let plan = self.query(&cte.query)?;
            let plan = alias(plan, &cte.alias)?;
            let size = steps::size_of(&plan);
            let name = cte.alias.name.value.clone();
            self.ctes.insert(name, Cte { plan, size });
        }
        Ok(())
    }

    fn set_expr(&mut self, body: &ast::SetExpr) -> Result<LogicalPlan> {
        let at: Position = body.span().into();
        match body {
            ast::SetExpr::Select(select) => self.select(select, &[]),
            ast::SetExpr::Query(query) => self.query(query),
            ast::SetExpr::SetOperation {
                op,
                set_quantifier,
                left,
                right,
            } => {
                let name = format!("{op}");
                self.bounded_only(at, &name, "write one INSERT for each of the queries")?;
                self.set_operation(*op, *set_quantifier, left, right, at)
            }
            ast::SetExpr::Values(values) => {
                self.bounded_only(at, "VALUES", "produce the records with a Kafka client")?;
                self.values(values, at)
            }
            _ => Err(SqlError::at(at, "expected a SELECT")),
        }
    }

    fn set_operation(
        &mut self,
        op: ast::SetOperator,
        quantifier: ast::SetQuantifier,
        left: &ast::SetExpr,
        right: &ast::SetExpr,
        at: Position,
    ) -> Result<LogicalPlan> {
        let all = match quantifier {
            ast::SetQuantifier::All => true,
            ast::SetQuantifier::None | ast::SetQuantifier::Distinct => false,
            _ => {
                return Err(
                    SqlError::at(at, "BY NAME is not supported").hint("name the columns in order")
                );
            }
        };
        let (left, right) = (self.set_expr(left)?, self.set_expr(right)?);
        let (left, right) = self.same_columns(left, right, at)?;
        let plan = match (op, all) {
            (ast::SetOperator::Union, true) => LogicalPlanBuilder::from(left).union(right),
            (ast::SetOperator::Union, false) => {
                LogicalPlanBuilder::from(left).union_distinct(right)
            }
            (ast::SetOperator::Intersect, true) => {
                return match_all(left, right, Keep::Matched, at);
            }
            (ast::SetOperator::Except | ast::SetOperator::Minus, true) => {
                return match_all(left, right, Keep::Unmatched, at);
            }
            (ast::SetOperator::Intersect, false) => {
                return LogicalPlanBuilder::intersect(left, right, false).map_err(internal(at));
            }
            (ast::SetOperator::Except | ast::SetOperator::Minus, false) => {
                return LogicalPlanBuilder::except(left, right, false).map_err(internal(at));
            }
        };
        plan.and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))
    }

    /// Casts both sides to common types, with the left side's names.
    fn same_columns(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        at: Position,
    ) -> Result<(LogicalPlan, LogicalPlan)> {
        let (l, r) = (columns_of(&left), columns_of(&right));
        if l.len() != r.len() {
            return Err(SqlError::at(
                at,
                format!("one side has {} columns, the other {}", l.len(), r.len()),
            ));
        }
        let (mut to_left, mut to_right) = (Vec::new(), Vec::new());
        for (a, b) in l.into_iter().zip(r) {
            let name = a.field.name().clone();
            let Some(common) = common_type(a.data_type(), b.data_type()) else {
                return Err(SqlError::at(
                    at,
                    format!(
                        "column '{name}' is {} on one side, {} on the other",
                        a.type_name(),
                        b.type_name()
                    ),
                )
                .hint("CAST one of them"));
            };
            to_left.push(convert(a, &common, self.session, at)?.alias(&name));
            to_right.push(convert(b, &common, self.session, at)?.alias(&name));
        }
        Ok((project(left, to_left, at)?, project(right, to_right, at)?))
    }

    fn values(&mut self, values: &ast::Values, at: Position) -> Result<LogicalPlan> {
        let empty = datafusion::common::DFSchema::empty();
        let mut rows: Vec<Vec<Bound>> = Vec::new();
        for row in &values.rows {
            let mut binder = self.binder(&empty, Some("VALUES has no rows to aggregate"));
            let bound = row
                .iter()
                .map(|e| binder.bind(e))
                .collect::<Result<Vec<_>>>()?;
            if rows.first().is_some_and(|first| first.len() != bound.len()) {
                return Err(SqlError::at(at, "the rows of VALUES differ in length"));
            }
            rows.push(bound);
        }
        let width = rows.first().map_or(0, Vec::len);
        steps::relation(width, at)?;
        let mut columns = Vec::new();
        for column in 0..width {
            let cells: Vec<_> = rows.iter().filter_map(|r| r.get(column).cloned()).collect();
            columns.push(super::expr::unify(cells, "VALUES", at, self.session)?);
        }
        let rows = (0..rows.len())
            .map(|row| columns.iter().filter_map(|c| c.get(row).cloned()).collect())
            .collect();
        let plan = LogicalPlanBuilder::values(rows)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))?;
        let named = columns_of(&plan).into_iter().enumerate();
        let named = named
            .map(|(i, c)| c.expr.alias(format!("EXPR${i}")))
            .collect();
        project(plan, named, at)
    }

    /// ORDER BY over a result's own columns.
    fn order_output(
        &mut self,
        plan: LogicalPlan,
        order: &[ast::OrderByExpr],
    ) -> Result<LogicalPlan> {
        if order.is_empty() {
            return Ok(plan);
        }
        let schema = plan.schema().clone();
        let mut sorts = Vec::new();
        for item in order {
            let expr = match ordinal(&item.expr, columns_of(&plan).len())? {
                Some(at) => Expr::Column(Column::from(schema.qualified_field(at))),
                None => {
                    self.binder(&schema, Some("ORDER BY takes columns here"))
                        .bind(&item.expr)?
                        .expr
                }
            };
            sorts.push(sort_expr(item, expr)?);
        }
        Ok(sorted(plan, sorts))
    }

    fn limit(
        &mut self,
        plan: LogicalPlan,
        query: &ast::Query,
        at: Position,
    ) -> Result<LogicalPlan> {
        let (mut skip, mut fetch) = (0, None);
        let hint = "leave it out; limit when you read the result";
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                let place = limit.as_ref().map_or(at, position);
                self.bounded_only(place, "LIMIT", hint)?;
                if !limit_by.is_empty() {
                    return Err(SqlError::at(place, "LIMIT ... BY is not supported"));
                }
                fetch = limit.as_ref().map(row_count).transpose()?;
                skip = offset.as_ref().map_or(Ok(0), |o| row_count(&o.value))?;
            }
            Some(ast::LimitClause::OffsetCommaLimit { limit, .. }) => {
                return Err(SqlError::at(position(limit), "LIMIT a, b is not supported")
                    .hint("write LIMIT b OFFSET a"));
            }
        }
        if let Some(first) = &query.fetch {
            self.bounded_only(at, "FETCH", hint)?;
            if first.with_ties || first.percent || fetch.is_some() {
                return Err(
                    SqlError::at(at, "this kind of FETCH is not supported").hint("write LIMIT n")
                );
            }
            fetch = Some(first.quantity.as_ref().map_or(Ok(1), row_count)?);
        }
        if skip == 0 && fetch.is_none() {
            return Ok(plan);
        }
        LogicalPlanBuilder::from(plan)
            .limit(skip, fetch)
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))
    }

    /// FROM: tables, joined.
    pub(super) fn from(
        &mut self,
        from: &[ast::TableWithJoins],
        at: Position,
    ) -> Result<LogicalPlan> {
        let mut from = from.iter();
        let Some(first) = from.next() else {
            self.bounded_only(at, "a SELECT without FROM", "read a table")?;
            steps::relation(0, at)?;
            return LogicalPlanBuilder::empty(true)
                .build()
                .map_err(internal(at));
        };
        let mut plan = self.joined(first)?;
        for more in from {
            let place = more.span().into();
            self.bounded_only(
                place,
                "a join",
                "join in an ad-hoc SELECT, over the job's result",
            )?;
            let right = self.joined(more)?;
            plan = self.join(plan, right, JoinType::Inner, None, place)?;
        }
        Ok(plan)
    }

    fn joined(&mut self, from: &ast::TableWithJoins) -> Result<LogicalPlan> {
        let mut plan = self.relation(&from.relation)?;
        for join in &from.joins {
            let at: Position = join.relation.span().into();
            self.bounded_only(
                at,
                "a join",
                "join in an ad-hoc SELECT, over the job's result",
            )?;
            use ast::JoinOperator as J;
            let (join_type, constraint) = match &join.join_operator {
                J::Join(c) | J::Inner(c) => (JoinType::Inner, c),
                J::Left(c) | J::LeftOuter(c) => (JoinType::Left, c),
                J::Right(c) | J::RightOuter(c) => (JoinType::Right, c),
                J::FullOuter(c) => (JoinType::Full, c),
                J::CrossJoin(c) => (JoinType::Inner, c),
                _ => {
                    return Err(SqlError::at(at, "this kind of join is not supported").hint(
                        "use [INNER | LEFT | RIGHT | FULL] JOIN ... ON, CROSS JOIN, IN or EXISTS",
                    ));
                }
            };
            let cross = matches!(join.join_operator, J::CrossJoin(_));
            let on = match constraint {
                ast::JoinConstraint::On(on) if !cross => Some(on),
                ast::JoinConstraint::None if cross => None,
                _ => {
                    return Err(
                        SqlError::at(at, "a join needs ON here").hint("write JOIN t ON a.x = b.y")
                    );
                }
            };
            let right = self.relation(&join.relation)?;
            plan = self.join(plan, right, join_type, on, at)?;
        }
        Ok(plan)
    }

    fn join(
        &mut self,
        left: LogicalPlan,
        right: LogicalPlan,
        join_type: JoinType,
        on: Option<&ast::Expr>,
        at: Position,
    ) -> Result<LogicalPlan> {
        for (table, _) in right.schema().iter() {
            if table.is_some() && left.schema().iter().any(|(t, _)| t == table) {
                let name = table.map_or_else(String::new, ToString::to_string);
                return Err(SqlError::at(at, format!("'{name}' is there twice"))
                    .hint("name one of them: t AS t2"));
            }
        }
        let schema = left.schema().join(right.schema()).map_err(internal(at))?;
        let on = match on {
            Some(on) => {
                let mut binder = Binder::scalar(self.session, &schema, "ON has no groups");
                vec![binder.condition(on, "ON")?]
            }
            None => Vec::new(),
        };
        let builder = LogicalPlanBuilder::from(left);
        let joined = if on.is_empty() {
            builder.cross_join(right)
        } else {
            builder.join_on(right, join_type, on)
        };
        joined
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))
    }
}

/// A plan's output columns.
pub(super) fn columns_of(plan: &LogicalPlan) -> Vec<Bound> {
    plan.schema()
        .iter()
        .map(|(qualifier, field)| Bound {
            expr: Expr::Column(Column::new(qualifier.cloned(), field.name())),
            field: field.clone(),
        })
        .collect()
}

pub(super) fn project(input: LogicalPlan, expr: Vec<Expr>, at: Position) -> Result<LogicalPlan> {
    Projection::try_new(expr, Arc::new(input))
        .map(LogicalPlan::Projection)
        .map_err(internal(at))
}

pub(super) fn filter(input: LogicalPlan, predicate: Expr, at: Position) -> Result<LogicalPlan> {
    Filter::try_new(predicate, Arc::new(input))
        .map(LogicalPlan::Filter)
        .map_err(internal(at))
}

pub(super) fn sorted(
    input: LogicalPlan,
    expr: Vec<datafusion::logical_expr::SortExpr>,
) -> LogicalPlan {
    LogicalPlan::Sort(Sort {
        expr,
        input: Arc::new(input),
        fetch: None,
    })
}

/// `plan AS name (columns)`.
pub(super) fn alias(plan: LogicalPlan, alias: &ast::TableAlias) -> Result<LogicalPlan> {
    let at: Position = alias.name.span.into();
    let plan = if alias.columns.is_empty() {
        plan
    } else {
        let columns = columns_of(&plan);
        if columns.len() != alias.columns.len() {
            return Err(SqlError::at(
                at,
                format!(
                    "{} names for {} columns",
                    alias.columns.len(),
                    columns.len()
                ),
            ));
        }
        if alias.columns.iter().any(|c| c.data_type.is_some()) {
            return Err(SqlError::at(at, "types are not written here").hint("CAST in the SELECT"));
        }
        let named = columns.into_iter().zip(&alias.columns);
        let named = named
            .map(|(c, name)| c.expr.alias(&name.name.value))
            .collect();
        project(plan, named, at)?
    };
    SubqueryAlias::try_new(
        Arc::new(plan),
        TableReference::bare(alias.name.value.as_str()),
    )
    .map(LogicalPlan::SubqueryAlias)
    .map_err(internal(at))
}

/// `ORDER BY 2`: the column's index.
pub(super) fn ordinal(expr: &ast::Expr, columns: usize) -> Result<Option<usize>> {
    let ast::Expr::Value(value) = expr else {
        return Ok(None);
    };
    let at = position(expr);
    match &value.value {
        ast::Value::Number(text, false) => match text.parse::<usize>() {
            Ok(n) if (1..=columns).contains(&n) => Ok(Some(n - 1)),
            _ => Err(
                SqlError::at(at, format!("there is no column {text} to order by"))
                    .hint(format!("the columns are 1 to {columns}")),
            ),
        },
        _ => Err(SqlError::at(at, "ORDER BY a literal orders nothing").hint("name a column")),
    }
}

/// NULLs are lowest unless said otherwise.
pub(super) fn sort_expr(
    item: &ast::OrderByExpr,
    expr: Expr,
) -> Result<datafusion::logical_expr::SortExpr> {
    if item.with_fill.is_some() {
        return Err(SqlError::at(
            position(&item.expr),
            "WITH FILL is not supported",
        ));
    }
    let asc = item.options.asc.unwrap_or(true);
    let nulls_first = item.options.nulls_first.unwrap_or(asc);
    Ok(expr.sort(asc, nulls_first))
}

fn order_expressions(order: &ast::OrderBy, at: Position) -> Result<&[ast::OrderByExpr]> {
    match &order.kind {
        ast::OrderByKind::Expressions(list) if order.interpolate.is_none() => Ok(list),
        _ => {
            Err(SqlError::at(at, "this kind of ORDER BY is not supported").hint("name the columns"))
        }
    }
}

fn row_count(expr: &ast::Expr) -> Result<usize> {
    if let ast::Expr::Value(value) = expr
        && let ast::Value::Number(text, false) = &value.value
        && let Ok(n) = text.parse::<u32>()
    {
        return Ok(n as usize);
    }
    Err(SqlError::at(position(expr), "expected a number of rows"))
}

/// Clauses of a query that other dialects have.
fn check_query(query: &ast::Query) -> Result<()> {
    let at: Position = query.body.span().into();
    let ast::Query {
        with: _,
        body: _,
        order_by: _,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let clause = if !locks.is_empty() {
        "FOR UPDATE and FOR SHARE"
    } else if for_clause.is_some() {
        "FOR XML, FOR JSON and FOR BROWSE"
    } else if settings.is_some() {
        "SETTINGS"
    } else if format_clause.is_some() {
        "FORMAT"
    } else if !pipe_operators.is_empty() {
        "|>"
    } else {
        return Ok(());
    };
    Err(SqlError::at(at, format!("{clause} is not supported")).hint("leave it out"))
}

/// The number in a `LIMIT`-like literal, for `literal` checks elsewhere.
pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

/// Whether a type can be grouped and compared.
pub(super) fn groupable(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Null | DataType::Interval(_))
}
