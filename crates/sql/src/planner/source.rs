//! How a table is read: computed columns and the watermark.

use super::expr::Binder;
use super::query::Result;
use super::scope::internal;
use super::stream::physical;
use super::value::Bound;
use crate::catalog::{ColumnKind, MetadataKey, TableDef};
use crate::error::{Position, SqlError};
use crate::functions::cast::{OnError, cast};
use crate::parser::parse_expression;
use crate::plan::{SourceNode, WatermarkNode};
use crate::session::Session;
use crate::types::{SqlType, TYPE_METADATA, map, timestamp_ltz, type_name};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use sqlparser::ast;
use std::sync::Arc;

/// Why an aggregate cannot stand in a column.
const NO_AGGREGATES: &str = "a column is computed row by row";

/// How a table is read, for jobs and for bounded reads.
pub(super) fn source_node(table: &Arc<TableDef>, session: &Session) -> Result<SourceNode> {
    let at = Position::START;
    let base_schema = base_schema(table);
    let base = DFSchema::try_from(base_schema.as_ref().clone()).map_err(internal(at))?;
    let mut columns = Vec::with_capacity(table.columns.len());
    for (kind, field) in table.columns.iter().zip(table.schema.fields()) {
        let expr = match kind {
            ColumnKind::Physical => Expr::Column(Column::new_unqualified(field.name())),
            ColumnKind::Metadata { .. } => declared_metadata(field, &base, session)?,
            ColumnKind::Computed { expression } => {
                let parsed = parse_expression(expression)?;
                bind(&parsed.ast, &base, session)?.expr
            }
        };
        columns.push(physical(&expr, &base, at)?);
    }
    let watermark = match &table.watermark {
        None => None,
        Some(watermark) => {
            let full = DFSchema::try_from(table.schema.as_ref().clone()).map_err(internal(at))?;
            let parsed = parse_expression(&watermark.expression)?;
            let expression = bind(&parsed.ast, &full, session)?;
            Some(WatermarkNode {
                column: watermark.column,
                expression: physical(&expression.expr, &full, at)?,
            })
        }
    };
    Ok(SourceNode {
        table: with_idle_timeout(table, session),
        base_schema,
        columns,
        schema: table.schema.clone(),
        watermark,
    })
}

/// The table with the session's idle timeout, where it has none of its own.
fn with_idle_timeout(table: &Arc<TableDef>, session: &Session) -> Arc<TableDef> {
    if table.connector.idle_timeout.is_some() || session.idle_timeout.is_none() {
        return Arc::clone(table);
    }
    let mut own = table.as_ref().clone();
    own.connector.idle_timeout = session.idle_timeout;
    Arc::new(own)
}

/// Binds a column's expression.
pub(super) fn bind(expr: &ast::Expr, schema: &DFSchema, session: &Session) -> Result<Bound> {
    Binder::scalar(session, schema, NO_AGGREGATES).bind(expr)
}

/// Physical columns as declared and metadata columns as Kafka has them.
pub(super) fn base_schema(table: &TableDef) -> SchemaRef {
    let fields = table.columns.iter().zip(table.schema.fields());
    let fields: Vec<_> = fields
        .filter_map(|(kind, field)| match kind {
            ColumnKind::Physical => Some(field.as_ref().clone()),
            ColumnKind::Metadata { key, .. } => Some(metadata_field(*key, field.name())),
            ColumnKind::Computed { .. } => None,
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// A metadata column with the type that the connector gives it.
pub(super) fn metadata_field(key: MetadataKey, name: &str) -> Field {
    let data_type = match key {
        MetadataKey::Topic | MetadataKey::TimestampType => DataType::Utf8,
        MetadataKey::Partition | MetadataKey::LeaderEpoch => DataType::Int32,
        MetadataKey::Offset => DataType::Int64,
        MetadataKey::Timestamp => timestamp_ltz(3),
        MetadataKey::Headers => map(SqlType::of(DataType::Utf8), SqlType::of(DataType::Binary)),
    };
    Field::new(name, data_type, true)
}

/// The declared type of a field.
pub(super) fn declared(field: &Field) -> SqlType {
    SqlType {
        data_type: field.data_type().clone(),
        name: match field.metadata().get(TYPE_METADATA) {
            Some(name) => name.clone(),
            None => type_name(field.data_type()),
        },
        nullable: field.is_nullable(),
    }
}

fn declared_metadata(field: &Field, base: &DFSchema, session: &Session) -> Result<Expr> {
    let column = Expr::Column(Column::new_unqualified(field.name()));
    let value = Bound::new(column, base).map_err(internal(Position::START))?;
    let from = value.type_name();
    cast(value, &declared(field), OnError::Fail, session.time_zone).ok_or_else(|| {
        let to = type_name(field.data_type());
        SqlError::at(
            Position::START,
            format!("column '{}' is {to}, its metadata is {from}", field.name()),
        )
    })
}
