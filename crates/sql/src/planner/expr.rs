//! Expressions: from the parser's to DataFusion's, with Flink's types.
//!
//! The match in [`Binder::bind`] is the list of what is supported; everything
//! else is refused.

use super::coerce::common_type;
use super::operators;
use super::scope::{column, internal};
use super::value::{Bound, Family, family};
use crate::error::{Position, SqlError};
use crate::functions::cast::{self, OnError};
use crate::functions::{self, Call};
use crate::parser::parse_type_name;
use crate::session::Session;
use crate::types::{SqlType, TYPE_METADATA};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Case, Expr, LogicalPlan};
use sqlparser::ast::{self, BinaryOperator, DateTimeField, Spanned, UnaryOperator, Value};
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

    fn text_literal(&self, text: &str) -> Bound {
        literal(ScalarValue::Utf8(Some(text.to_owned())), None)
    }

    fn literal(&self, value: &Value, at: Position) -> Result<Bound> {
        match value {
            Value::Number(text, false) => number(text, at),
            Value::SingleQuotedString(text) => Ok(self.text_literal(text)),
            Value::Boolean(value) => Ok(literal(ScalarValue::Boolean(Some(*value)), None)),
            Value::Null => Ok(literal(ScalarValue::Null, None)),
            Value::HexStringLiteral(_) => {
                Err(SqlError::at(at, "hexadecimal literals are not supported"))
            }
            Value::Placeholder(_) => Err(SqlError::at(at, "parameters are not supported")
                .hint("write the value into the statement")),
            other => Err(
                SqlError::at(at, format!("the literal {other} is not supported"))
                    .hint("write 'text' in single quotes"),
            ),
        }
    }

    /// `DATE '2026-01-31'` and the like.
    fn typed_literal(&self, typed: &ast::TypedString, at: Position) -> Result<Bound> {
        let Value::SingleQuotedString(text) = &typed.value.value else {
            return Err(SqlError::at(at, "expected 'text' after the type"));
        };
        let name = typed.data_type.to_string();
        let name = match name.as_str() {
            "DATE" => "DATE".to_owned(),
            "TIME" => "TIME(0)".to_owned(),
            "TIMESTAMP" => {
                let digits = text.split_once('.').map_or(0, |(_, f)| f.trim_end().len());
                format!("TIMESTAMP({})", digits.min(9))
            }
            other => {
                return Err(
                    SqlError::at(at, format!("{other} literals are not supported"))
                        .hint("use DATE, TIME or TIMESTAMP literals, or CAST('...' AS type)"),
                );
            }
        };
        let target = parse_type_name(&name)?;
        let parsed = match &target.data_type {
            DataType::Date32 => {
                functions::datetime::parse_date(text).map(|d| ScalarValue::Date32(Some(d)))
            }
            DataType::Time32(_) => functions::datetime::parse_time_ms(text)
                .map(|t| ScalarValue::Time32Millisecond(Some(t))),
            DataType::Timestamp(unit, _) => functions::datetime::parse_timestamp(text, *unit)
                .and_then(|v| ScalarValue::Int64(Some(v)).cast_to(&target.data_type).ok()),
            _ => None,
        };
        let Some(value) = parsed else {
            return Err(SqlError::at(at, format!("'{text}' is no {name}")).hint(
                "write DATE '2026-01-31', TIME '12:13:14', TIMESTAMP '2026-01-31 12:13:14.123'",
            ));
        };
        Ok(literal(value, Some(&target)))
    }

    fn interval(&mut self, interval: &ast::Interval, at: Position) -> Result<Bound> {
        let refuse = || {
            SqlError::at(at, "this interval is not supported")
                .hint("write INTERVAL '5' SECOND, with SECOND, MINUTE, HOUR, DAY, MONTH or YEAR")
        };
        if interval.last_field.is_some() {
            return Err(refuse());
        }
        let ast::Expr::Value(value) = interval.value.as_ref() else {
            return Err(refuse());
        };
        let (Value::SingleQuotedString(text) | Value::Number(text, false)) = &value.value else {
            return Err(refuse());
        };
        let field = interval.leading_field.as_ref().ok_or_else(refuse)?;
        let value = parse_interval(text.trim(), field).ok_or_else(refuse)?;
        Ok(literal(
            ScalarValue::IntervalMonthDayNano(Some(value)),
            None,
        ))
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
        let from = operators::binary(value.clone(), &ast::BinaryOperator::GtEq, low, at, zone)?;
        let to = operators::binary(value, &ast::BinaryOperator::LtEq, high, at, zone)?;
        let both = from.and(to);
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
                None => self.condition(&when.condition, "WHEN")?,
                Some(operand) => {
                    let value = self.bind(&when.condition)?;
                    let at = position(&when.condition);
                    operators::binary(operand.clone(), &ast::BinaryOperator::Eq, value, at, zone)?
                }
            });
            results.push(self.bind(&when.result)?);
        }
        results.push(match else_result {
            Some(result) => self.bind(result)?,
            None => literal(ScalarValue::Null, None),
        });
        let mut results = self.unify(results, "CASE", at)?;
        let otherwise = results.pop().map(Box::new);
        let pairs = whens.into_iter().zip(results);
        let pairs = pairs.map(|(w, r)| (Box::new(w), Box::new(r))).collect();
        self.bound(Expr::Case(Case::new(None, pairs, otherwise)), at)
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

    /// CEIL and FLOOR, of numbers or to a unit of time.
    fn round_to(
        &mut self,
        name: &'static str,
        expr: &ast::Expr,
        field: &ast::CeilFloorKind,
        at: Position,
    ) -> Result<Bound> {
        let mut args = vec![self.bind(expr)?];
        match field {
            ast::CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {}
            ast::CeilFloorKind::DateTimeField(unit) => {
                args.push(self.text_literal(&unit.to_string()))
            }
            ast::CeilFloorKind::Scale(_) => {
                return Err(SqlError::at(at, format!("{name} takes one number"))
                    .hint("use ROUND(x, digits) or TRUNCATE(x, digits)"));
            }
        }
        self.call(name, args, &[], at)
    }

    fn function(&mut self, function: &ast::Function, at: Position) -> Result<Bound> {
        let [ast::ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else {
            return Err(SqlError::at(at, "a function's name has one part"));
        };
        if function.over.is_some() {
            return Err(SqlError::at(at, "OVER is not supported")
                .hint("aggregate over TABLE(TUMBLE(...)) with GROUP BY window_start, window_end"));
        }
        if function.uses_odbc_syntax
            || function.null_treatment.is_some()
            || !function.within_group.is_empty()
            || !matches!(function.parameters, ast::FunctionArguments::None)
        {
            return Err(SqlError::at(
                at,
                format!("this way to call {} is not supported", ident.value),
            ));
        }
        let (args, distinct) = match &function.args {
            ast::FunctionArguments::None => (&[][..], false),
            ast::FunctionArguments::List(list) => {
                if !list.clauses.is_empty() {
                    return Err(SqlError::at(
                        at,
                        format!("clauses inside {}(...) are not supported", ident.value),
                    ));
                }
                let distinct = matches!(
                    list.duplicate_treatment,
                    Some(ast::DuplicateTreatment::Distinct)
                );
                (list.args.as_slice(), distinct)
            }
            ast::FunctionArguments::Subquery(_) => {
                return Err(SqlError::at(at, "a query is no argument"));
            }
        };
        if functions::is_aggregate(&ident.value) {
            return self.aggregate(&ident.value, args, distinct, function.filter.as_deref(), at);
        }
        if distinct || function.filter.is_some() {
            return Err(SqlError::at(
                at,
                format!(
                    "{} is no aggregate: DISTINCT and FILTER do not apply",
                    ident.value
                ),
            ));
        }
        if functions::takes_unit(&ident.value) {
            return self.call_with_unit(&ident.value, args, at);
        }
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for arg in args {
            let expr = argument(arg, at)?;
            values.push(self.bind(expr)?);
            places.push(position(expr));
        }
        self.call(&ident.value, values, &places, at)
    }

    /// `TIMESTAMPDIFF(DAY, a, b)`: the first argument is a word.
    fn call_with_unit(
        &mut self,
        name: &str,
        args: &[ast::FunctionArg],
        at: Position,
    ) -> Result<Bound> {
        let Some((first, rest)) = args.split_first() else {
            return Err(SqlError::at(at, format!("{name} needs a unit, like DAY")));
        };
        let unit = match argument(first, at)? {
            ast::Expr::Identifier(ident) => ident.value.to_ascii_uppercase(),
            other => {
                return Err(SqlError::at(
                    position(other),
                    format!("{name} needs a unit, like DAY"),
                ));
            }
        };
        let mut values = vec![self.text_literal(&unit)];
        for arg in rest {
            values.push(self.bind(argument(arg, at)?)?);
        }
        self.call(name, values, &[], at)
    }

    fn call(
        &self,
        name: &str,
        args: Vec<Bound>,
        places: &[Position],
        at: Position,
    ) -> Result<Bound> {
        let expr = functions::bind(Call {
            name,
            args,
            places,
            position: at,
            session: self.session,
            schema: self.schema,
        })?;
        self.bound(expr, at)
    }

    fn aggregate(
        &mut self,
        name: &str,
        args: &[ast::FunctionArg],
        distinct: bool,
        filter: Option<&ast::Expr>,
        at: Position,
    ) -> Result<Bound> {
        if let Some(reason) = self.no_aggregates {
            return Err(SqlError::at(
                at,
                format!("{} is an aggregate: {reason}", name.to_ascii_uppercase()),
            ));
        }
        // Nothing inside an aggregate is aggregated again.
        let outer = self.no_aggregates.replace("aggregates cannot be nested");
        let bound = self.aggregate_parts(args, filter, at);
        self.no_aggregates = outer;
        let (values, filter) = bound?;
        let expr = functions::aggregate::bind(
            name,
            values,
            distinct,
            filter,
            self.session,
            self.schema,
            at,
        )?;
        self.bound(expr, at)
    }

    fn aggregate_parts(
        &mut self,
        args: &[ast::FunctionArg],
        filter: Option<&ast::Expr>,
        at: Position,
    ) -> Result<(Vec<Bound>, Option<Expr>)> {
        let mut values = Vec::new();
        for arg in args {
            match arg {
                // COUNT(*): no argument.
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) if args.len() == 1 => {}
                _ => values.push(self.bind(argument(arg, at)?)?),
            }
        }
        let filter = filter.map(|f| self.condition(f, "FILTER")).transpose()?;
        Ok((values, filter))
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
    for value in &values {
        let next = common_type(&common, value.data_type()).or_else(|| {
            // Flink compares a time with its text.
            let (a, b) = (family(&common), family(value.data_type()));
            match (a, b) {
                (a, Family::Text) if a.is_temporal() && what == "IN" => Some(common.clone()),
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

fn argument(arg: &ast::FunctionArg, at: Position) -> Result<&ast::Expr> {
    match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
        ast::FunctionArg::Unnamed(_) => Err(SqlError::at(at, "* is allowed in COUNT(*) only")),
        _ => Err(SqlError::at(at, "named arguments are not supported here")
            .hint("write the arguments in order")),
    }
}

/// Functions that are called without parentheses.
fn bare_function(ident: &ast::Ident) -> Option<&'static str> {
    if ident.quote_style.is_some() {
        return None;
    }
    const BARE: [&str; 6] = [
        "CURRENT_TIMESTAMP",
        "LOCALTIMESTAMP",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "LOCALTIME",
        "PI",
    ];
    let name = ident.value.to_ascii_uppercase();
    BARE.into_iter().find(|b| *b != "PI" && *b == name)
}

pub(crate) fn literal(value: ScalarValue, declared: Option<&SqlType>) -> Bound {
    let mut field = arrow::datatypes::Field::new("literal", value.data_type(), value.is_null());
    let mut metadata = None;
    if let Some(declared) = declared
        && declared.name != crate::types::type_name(&declared.data_type)
    {
        let map = HashMap::from([(TYPE_METADATA.to_owned(), declared.name.clone())]);
        metadata = Some(FieldMetadata::from(map.clone()));
        field = field.with_metadata(map);
    }
    Bound {
        expr: Expr::Literal(value, metadata),
        field: std::sync::Arc::new(field),
    }
}

/// INT, BIGINT or DECIMAL by size; DOUBLE with an exponent.
fn number(text: &str, at: Position) -> Result<Bound> {
    if text.contains(['e', 'E']) {
        let value: f64 = text
            .parse()
            .map_err(|_| SqlError::at(at, format!("{text} is no number")))?;
        return Ok(literal(ScalarValue::Float64(Some(value)), None));
    }
    if !text.contains('.') {
        if let Ok(value) = text.parse::<i32>() {
            return Ok(literal(ScalarValue::Int32(Some(value)), None));
        }
        if let Ok(value) = text.parse::<i64>() {
            return Ok(literal(ScalarValue::Int64(Some(value)), None));
        }
    }
    let digits = text.trim_start_matches(['-', '0']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = fraction.len();
    let precision = (whole.len() + scale).max(1);
    if precision > 38 {
        return Err(SqlError::at(at, "a number has at most 38 digits"));
    }
    let (precision, scale) = (precision as u8, scale as i8);
    match functions::number::parse_decimal(text, precision, scale) {
        Ok(Some(value)) => Ok(literal(
            ScalarValue::Decimal128(Some(value), precision, scale),
            None,
        )),
        _ => Err(SqlError::at(at, format!("{text} is no number"))),
    }
}

fn parse_interval(text: &str, field: &DateTimeField) -> Option<IntervalMonthDayNano> {
    let whole = || text.parse::<i32>().ok();
    let nanos = |a_unit: i64| -> Option<IntervalMonthDayNano> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let nanos = functions::number::parse_decimal(digits, 18, 9).ok()??;
        // `nanos` is the number times 10^9.
        let value = nanos.checked_mul(i128::from(a_unit))?;
        let value = i64::try_from(value).ok()?.checked_mul(sign)?;
        Some(IntervalMonthDayNano::new(0, 0, value))
    };
    match field {
        DateTimeField::Year | DateTimeField::Years => {
            Some(IntervalMonthDayNano::new(whole()?.checked_mul(12)?, 0, 0))
        }
        DateTimeField::Month | DateTimeField::Months => {
            Some(IntervalMonthDayNano::new(whole()?, 0, 0))
        }
        DateTimeField::Week(None) | DateTimeField::Weeks => nanos(7 * 86_400),
        DateTimeField::Day | DateTimeField::Days => nanos(86_400),
        DateTimeField::Hour | DateTimeField::Hours => nanos(3_600),
        DateTimeField::Minute | DateTimeField::Minutes => nanos(60),
        DateTimeField::Second | DateTimeField::Seconds => nanos(1),
        _ => None,
    }
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
