//! Expressions: from the parser's to DataFusion's, with Flink's types.
//!
//! The match in [`Binder::bind`] is the list of what is supported; everything
//! else is refused.

use super::call::bare_function;
use super::coerce::common_type;
use super::literal::{literal, number};
use super::operators;
use super::scope::{column, internal};
use super::steps;
use super::value::{Bound, Family, family};
use crate::error::{Position, SqlError};
use crate::functions::cast::{self, OnError};
use crate::functions::conditional::{self, branch, is_cheap, screened};
use crate::functions::held::held;
use crate::parser::parse_type_name;
use crate::session::Session;
use crate::types::{SqlType, TYPE_METADATA};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Case, Expr, LogicalPlan};
use sqlparser::ast::{self, BinaryOperator, Spanned, UnaryOperator, Value};
use std::collections::HashMap;

/// Plans a query inside an expression.
pub(crate) trait Subqueries {
    /// The plan of a subquery that looks at nothing outside of itself.
    fn subquery(&mut self, query: &ast::Query) -> Result<LogicalPlan>;
}

/// Where an expression stands.
pub(crate) struct Binder<'a> {
    /// Settings.
    pub(crate) session: &'a Session,
    /// The columns in scope.
    pub(crate) schema: &'a DFSchema,
    /// Why aggregates are refused here; `None` where they are allowed.
    pub(crate) no_aggregates: Option<&'static str>,
    /// For subqueries; `None` where they are refused.
    pub(crate) subqueries: Option<&'a mut dyn Subqueries>,
}

type Result<T> = std::result::Result<T, SqlError>;

impl<'a> Binder<'a> {
    /// A place for scalar expressions only.
    pub(crate) fn scalar(
        session: &'a Session,
        schema: &'a DFSchema,
        no_aggregates: &'static str,
    ) -> Self {
        Self {
            session,
            schema,
            no_aggregates: Some(no_aggregates),
            subqueries: None,
        }
    }

    /// Looks names up and settles types.
    pub(crate) fn bind(&mut self, expr: &ast::Expr) -> Result<Bound> {
        use ast::Expr as E;
        let at = position(expr);
        steps::nodes(1, at)?;
        match expr {
            E::Nested(inner) => self.bind(inner),
            E::Identifier(ident) => match bare_function(ident) {
                Some(name) => self.call(name, Vec::new(), &[], at),
                None => column(std::slice::from_ref(ident), self.schema),
            },
            E::CompoundIdentifier(parts) => column(parts, self.schema),
            E::Value(value) => self.literal(&value.value, at),
            E::TypedString(typed) => self.typed_literal(typed, at),
            E::Interval(interval) => self.interval(interval, at),
            E::UnaryOp { op, expr } => self.unary(*op, expr, at),
            E::BinaryOp {
                op: op @ (BinaryOperator::And | BinaryOperator::Or),
                ..
            } => self.logic(expr, op, at),
            E::BinaryOp { left, op, right } => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                let expr = operators::binary(left, op, right, at, self.session.time_zone)?;
                self.bound(expr, at)
            }
            E::IsNull(inner) => self.test(inner, at, |e| Expr::IsNull(Box::new(e))),
            E::IsNotNull(inner) => self.test(inner, at, |e| Expr::IsNotNull(Box::new(e))),
            E::IsTrue(inner) => self.truth(inner, at, |e| Expr::IsTrue(Box::new(e))),
            E::IsNotTrue(inner) => self.truth(inner, at, |e| Expr::IsNotTrue(Box::new(e))),
            E::IsFalse(inner) => self.truth(inner, at, |e| Expr::IsFalse(Box::new(e))),
            E::IsNotFalse(inner) => self.truth(inner, at, |e| Expr::IsNotFalse(Box::new(e))),
            E::IsUnknown(inner) => self.truth(inner, at, |e| Expr::IsUnknown(Box::new(e))),
            E::IsNotUnknown(inner) => self.truth(inner, at, |e| Expr::IsNotUnknown(Box::new(e))),
            E::IsDistinctFrom(left, right) => self.distinct(left, right, true, at),
            E::IsNotDistinctFrom(left, right) => self.distinct(left, right, false, at),
            E::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, low, high, *negated, at),
            E::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated, at),
            E::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated, at),
            E::Exists { subquery, negated } => self.exists(subquery, *negated, at),
            E::Subquery(query) => self.scalar_subquery(query, at),
            E::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => self.like(expr, pattern, escape_char.as_ref(), *negated, at),
            E::SimilarTo { .. } | E::ILike { .. } | E::RLike { .. } => {
                Err(SqlError::at(at, "this kind of matching is not supported")
                    .hint("use LIKE, or REGEXP(text, pattern)"))
            }
            E::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref(), at),
            E::Cast {
                kind,
                expr,
                data_type,
                array: false,
                format: None,
            } => self.cast(kind, expr, data_type, at),
            E::Extract { field, expr, .. } => {
                let unit = self.text_literal(&field.to_string());
                let value = self.bind(expr)?;
                self.call("EXTRACT", vec![unit, value], &[at], at)
            }
            E::Ceil { expr, field } => self.round_to("CEIL", expr, field, at),
            E::Floor { expr, field } => self.round_to("FLOOR", expr, field, at),
            E::Position { expr, r#in } => {
                let args = vec![self.bind(expr)?, self.bind(r#in)?];
                self.call("POSITION", args, &[], at)
            }
            E::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let mut args = vec![self.bind(expr)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    args.push(self.bind(part)?);
                }
                self.call("SUBSTRING", args, &[], at)
            }
            E::Trim {
                expr,
                trim_where,
                trim_what,
                trim_characters: None,
            } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "LTRIM",
                    Some(ast::TrimWhereField::Trailing) => "RTRIM",
                    _ => "TRIM",
                };
                let mut args = vec![self.bind(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.bind(what)?);
                }
                self.call(name, args, &[], at)
            }
            E::Function(function) => self.function(function, at),
            other => Err(unsupported(other, at)),
        }
    }

    /// Binds a condition.
    pub(crate) fn condition(&mut self, expr: &ast::Expr, clause: &str) -> Result<Expr> {
        let bound = self.bind(expr)?;
        if bound.is_null() {
            return Ok(Expr::Literal(ScalarValue::Boolean(None), None));
        }
        if bound.data_type() != &DataType::Boolean {
            return Err(SqlError::at(
                position(expr),
                format!("{clause} needs a BOOLEAN, this is {}", bound.type_name()),
            ));
        }
        Ok(bound.expr)
    }

    pub(crate) fn bound(&self, expr: Expr, at: Position) -> Result<Bound> {
        Bound::new(expr, self.schema).map_err(internal(at))
    }

    pub(super) fn text_literal(&self, text: &str) -> Bound {
        literal(ScalarValue::Utf8(Some(text.to_owned())), None)
    }

    fn unary(&mut self, op: UnaryOperator, expr: &ast::Expr, at: Position) -> Result<Bound> {
        if op == UnaryOperator::Minus {
            // The smallest BIGINT is a number only together with its sign.
            if let ast::Expr::Value(v) = expr
                && let Value::Number(text, false) = &v.value
            {
                return number(&format!("-{text}"), at);
            }
        }
        let value = self.bind(expr)?;
        let expr = operators::unary(op, value, at)?;
        self.bound(expr, at)
    }

    /// A chain of ANDs or of ORs, as a balanced tree: hundreds of conditions
    /// are usual, and each level costs stack where the plan is walked.
    fn logic(&mut self, expr: &ast::Expr, op: &BinaryOperator, at: Position) -> Result<Bound> {
        let mut chain = Vec::new();
        let mut rest = expr;
        while let ast::Expr::BinaryOp {
            left,
            op: next,
            right,
        } = rest
            && next == op
        {
            chain.push(right.as_ref());
            rest = left;
        }
        chain.push(rest);
        let mut parts = Vec::with_capacity(chain.len());
        for part in chain.into_iter().rev() {
            parts.push(self.condition(
                part,
                if *op == BinaryOperator::And {
                    "AND"
                } else {
                    "OR"
                },
            )?);
        }
        while parts.len() > 1 {
            let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
            let mut parts_left = parts.into_iter();
            while let Some(left) = parts_left.next() {
                pairs.push(match parts_left.next() {
                    Some(right) if *op == BinaryOperator::And => left.and(right),
                    Some(right) => left.or(right),
                    None => left,
                });
            }
            parts = pairs;
        }
        match parts.pop() {
            Some(expr) => self.bound(expr, at),
            None => Err(SqlError::at(at, "a condition is empty")),
        }
    }

    fn test(&mut self, inner: &ast::Expr, at: Position, make: fn(Expr) -> Expr) -> Result<Bound> {
        let value = self.bind(inner)?;
        self.bound(make(value.expr), at)
    }

    fn truth(&mut self, inner: &ast::Expr, at: Position, make: fn(Expr) -> Expr) -> Result<Bound> {
        let value = self.condition(inner, "IS TRUE, FALSE or UNKNOWN")?;
        self.bound(make(value), at)
    }

    fn distinct(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        distinct: bool,
        at: Position,
    ) -> Result<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let expr = operators::distinct_from(left, right, distinct, at, self.session.time_zone)?;
        self.bound(expr, at)
    }

    fn between(
        &mut self,
        expr: &ast::Expr,
        low: &ast::Expr,
        high: &ast::Expr,
        negated: bool,
        at: Position,
    ) -> Result<Bound> {
        let zone = self.session.time_zone;
        let value = self.bind(expr)?;
        let (low, high) = (self.bind(low)?, self.bind(high)?);
        let both = if is_cheap(&value.expr) {
            let from = operators::binary(value.clone(), &BinaryOperator::GtEq, low, at, zone)?;
            let to = operators::binary(value, &BinaryOperator::LtEq, high, at, zone)?;
            from.and(to)
        } else {
            let args = self.unify(vec![value, low, high], "BETWEEN", at)?;
            conditional::between(args)
        };
        self.bound(
            if negated {
                Expr::Not(Box::new(both))
            } else {
                both
            },
            at,
        )
    }

    fn in_list(
        &mut self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        negated: bool,
        at: Position,
    ) -> Result<Bound> {
        let mut values = vec![self.bind(expr)?];
        for item in list {
            values.push(self.bind(item)?);
        }
        let mut values = self.unify(values, "IN", at)?.into_iter();
        let Some(first) = values.next() else {
            return Err(SqlError::at(at, "IN needs a list"));
        };
        let expr = Expr::InList(InList::new(Box::new(first), values.collect(), negated));
        self.bound(expr, at)
    }

    fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&Value>,
        negated: bool,
        at: Position,
    ) -> Result<Bound> {
        let value = self.bind(expr)?;
        let pattern = self.bind(pattern)?;
        let escape = match escape {
            None => None,
            Some(Value::SingleQuotedString(text)) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => Some(c),
                    _ => return Err(SqlError::at(at, "ESCAPE needs one character in quotes")),
                }
            }
            Some(_) => return Err(SqlError::at(at, "ESCAPE needs one character in quotes")),
        };
        let expr = operators::like(value, &pattern, escape, negated, at)?;
        self.bound(expr, at)
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        else_result: Option<&ast::Expr>,
        at: Position,
    ) -> Result<Bound> {
        let zone = self.session.time_zone;
        let operand = operand.map(|o| self.bind(o)).transpose()?;
        let mut whens = Vec::new();
        let mut results = Vec::new();
        for when in conditions {
            whens.push(match &operand {
                None => {
                    let condition = self.condition(&when.condition, "WHEN")?;
                    self.bound(screened(condition, &DataType::Boolean), at)?
                }
                Some(_) => self.bind(&when.condition)?,
            });
            results.push(self.bind(&when.result)?);
        }
        let (base, whens) = match operand {
            None => (None, whens.into_iter().map(|when| when.expr).collect()),
            // Comparing in one type evaluates the operand once.
            Some(operand) if !is_cheap(&operand.expr) => {
                let values = std::iter::once(operand).chain(whens).collect();
                let mut values = self.unify(values, "WHEN", at)?;
                let base = values.remove(0);
                (Some(Box::new(base)), values)
            }
            Some(operand) => {
                let equals = whens.into_iter().zip(conditions).map(|(value, when)| {
                    let at = position(&when.condition);
                    operators::binary(operand.clone(), &BinaryOperator::Eq, value, at, zone)
                });
                (None, equals.collect::<Result<Vec<_>>>()?)
            }
        };
        results.push(match else_result {
            Some(result) => self.bind(result)?,
            None => literal(ScalarValue::Null, None),
        });
        let results = self.unify(results, "CASE", at)?;
        let data_type = match results.first() {
            Some(first) => self.bound(first.clone(), at)?.data_type().clone(),
            None => DataType::Null,
        };
        let mut results: Vec<_> = results
            .into_iter()
            .map(|result| branch(result, &data_type))
            .collect();
        let otherwise = results.pop().map(Box::new);
        let pairs: Vec<_> = whens
            .into_iter()
            .zip(results)
            .map(|(w, r)| (Box::new(w), Box::new(r)))
            .collect();
        let case = Expr::Case(Case::new(base, pairs, otherwise));
        self.bound(held(case, &data_type), at)
    }

    /// Casts values to their common type.
    pub(crate) fn unify(&self, values: Vec<Bound>, what: &str, at: Position) -> Result<Vec<Expr>> {
        unify(values, what, at, self.session)
    }

    fn cast(
        &mut self,
        kind: &ast::CastKind,
        expr: &ast::Expr,
        data_type: &ast::DataType,
        at: Position,
    ) -> Result<Bound> {
        let on_error = match kind {
            ast::CastKind::Cast => OnError::Fail,
            ast::CastKind::TryCast => OnError::Null,
            _ => {
                return Err(SqlError::at(at, "this way to cast is not supported")
                    .hint("write CAST(value AS type)"));
            }
        };
        // The parser left the type's canonical name.
        let target = match data_type {
            ast::DataType::Custom(name, _) => {
                let name = name.0.first().and_then(|part| part.as_ident());
                parse_type_name(name.map_or("", |i| i.value.as_str()))?
            }
            other => {
                return Err(SqlError::at(at, format!("{other} is not supported here"))
                    .hint("write CAST(value AS type)"));
            }
        };
        let value = self.bind(expr)?;
        let from = value.type_name();
        let Some(expr) = cast::cast(value.clone(), &target, on_error, self.session.time_zone)
        else {
            return Err(cannot_cast(&value, &from, &target, at));
        };
        let mut bound = self.bound(expr, at)?;
        let mut metadata = HashMap::new();
        if target.name != crate::types::type_name(&target.data_type) {
            metadata.insert(TYPE_METADATA.to_owned(), target.name.clone());
        }
        bound.field = std::sync::Arc::new(bound.field.as_ref().clone().with_metadata(metadata));
        Ok(bound)
    }
}

/// Casts values to their common type.
pub(crate) fn unify(
    values: Vec<Bound>,
    what: &str,
    at: Position,
    session: &Session,
) -> Result<Vec<Expr>> {
    let mut common = DataType::Null;
    let compares = matches!(what, "IN" | "BETWEEN" | "WHEN");
    for value in &values {
        let next = common_type(&common, value.data_type()).or_else(|| {
            // Flink compares a time with its text.
            let (a, b) = (family(&common), family(value.data_type()));
            match (a, b) {
                (a, Family::Text) if a.is_temporal() && compares => Some(common.clone()),
                (Family::Text, b) if b.is_temporal() && what == "BETWEEN" => {
                    Some(value.data_type().clone())
                }
                _ => None,
            }
        });
        common = next.ok_or_else(|| {
            SqlError::at(
                at,
                format!(
                    "{what} mixes {} and {}",
                    crate::types::type_name(&common),
                    value.type_name()
                ),
            )
            .hint("CAST one of them")
        })?;
    }
    if common == DataType::Null {
        return Err(SqlError::at(
            at,
            format!("the type of {what} is unknown: all values are NULL"),
        )
        .hint("write CAST(NULL AS type)"));
    }
    values
        .into_iter()
        .map(|value| convert(value, &common, session, at))
        .collect()
}

/// A value as another type, which it can be widened to.
pub(crate) fn convert(
    value: Bound,
    to: &DataType,
    session: &Session,
    at: Position,
) -> Result<Expr> {
    if value.data_type() == to {
        return Ok(value.expr);
    }
    let target = SqlType::of(to.clone());
    let from = value.type_name();
    cast::cast(value.clone(), &target, OnError::Fail, session.time_zone)
        .ok_or_else(|| cannot_cast(&value, &from, &target, at))
}

fn cannot_cast(value: &Bound, from: &str, to: &SqlType, at: Position) -> SqlError {
    let error = SqlError::at(at, format!("{from} cannot be cast to {}", to.name));
    let (numeric, temporal) = (
        family(value.data_type()).is_numeric(),
        family(&to.data_type).is_temporal(),
    );
    if numeric && temporal {
        error.hint("use TO_TIMESTAMP_LTZ(number, 0) for seconds, (number, 3) for milliseconds")
    } else if family(value.data_type()).is_temporal() && family(&to.data_type).is_numeric() {
        error.hint("use UNIX_TIMESTAMP(CAST(... AS STRING)) or EXTRACT(... FROM ...)")
    } else {
        error
    }
}

/// A place in the text, from the parts of an expression.
pub(crate) fn position(expr: &ast::Expr) -> Position {
    expr.span().into()
}

fn unsupported(expr: &ast::Expr, at: Position) -> SqlError {
    use ast::Expr as E;
    let (what, hint) = match expr {
        E::AtTimeZone { .. } => (
            "AT TIME ZONE",
            "SET 'table.local-time-zone' = 'Asia/Shanghai' and use TIMESTAMP_LTZ",
        ),
        E::CompoundFieldAccess { .. } => {
            ("access with [ ]", "read the field as a column of the table")
        }
        E::JsonAccess { .. } => ("access with :", "use JSON_VALUE(text, '$.path')"),
        E::Overlay { .. } => ("OVERLAY", "use SUBSTRING and ||"),
        E::Collate { .. } => ("COLLATE", "use UPPER or LOWER on both sides"),
        E::Tuple(_) => ("a list of values", "compare the values one by one with AND"),
        E::Array(_) | E::Map(_) | E::Struct { .. } | E::Dictionary(_) => (
            "a constructor of ARRAY, MAP or ROW",
            "write the values as columns",
        ),
        E::GroupingSets(_) | E::Cube(_) | E::Rollup(_) => (
            "GROUPING SETS, CUBE and ROLLUP",
            "write one query for each set",
        ),
        E::AnyOp { .. } | E::AllOp { .. } | E::Like { any: true, .. } => {
            ("ANY, SOME and ALL", "use IN, or MIN and MAX")
        }
        E::Convert { .. } => ("CONVERT", "use CAST"),
        E::Cast { .. } => ("this way to cast", "write CAST(value AS type)"),
        E::Prefixed { .. } => ("TABLE here", "a table is an argument of TUMBLE only"),
        E::Wildcard(_) | E::QualifiedWildcard(..) => ("* here", "name the columns"),
        _ => ("this expression", "SHOW FUNCTIONS lists what can be called"),
    };
    SqlError::at(at, format!("{what} is not supported")).hint(hint)
}
