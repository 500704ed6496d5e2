//! Names in scope.

use super::value::Bound;
use crate::error::{Position, SqlError};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use sqlparser::ast::Ident;

/// Turns a planning failure of DataFusion into ours: either a limit of theirs
/// that we do not check, or our mistake.
pub(crate) fn internal(position: impl Into<Position>) -> impl Fn(DataFusionError) -> SqlError {
    let position = position.into();
    move |error| SqlError::at(position, error.strip_backtrace())
}

/// The column of a name of one part or, with a table before it, two; further
/// parts are fields of a ROW. Names are case-sensitive.
pub(crate) fn column(parts: &[Ident], schema: &DFSchema) -> Result<Bound, SqlError> {
    let Some((first, rest)) = parts.split_first() else {
        return Err(SqlError::at(Position::START, "a name is empty"));
    };
    let plain = find(None, first, schema)?;
    if let (None, Some((second, fields))) = (&plain, rest.split_first()) {
        if let Some(column) = find(Some(first), second, schema)? {
            return row_fields(column, fields, schema);
        }
        if let Some(whole) = names(schema).find(|name| is_joined(name, parts)) {
            return Err(SqlError::at(
                first.span,
                format!("there is no table or column '{}' here", first.value),
            )
            .detail(format!(
                "There is a column '{whole}', with a dot in its name"
            ))
            .hint(format!("write its name in backticks: `{whole}`")));
        }
        let known_table = schema
            .iter()
            .any(|(q, _)| q.is_some_and(|q| q.table() == first.value));
        let tables = schema.iter().filter_map(|(q, _)| q.map(|q| q.table()));
        return Err(if known_table {
            let columns = schema
                .iter()
                .filter(|(q, _)| q.is_some_and(|q| q.table() == first.value))
                .map(|(_, f)| f.name().as_str());
            SqlError::at(
                second.span,
                format!("table '{}' has no column '{}'", first.value, second.value),
            )
            .meant(&second.value, columns)
        } else {
            SqlError::at(
                first.span,
                format!("there is no table or column '{}' here", first.value),
            )
            .meant(&first.value, tables.chain(names(schema)))
        });
    }
    match plain {
        Some(column) => row_fields(column, rest, schema),
        None => Err(
            SqlError::at(first.span, format!("there is no column '{}'", first.value))
                .detail(format!("The columns here are {}", listed(schema)))
                .meant(&first.value, names(schema)),
        ),
    }
}

fn names(schema: &DFSchema) -> impl Iterator<Item = &str> {
    schema.fields().iter().map(|f| f.name().as_str())
}

/// Whether a name is these parts with dots between them.
fn is_joined(name: &str, parts: &[Ident]) -> bool {
    name.split('.')
        .eq(parts.iter().flat_map(|p| p.value.split('.')))
}

fn listed(schema: &DFSchema) -> String {
    const LISTED_MAX: usize = 20;
    let mut listed: Vec<_> = names(schema).take(LISTED_MAX).collect();
    if schema.fields().len() > LISTED_MAX {
        listed.push("...");
    }
    listed.join(", ")
}

fn find(table: Option<&Ident>, name: &Ident, schema: &DFSchema) -> Result<Option<Bound>, SqlError> {
    let mut found = schema.iter().filter(|(qualifier, field)| {
        *field.name() == name.value
            && table.is_none_or(|t| qualifier.is_some_and(|q| q.table() == t.value))
    });
    let Some((qualifier, field)) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(SqlError::at(
            name.span,
            format!("column '{}' is in more than one table", name.value),
        )
        .hint(format!("write the table before it: t.{}", name.value)));
    }
    let column = Column::new(qualifier.cloned(), field.name());
    Ok(Some(Bound {
        expr: Expr::Column(column),
        field: field.clone(),
    }))
}

/// `column.field.field`.
fn row_fields(mut value: Bound, fields: &[Ident], schema: &DFSchema) -> Result<Bound, SqlError> {
    for field in fields {
        let arrow::datatypes::DataType::Struct(inner) = value.data_type() else {
            return Err(SqlError::at(
                field.span,
                format!("a {} has no field '{}'", value.type_name(), field.value),
            ));
        };
        if inner.iter().all(|f| *f.name() != field.value) {
            return Err(SqlError::at(
                field.span,
                format!("the ROW has no field '{}'", field.value),
            )
            .meant(&field.value, inner.iter().map(|f| f.name().as_str())));
        }
        let name = datafusion::prelude::lit(field.value.clone());
        let expr = datafusion::functions::core::get_field().call(vec![value.expr, name]);
        value = Bound::new(expr, schema).map_err(internal(field.span))?;
    }
    Ok(value)
}
