//! SELECT: filter, group, compute, name, order.

use super::expr::position;
use super::query::{
    Mode, QueryPlanner, Result, columns_of, filter, groupable, is_true, ordinal, project,
    sort_expr, sorted,
};
use super::scope::internal;
use super::value::Bound;
use super::window::window_of;
use crate::error::{Position, SqlError};
use crate::functions::held::held;
use crate::types::{TYPE_METADATA, type_name};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{self, Spanned};
use std::sync::Arc;

/// Output columns of one SELECT.
const COLUMNS_MAX: usize = 4_096;

/// An expression of the output, with its name and place.
struct Item {
    value: Bound,
    name: Option<String>,
    at: Position,
}

/// An ORDER BY entry: an output column, or an expression over the input.
enum Order {
    Output(usize),
    Input(Bound, Position),
}

impl QueryPlanner<'_> {
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<LogicalPlan> {
        let at: Position = select.select_token.0.span.into();
        check_select(select, at)?;
        let mut plan = self.from(&select.from, at)?;
        if let Some(condition) = &select.selection {
            let schema = plan.schema().clone();
            let mut binder = self.binder(&schema, Some("WHERE comes before groups: use HAVING"));
            let predicate = binder.condition(condition, "WHERE")?;
            if !is_true(&predicate) {
                plan = filter(plan, predicate, position(condition))?;
            }
        }
        let schema = plan.schema().clone();
        let keys = self.group_keys(select, &schema)?;
        let mut items = self.items(select, &schema)?;
        let having = match &select.having {
            Some(having) => {
                let mut binder = self.binder(&schema, None);
                Some((binder.condition(having, "HAVING")?, position(having)))
            }
            None => None,
        };
        let mut orders = self.orders(order, &items, &schema)?;
        let aggregated = !keys.is_empty()
            || having.is_some()
            || items.iter().any(|i| has_aggregate(&i.value.expr));
        if aggregated {
            plan = self.aggregate(select, plan, keys, &mut items, having, &mut orders, at)?;
        }
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => false,
            Some(ast::Distinct::Distinct) => {
                self.bounded_only(
                    at,
                    "DISTINCT",
                    "write GROUP BY window_start, window_end, columns over TUMBLE",
                )?;
                true
            }
            Some(ast::Distinct::On(_)) => {
                return Err(
                    SqlError::at(at, "DISTINCT ON is not supported").hint("use GROUP BY with MAX")
                );
            }
        };
        output(plan, items, &orders, order, distinct, at)
    }

    fn group_keys(&mut self, select: &ast::Select, schema: &DFSchema) -> Result<Vec<Bound>> {
        let at: Position = select.group_by.span().into();
        let expressions = match &select.group_by {
            ast::GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => list,
            ast::GroupByExpr::Expressions(..) => {
                return Err(
                    SqlError::at(at, "WITH ROLLUP, CUBE and TOTALS are not supported")
                        .hint("write one query for each set"),
                );
            }
            ast::GroupByExpr::All(_) => {
                return Err(SqlError::at(
                    select.select_token.0.span,
                    "GROUP BY ALL is not supported",
                )
                .hint("name the columns"));
            }
        };
        let mut keys = Vec::new();
        for expr in expressions {
            if let ast::Expr::Value(_) = expr {
                return Err(
                    SqlError::at(position(expr), "GROUP BY a literal groups nothing")
                        .hint("name a column"),
                );
            }
            let mut binder = self.binder(schema, Some("it cannot be grouped by"));
            let key = binder.bind(expr)?;
            if !groupable(key.data_type()) {
                return Err(SqlError::at(
                    position(expr),
                    format!("{} cannot be grouped by", key.type_name()),
                ));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn items(&mut self, select: &ast::Select, schema: &DFSchema) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in &select.projection {
            let at: Position = item.span().into();
            match item {
                ast::SelectItem::UnnamedExpr(expr) => {
                    let value = self.binder(schema, None).bind(expr)?;
                    let name = match strip(expr) {
                        ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => {
                            match &value.expr {
                                Expr::Column(column) => Some(column.name.clone()),
                                _ => last_part(strip(expr)),
                            }
                        }
                        _ => None,
                    };
                    items.push(Item {
                        value,
                        name,
                        at: position(expr),
                    });
                }
                ast::SelectItem::ExprWithAlias { expr, alias } => {
                    let value = self.binder(schema, None).bind(expr)?;
                    items.push(Item {
                        value,
                        name: Some(alias.value.clone()),
                        at: position(expr),
                    });
                }
                ast::SelectItem::Wildcard(options) => {
                    check_wildcard(options, at)?;
                    items.extend(all_columns(schema, None, at)?);
                }
                ast::SelectItem::QualifiedWildcard(kind, options) => {
                    check_wildcard(options, at)?;
                    let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(SqlError::at(at, "this kind of * is not supported"));
                    };
                    let table = super::relation::one_part(name, at)?;
                    items.extend(all_columns(schema, Some(table), at)?);
                }
            }
            if items.len() > COLUMNS_MAX {
                return Err(SqlError::at(
                    at,
                    format!("a SELECT has at most {COLUMNS_MAX} columns"),
                ));
            }
        }
        for item in &items {
            if item.value.is_null() {
                return Err(SqlError::at(item.at, "the type of this NULL is unknown")
                    .hint("write CAST(NULL AS type)"));
            }
        }
        Ok(items)
    }

    /// An output column by number or name comes before an input column.
    fn orders(
        &mut self,
        order: &[ast::OrderByExpr],
        items: &[Item],
        schema: &DFSchema,
    ) -> Result<Vec<Order>> {
        let mut orders = Vec::new();
        for entry in order {
            if let Some(at) = ordinal(&entry.expr, items.len())? {
                orders.push(Order::Output(at));
                continue;
            }
            if let ast::Expr::Identifier(ident) = strip(&entry.expr)
                && let Some(at) = items
                    .iter()
                    .position(|i| i.name.as_ref() == Some(&ident.value))
            {
                orders.push(Order::Output(at));
                continue;
            }
            let value = self.binder(schema, None).bind(&entry.expr)?;
            orders.push(Order::Input(value, position(&entry.expr)));
        }
        Ok(orders)
    }

    #[allow(clippy::too_many_arguments)]
    fn aggregate(
        &mut self,
        select: &ast::Select,
        plan: LogicalPlan,
        keys: Vec<Bound>,
        items: &mut [Item],
        having: Option<(Expr, Position)>,
        orders: &mut [Order],
        at: Position,
    ) -> Result<LogicalPlan> {
        if self.mode == Mode::Streaming {
            check_window(select, &plan, &keys, at)?;
        }
        let mut groups = Groups::new(keys);
        for item in items.iter() {
            groups.collect(&item.value.expr);
        }
        if let Some((having, _)) = &having {
            groups.collect(having);
        }
        for order in orders.iter() {
            if let Order::Input(value, _) = order {
                groups.collect(&value.expr);
            }
        }
        let plan = groups.plan(plan, at)?;
        let schema = plan.schema().clone();
        for item in items.iter_mut() {
            let expr = groups.rewrite(item.value.expr.clone(), item.at)?;
            item.value = rebound(expr, &item.value, &schema, item.at)?;
        }
        for order in orders.iter_mut() {
            if let Order::Input(value, place) = order {
                let expr = groups.rewrite(value.expr.clone(), *place)?;
                *value = rebound(expr, value, &schema, *place)?;
            }
        }
        match having {
            Some((having, place)) => filter(plan, groups.rewrite(having, place)?, place),
            None => Ok(plan),
        }
    }
}

/// The declared type stays with a value that is moved above the groups.
fn rebound(expr: Expr, old: &Bound, schema: &DFSchema, at: Position) -> Result<Bound> {
    let mut new = Bound::new(expr, schema).map_err(internal(at))?;
    if new.field.metadata().is_empty() && !old.field.metadata().is_empty() {
        let metadata = old.field.metadata().clone();
        new.field = Arc::new(new.field.as_ref().clone().with_metadata(metadata));
    }
    Ok(new)
}

/// Group keys and aggregates, and the columns they become.
struct Groups {
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
}

impl Groups {
    fn new(keys: Vec<Bound>) -> Self {
        let mut unique: Vec<Expr> = Vec::new();
        for key in keys {
            if !unique.contains(&key.expr) {
                unique.push(key.expr);
            }
        }
        Self {
            keys: unique,
            aggregates: Vec::new(),
        }
    }

    /// Takes the aggregates of an expression.
    fn collect(&mut self, expr: &Expr) {
        // The closure never fails.
        let _ = expr.apply(|e| {
            if matches!(e, Expr::AggregateFunction(_)) && !self.aggregates.contains(e) {
                self.aggregates.push(e.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        });
    }

    fn plan(&self, input: LogicalPlan, at: Position) -> Result<LogicalPlan> {
        let named = |exprs: &[Expr], prefix: &str| -> Vec<Expr> {
            let indexed = exprs.iter().enumerate();
            indexed
                .map(|(i, e)| e.clone().alias(format!("${prefix}{i}")))
                .collect()
        };
        Aggregate::try_new(
            Arc::new(input),
            named(&self.keys, "key"),
            named(&self.aggregates, "agg"),
        )
        .map(LogicalPlan::Aggregate)
        .map_err(internal(at))
    }

    /// Replaces keys and aggregates by their columns; any other column is an
    /// error.
    fn rewrite(&self, expr: Expr, at: Position) -> Result<Expr> {
        let mut stray = None;
        let rewritten = expr
            .transform_down(|e| {
                let column = |prefix: &str, i: usize| {
                    Expr::Column(Column::new_unqualified(format!("${prefix}{i}")))
                };
                if let Some(i) = self.keys.iter().position(|k| *k == e) {
                    return Ok(Transformed::new(
                        column("key", i),
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ));
                }
                if let Some(i) = self.aggregates.iter().position(|a| *a == e) {
                    return Ok(Transformed::new(
                        column("agg", i),
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ));
                }
                if let Expr::Column(column) = &e {
                    stray.get_or_insert_with(|| column.name.clone());
                }
                Ok(Transformed::no(e))
            })
            .map_err(internal(at))?;
        match stray {
            Some(name) => Err(SqlError::at(
                at,
                format!("column '{name}' is neither grouped by nor aggregated"),
            )
            .hint(format!(
                "add it to GROUP BY, or use one of {}",
                crate::functions::aggregate::names()
            ))),
            None => Ok(rewritten.data),
        }
    }
}

fn has_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))
        .unwrap_or(false)
}

/// In a job groups must end: both ends of a window are keys.
fn check_window(
    select: &ast::Select,
    plan: &LogicalPlan,
    keys: &[Bound],
    at: Position,
) -> Result<()> {
    let place = match &select.group_by {
        ast::GroupByExpr::Expressions(list, _) => list.first().map_or(at, position),
        ast::GroupByExpr::All(_) => at,
    };
    let Some(window) = window_of(plan) else {
        return Err(SqlError::at(place, "an aggregate without a window is not supported in a job")
            .detail("Its groups would never be complete")
            .hint("write FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, ..."));
    };
    let columns = columns_of(plan);
    let is_key = |index: Option<usize>| {
        index
            .and_then(|i| columns.get(i))
            .is_some_and(|c| keys.iter().any(|k| k.expr == c.expr))
    };
    if is_key(window.start) && is_key(window.end) {
        return Ok(());
    }
    Err(
        SqlError::at(place, "GROUP BY must name both window_start and window_end")
            .hint("write GROUP BY window_start, window_end, ..."),
    )
}

/// Computes and names the output, sorts it, and drops what was for sorting.
fn output(
    plan: LogicalPlan,
    items: Vec<Item>,
    orders: &[Order],
    order: &[ast::OrderByExpr],
    distinct: bool,
    at: Position,
) -> Result<LogicalPlan> {
    let names = unique_names(&items);
    let width = items.len();
    let mut exprs: Vec<Expr> = items
        .into_iter()
        .zip(&names)
        .map(|(item, name)| named(item.value, name))
        .collect();
    let mut sorts = Vec::new();
    for (entry, order) in order.iter().zip(orders) {
        let name = match order {
            Order::Output(i) => names.get(*i).cloned().unwrap_or_default(),
            Order::Input(value, place) => {
                if distinct {
                    return Err(SqlError::at(
                        *place,
                        "with DISTINCT, ORDER BY takes columns of the SELECT",
                    ));
                }
                let name = format!("$sort{}", exprs.len());
                exprs.push(value.expr.clone().alias(&name));
                name
            }
        };
        sorts.push(sort_expr(
            entry,
            Expr::Column(Column::new_unqualified(name)),
        )?);
    }
    let hidden = exprs.len() > width;
    let mut plan = project(plan, exprs, at)?;
    if distinct {
        plan = LogicalPlanBuilder::from(plan)
            .distinct()
            .and_then(LogicalPlanBuilder::build)
            .map_err(internal(at))?;
    }
    if sorts.is_empty() {
        return Ok(plan);
    }
    plan = sorted(plan, sorts);
    if hidden {
        let columns = columns_of(&plan).into_iter().take(width);
        let columns = columns.map(|c| c.expr).collect();
        plan = project(plan, columns, at)?;
    }
    Ok(plan)
}

/// The alias carries the declared type, which the expression may not, or not
/// any more: a cast keeps the metadata of what it casts.
fn named(mut value: Bound, name: &str) -> Expr {
    value.expr = held(value.expr, value.field.data_type());
    let mut metadata = value.field.metadata().clone();
    if matches!(value.expr, Expr::Cast(_) | Expr::TryCast(_)) {
        metadata
            .entry(TYPE_METADATA.to_owned())
            .or_insert_with(|| type_name(value.field.data_type()));
    }
    if metadata.is_empty() {
        return value.expr.alias(name);
    }
    let metadata = datafusion::common::metadata::FieldMetadata::from(metadata);
    value.expr.alias_with_metadata(name, Some(metadata))
}

/// `EXPR$0` for what has no name, `a0` for a second `a`, as Calcite does.
fn unique_names(items: &[Item]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let wanted = item.name.clone().unwrap_or_else(|| format!("EXPR${i}"));
        let mut name = wanted.clone();
        let mut n = 0;
        while names.contains(&name) {
            name = format!("{wanted}{n}");
            n += 1;
        }
        names.push(name);
    }
    names
}

fn all_columns(schema: &DFSchema, table: Option<&ast::Ident>, at: Position) -> Result<Vec<Item>> {
    let items: Vec<Item> = schema
        .iter()
        .filter(|(qualifier, _)| {
            table.is_none_or(|t| qualifier.is_some_and(|q| q.table() == t.value))
        })
        .map(|(qualifier, field)| Item {
            value: Bound {
                expr: Expr::Column(Column::new(qualifier.cloned(), field.name())),
                field: field.clone(),
            },
            name: Some(field.name().clone()),
            at,
        })
        .collect();
    if items.is_empty() {
        let message = match table {
            Some(table) => format!("there is no table '{}' here", table.value),
            None => "SELECT * needs FROM".to_owned(),
        };
        return Err(SqlError::at(at, message));
    }
    Ok(items)
}

fn strip(expr: &ast::Expr) -> &ast::Expr {
    let mut expr = expr;
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn last_part(expr: &ast::Expr) -> Option<String> {
    match expr {
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.clone()),
        _ => None,
    }
}

fn check_wildcard(options: &ast::WildcardAdditionalOptions, at: Position) -> Result<()> {
    let ast::WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
    } = options;
    if opt_ilike.is_some()
        || opt_exclude.is_some()
        || opt_except.is_some()
        || opt_replace.is_some()
        || opt_rename.is_some()
    {
        return Err(
            SqlError::at(at, "* with EXCEPT, REPLACE and the like is not supported")
                .hint("name the columns"),
        );
    }
    Ok(())
}

/// Clauses of a SELECT that other dialects have, each by name, so that a new
/// one upstream does not compile until it is looked at here.
fn check_select(select: &ast::Select, at: Position) -> Result<()> {
    let ast::Select {
        select_token: _,
        optimizer_hint,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let refused = [
        (optimizer_hint.is_some(), "a hint", "leave it out"),
        (
            select_modifiers.is_some(),
            "this modifier of SELECT",
            "leave it out",
        ),
        (top.is_some(), "TOP", "write LIMIT n in an ad-hoc SELECT"),
        (exclude.is_some(), "EXCLUDE", "name the columns"),
        (
            into.is_some(),
            "SELECT INTO",
            "write INSERT INTO t SELECT ...",
        ),
        (!lateral_views.is_empty(), "LATERAL VIEW", "write a join"),
        (prewhere.is_some(), "PREWHERE", "write WHERE"),
        (!connect_by.is_empty(), "CONNECT BY", "leave it out"),
        (!cluster_by.is_empty(), "CLUSTER BY", "leave it out"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out"),
        (
            !sort_by.is_empty(),
            "SORT BY",
            "write ORDER BY in an ad-hoc SELECT",
        ),
        (!named_window.is_empty(), "WINDOW", "use TABLE(TUMBLE(...))"),
        (qualify.is_some(), "QUALIFY", "filter in an outer SELECT"),
        (value_table_mode.is_some(), "SELECT AS", "name the columns"),
        (
            !matches!(flavor, ast::SelectFlavor::Standard),
            "FROM before SELECT",
            "begin with SELECT",
        ),
    ];
    for (is_there, what, hint) in refused {
        if is_there {
            return Err(SqlError::at(at, format!("{what} is not supported")).hint(hint));
        }
    }
    Ok(())
}
