//! `CREATE TABLE`: columns resolved to types, options to settings.

use super::connector::connector;
use super::query::Result;
use super::scope::internal;
use super::source::{base_schema, bind, declared, metadata_field};
use super::value::{Bound, family};
use crate::catalog::{ColumnKind, MetadataKey, TableDef, TableKind, WatermarkDef};
use crate::error::{Position, SqlError};
use crate::functions::cast::{OnError, cast};
use crate::session::Session;
use crate::statement::{ColumnSource, CreateTable, Literal, Name, WatermarkClause};
use crate::types::{SqlType, TYPE_METADATA, type_name};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use std::sync::Arc;

/// The table of a `CREATE TABLE`.
pub(super) fn table(create: &CreateTable, session: &Session) -> Result<TableDef> {
    let (schema, columns) = columns(create, session)?;
    let watermark = match &create.watermark {
        Some(clause) => Some(watermark(clause, &schema, session)?),
        None => None,
    };
    let primary_key = indices(&create.primary_key, &schema)?;
    if primary_key
        .iter()
        .any(|i| !matches!(columns.get(*i), Some(ColumnKind::Physical)))
    {
        let at = create
            .primary_key
            .first()
            .map_or(Position::START, |n| n.position);
        return Err(SqlError::at(
            at,
            "a PRIMARY KEY is made of physical columns",
        ));
    }
    Ok(TableDef {
        name: create.name.value.clone(),
        statement: create.text.clone(),
        kind: TableKind::Table,
        primary_key,
        watermark,
        connector: connector(&create.options, &create.name, &schema, &columns)?,
        columns,
        schema,
    })
}

fn columns(create: &CreateTable, session: &Session) -> Result<(SchemaRef, Vec<ColumnKind>)> {
    let mut base = Vec::new();
    let mut kinds = Vec::new();
    for column in &create.columns {
        let name = &column.name.value;
        kinds.push(match &column.source {
            ColumnSource::Physical(data_type) => {
                base.push(data_type.field(name));
                ColumnKind::Physical
            }
            ColumnSource::Metadata {
                data_type,
                key,
                is_virtual,
            } => {
                let key = metadata_key(key.as_ref(), &column.name, *is_virtual)?;
                check_metadata(data_type, key, &column.name, session)?;
                base.push(data_type.field(name));
                ColumnKind::Metadata {
                    key,
                    is_virtual: *is_virtual,
                }
            }
            ColumnSource::Computed(expression) => ColumnKind::Computed {
                expression: expression.text.clone(),
            },
        });
    }
    if kinds.iter().all(|k| !matches!(k, ColumnKind::Physical)) {
        return Err(
            SqlError::at(create.name.position, "a table needs a physical column")
                .hint("name the fields of the records: id BIGINT, ..."),
        );
    }
    let base = Schema::new(base);
    let scope = DFSchema::try_from(base.clone()).map_err(internal(create.name.position))?;
    let mut fields = Vec::new();
    for column in &create.columns {
        fields.push(match &column.source {
            ColumnSource::Computed(expression) => {
                let value = bind(&expression.ast, &scope, session)?;
                if value.is_null() {
                    return Err(SqlError::at(
                        expression.position,
                        "the type of this column is unknown",
                    )
                    .hint("write CAST(NULL AS type)"));
                }
                value.field.as_ref().clone().with_name(&column.name.value)
            }
            _ => base
                .field_with_name(&column.name.value)
                .map_err(|e| SqlError::at(column.name.position, e.to_string()))?
                .clone(),
        });
    }
    Ok((Arc::new(Schema::new(fields)), kinds))
}

/// Flink: Kafka SQL Connector, Available Metadata.
const METADATA: [(&str, MetadataKey, bool); 7] = [
    ("topic", MetadataKey::Topic, false),
    ("partition", MetadataKey::Partition, false),
    ("offset", MetadataKey::Offset, false),
    ("timestamp", MetadataKey::Timestamp, true),
    ("timestamp-type", MetadataKey::TimestampType, false),
    ("leader-epoch", MetadataKey::LeaderEpoch, false),
    // Flink can write headers; here nothing does yet.
    ("headers", MetadataKey::Headers, false),
];

fn metadata_key(key: Option<&Literal>, column: &Name, is_virtual: bool) -> Result<MetadataKey> {
    let (name, at) = match key {
        Some(key) => (key.value.as_str(), key.position),
        None => (column.value.as_str(), column.position),
    };
    let known: Vec<_> = METADATA.iter().map(|(n, ..)| *n).collect();
    let Some((_, key, writable)) = METADATA.iter().find(|(n, ..)| *n == name) else {
        return Err(SqlError::at(at, format!("there is no metadata '{name}'"))
            .detail(format!("The keys are {}", known.join(", ")))
            .meant(name, known));
    };
    if !is_virtual && !writable {
        return Err(SqlError::at(
            column.position,
            format!("metadata '{name}' can only be read"),
        )
        .hint("add VIRTUAL to the column"));
    }
    Ok(*key)
}

fn check_metadata(to: &SqlType, key: MetadataKey, column: &Name, session: &Session) -> Result<()> {
    let field = metadata_field(key, &column.value);
    if field.data_type() == &to.data_type {
        return Ok(());
    }
    let value = Bound {
        expr: Expr::Column(Column::new_unqualified(&column.value)),
        field: Arc::new(field),
    };
    let from = value.type_name();
    match cast(value, to, OnError::Fail, session.time_zone) {
        Some(_) => Ok(()),
        None => Err(SqlError::at(
            column.position,
            format!(
                "column '{}' is {}, its metadata is {from}",
                column.value, to.name
            ),
        )
        .hint(format!("declare it as {from}"))),
    }
}

fn watermark(
    clause: &WatermarkClause,
    schema: &SchemaRef,
    session: &Session,
) -> Result<WatermarkDef> {
    let name = &clause.column;
    let Ok(column) = schema.index_of(&name.value) else {
        return Err(SqlError::at(
            name.position,
            format!("there is no column '{}'", name.value),
        )
        .meant(
            &name.value,
            schema.fields().iter().map(|f| f.name().as_str()),
        ));
    };
    let is_time = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Millisecond, _));
    let field = schema.field(column);
    if !is_time(field.data_type()) {
        return Err(SqlError::at(
            name.position,
            format!(
                "'{}' is {}, event time needs TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
                name.value,
                declared(field).name
            ),
        )
        .hint(format!(
            "add a column like: ts AS CAST({} AS TIMESTAMP(3)), or ts AS TO_TIMESTAMP({})",
            name.value, name.value
        )));
    }
    let scope = DFSchema::try_from(schema.as_ref().clone()).map_err(internal(name.position))?;
    let value = bind(&clause.expression.ast, &scope, session)?;
    if !is_time(value.data_type()) {
        return Err(SqlError::at(
            clause.expression.position,
            format!(
                "a watermark is TIMESTAMP(3) or TIMESTAMP_LTZ(3), this is {}",
                value.type_name()
            ),
        )
        .hint(format!("write {0} - INTERVAL '5' SECOND", name.value)));
    }
    Ok(WatermarkDef {
        column,
        expression: clause.expression.text.clone(),
    })
}

pub(super) fn indices(names: &[Name], schema: &SchemaRef) -> Result<Vec<usize>> {
    names
        .iter()
        .map(|name| {
            schema.index_of(&name.value).map_err(|_| {
                SqlError::at(
                    name.position,
                    format!("there is no column '{}'", name.value),
                )
                .meant(
                    &name.value,
                    schema.fields().iter().map(|f| f.name().as_str()),
                )
            })
        })
        .collect()
}

/// The columns that are written: physical ones, and metadata with the type
/// that the connector takes.
pub(super) fn persisted(table: &TableDef) -> Vec<(usize, Field)> {
    let base = base_schema(table);
    let kinds = table.columns.iter().enumerate();
    let persisted = kinds.filter(|(_, kind)| match kind {
        ColumnKind::Physical => true,
        ColumnKind::Metadata { is_virtual, .. } => !is_virtual,
        ColumnKind::Computed { .. } => false,
    });
    persisted
        .filter_map(|(index, _)| {
            let name = table.schema.field(index).name();
            Some((index, base.field_with_name(name).ok()?.clone()))
        })
        .collect()
}

/// A query's column as a column of a new table.
pub(super) fn materialized_field(column: &Bound, at: Position) -> Result<Field> {
    let field = column.field.as_ref();
    if matches!(
        family(field.data_type()),
        super::value::Family::Null | super::value::Family::Interval
    ) {
        return Err(SqlError::at(
            at,
            format!(
                "column '{}' has no type that a table can have",
                field.name()
            ),
        )
        .hint("CAST it"));
    }
    let mut out = Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    if let Some(name) = field.metadata().get(TYPE_METADATA)
        && *name != type_name(field.data_type())
    {
        out = out.with_metadata([(TYPE_METADATA.to_owned(), name.clone())].into());
    }
    Ok(out)
}
