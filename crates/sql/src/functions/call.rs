//! The call of a function while it is bound.

use super::native::{Body, Native, Nulls, Params};
use crate::error::{Position, SqlError};
use crate::planner::expr::{convert, unify};
use crate::planner::value::{Bound, Family, family};
use crate::session::Session;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;

/// A call: the arguments, and where it stands.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) args: Vec<Bound>,
    pub(crate) places: &'a [Position],
    pub(crate) position: Position,
    pub(crate) session: &'a Session,
    pub(crate) schema: &'a DFSchema,
}

type Result<T> = std::result::Result<T, SqlError>;

impl Call<'_> {
    pub(crate) fn error(&self, message: impl Into<String>) -> SqlError {
        SqlError::at(self.position, message)
    }

    /// The argument at this place has a wrong type.
    pub(crate) fn wrong(&self, at: usize, expected: &str) -> SqlError {
        let place = self.places.get(at).copied().unwrap_or(self.position);
        let found = self.args.get(at).map_or_else(String::new, Bound::type_name);
        SqlError::at(
            place,
            format!(
                "argument {} of {} must be {expected}, this is {found}",
                at + 1,
                self.name
            ),
        )
        .hint("CAST it")
    }

    pub(crate) fn arg(&self, at: usize) -> Result<&Bound> {
        self.args
            .get(at)
            .ok_or_else(|| self.error(format!("argument {} of {} is missing", at + 1, self.name)))
    }

    pub(crate) fn family(&self, at: usize) -> Result<Family> {
        Ok(family(self.arg(at)?.data_type()))
    }

    /// The argument as STRING; only a STRING or NULL is one.
    pub(crate) fn text(&self, at: usize) -> Result<Expr> {
        self.of(at, "STRING", &[Family::Text], &DataType::Utf8)
    }

    /// The argument as INT, from a smaller integer or INT.
    pub(crate) fn int(&self, at: usize) -> Result<Expr> {
        if self.arg(at)?.data_type() == &DataType::Int64 {
            return Err(self.wrong(at, "INT"));
        }
        self.of(at, "INT", &[Family::Integer], &DataType::Int32)
    }

    /// The argument as BIGINT.
    pub(crate) fn bigint(&self, at: usize) -> Result<Expr> {
        self.of(at, "BIGINT", &[Family::Integer], &DataType::Int64)
    }

    /// The argument as DOUBLE, from any number.
    pub(crate) fn double(&self, at: usize) -> Result<Expr> {
        let numbers = [Family::Integer, Family::Decimal, Family::Approximate];
        self.of(at, "a number", &numbers, &DataType::Float64)
    }

    fn of(&self, at: usize, expected: &str, families: &[Family], to: &DataType) -> Result<Expr> {
        let family = self.family(at)?;
        if family != Family::Null && !families.contains(&family) {
            return Err(self.wrong(at, expected));
        }
        self.convert(self.arg(at)?.clone(), to)
    }

    /// A value as another type.
    pub(crate) fn convert(&self, value: Bound, to: &DataType) -> Result<Expr> {
        convert(value, to, self.session, self.position)
    }

    /// All arguments, taken, in their common type.
    pub(crate) fn unified(&mut self) -> Result<Vec<Expr>> {
        let args = std::mem::take(&mut self.args);
        unify(args, self.name, self.position, self.session)
    }

    pub(crate) fn bound(&self, expr: Expr) -> Result<Bound> {
        Bound::new(expr, self.schema).map_err(crate::planner::scope::internal(self.position))
    }

    /// A literal argument's text, which must be known at planning.
    pub(crate) fn literal_text(&self, at: usize, what: &str) -> Result<String> {
        match self.arg(at)?.literal_text() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong(at, &format!("a literal: {what}"))),
        }
    }

    /// Settings for a native function, without parameters.
    pub(crate) fn params(&self) -> Params {
        Params {
            zone: self.session.time_zone,
            ..Params::default()
        }
    }

    /// Settings with a text.
    pub(crate) fn params_with(&self, text: impl Into<String>) -> Params {
        Params {
            text: text.into(),
            ..self.params()
        }
    }
}

/// A native call without parameters.
pub(crate) fn native(
    name: &'static str,
    body: Body,
    returns: DataType,
    nulls: Nulls,
    args: Vec<Expr>,
) -> Expr {
    Native::call(name, body, returns, nulls, Params::default(), args)
}

/// A typed NULL.
pub(crate) fn null(data_type: &DataType) -> Result<Expr> {
    ScalarValue::try_from(data_type)
        .map(|value| Expr::Literal(value, None))
        .map_err(|e| SqlError::at(Position::START, e.strip_backtrace()))
}
