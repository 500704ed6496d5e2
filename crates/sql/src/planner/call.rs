//! Calls of functions and aggregates.

use super::expr::{Binder, position};
use super::query::Result;
use super::value::Bound;
use crate::error::{Position, SqlError};
use crate::functions::{self, Call};
use datafusion::logical_expr::Expr;
use sqlparser::ast::{self, DateTimeField};

impl Binder<'_> {
    /// CEIL and FLOOR, of numbers or to a unit of time.
    pub(super) fn round_to(
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

    pub(super) fn function(&mut self, function: &ast::Function, at: Position) -> Result<Bound> {
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
    pub(super) fn call_with_unit(
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

    pub(super) fn call(
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

    pub(super) fn aggregate(
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

    pub(super) fn aggregate_parts(
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

pub(super) fn argument(arg: &ast::FunctionArg, at: Position) -> Result<&ast::Expr> {
    match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
        ast::FunctionArg::Unnamed(_) => Err(SqlError::at(at, "* is allowed in COUNT(*) only")),
        _ => Err(SqlError::at(at, "named arguments are not supported here")
            .hint("write the arguments in order")),
    }
}

/// Functions that are called without parentheses.
pub(super) fn bare_function(ident: &ast::Ident) -> Option<&'static str> {
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
