//! Plans as text, for EXPLAIN.

use super::bounded::BoundedPlan;
use crate::catalog::TableDef;
use crate::plan::{JobPlan, PlanNode, WindowSpec};
use arrow::datatypes::Schema;
use std::fmt::Write;

impl JobPlan {
    /// The operators, the sink first, each indented below what it feeds.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        // A `String` takes everything that is written to it.
        let _ = writeln!(out, "Sink: {} {}", self.sink.name, topic(&self.sink));
        let mut node = Some(&self.root);
        let mut depth = 1;
        while let Some(current) = node {
            let _ = writeln!(out, "{}{}", "  ".repeat(depth), line(current));
            node = current.input();
            depth += 1;
        }
        out
    }
}

impl BoundedPlan {
    /// DataFusion's plan, before it is optimised.
    pub fn explain(&self) -> String {
        format!("{}\n", self.plan.display_indent())
    }
}

fn topic(table: &TableDef) -> String {
    format!(
        "(topic {}, format {})",
        table.connector.topic, table.connector.format.name
    )
}

fn line(node: &PlanNode) -> String {
    match node {
        PlanNode::Source(source) => {
            let watermark = match &source.watermark {
                Some(watermark) => format!(
                    ", watermark on {}: {}",
                    source.schema.field(watermark.column).name(),
                    watermark.expression
                ),
                None => String::new(),
            };
            let table = &source.table;
            format!("Source: {} {}{watermark}", table.name, topic(table))
        }
        PlanNode::Project(project) => {
            let columns: Vec<_> = project
                .expressions
                .iter()
                .zip(project.schema.fields())
                .map(|(expression, field)| format!("{} = {expression}", field.name()))
                .collect();
            format!("Project: {}", columns.join(", "))
        }
        PlanNode::Filter(filter) => format!("Filter: {}", filter.predicate),
        PlanNode::WindowAggregate(aggregate) => {
            let WindowSpec::Tumble { size_ms, offset_ms } = aggregate.window;
            let input = aggregate.input.schema();
            let keys: Vec<_> = aggregate.keys.iter().map(ToString::to_string).collect();
            let aggregates: Vec<_> = aggregate
                .aggregates
                .iter()
                .map(|a| {
                    let arguments = a.function.expressions();
                    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
                    let distinct = if a.function.is_distinct() {
                        "DISTINCT "
                    } else {
                        ""
                    };
                    let name = a.function.fun().name();
                    let call = format!("{name}({distinct}{})", arguments.join(", "));
                    match &a.filter {
                        Some(filter) => format!("{call} filter {filter}"),
                        None => call,
                    }
                })
                .collect();
            format!(
                "WindowAggregate: tumble({}, size {size_ms} ms, offset {offset_ms} ms), keys [{}], [{}]",
                column(&input, aggregate.time_column),
                keys.join(", "),
                aggregates.join(", ")
            )
        }
    }
}

fn column(schema: &Schema, index: usize) -> &str {
    schema.fields().get(index).map_or("?", |f| f.name())
}
