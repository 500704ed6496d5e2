//! Who reads and writes what: by the names of tables, and by topics.
//!
//! Read from the stored statements without planning them, so that stopped,
//! failed and unplannable jobs count too. A definition must never lead back
//! to itself: it is read back from its text, which asks for the tables that
//! it reads.

use super::Inner;
use super::catalog::ImageCatalog;
use millstream_cluster::{MetadataImage, SqlObject, SqlObjectKind};
use millstream_sql::catalog::Catalog;
use millstream_sql::plan::JobPlan;
use millstream_sql::statement::StatementKind;
use std::collections::{BTreeMap, BTreeSet};

/// The tables of a job's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) reads: BTreeSet<String>,
    pub(super) writes: String,
}

/// What uses a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// The job's id, or the materialized table's name.
    pub(super) id: String,
    pub(super) is_materialized: bool,
    pub(super) writes: bool,
}

/// What a job's statement uses; `None` where it cannot be read any more, or
/// is none of a job.
pub(super) fn uses_of(statement: &str) -> Option<Uses> {
    let statements = millstream_sql::parser::parse(statement).ok()?;
    let (query, writes) = match &statements.first()?.kind {
        StatementKind::Insert(insert) => (&insert.query, &insert.table),
        StatementKind::CreateMaterializedTable(create) => (&create.query, &create.name),
        _ => return None,
    };
    Some(Uses {
        reads: query.tables().ok()?,
        writes: writes.value.clone(),
    })
}

/// All jobs, running or not, and materialized tables that use `table`; the
/// table's own job is not among them, nor is a materialized table that it
/// reads itself (of two that read each other, one must go first).
pub(super) fn users_of(image: &MetadataImage, table: &str) -> Vec<User> {
    let mut users = BTreeMap::new();
    let below = read_below(image, table);
    let statements = image
        .sql_objects()
        .filter(|object| object.kind == SqlObjectKind::MaterializedTable)
        .map(|object| (&object.name, &object.definition))
        .chain(image.jobs().map(|job| (&job.id, &job.statement)));
    for (id, statement) in statements {
        let Some(uses) = uses_of(statement) else {
            continue;
        };
        let is_materialized = is_materialized(image, id);
        let writes = uses.writes == table;
        let counts = match is_materialized {
            true => id != table && uses.reads.contains(table) && !below.contains(id),
            false => writes || uses.reads.contains(table),
        };
        if counts {
            let user = User {
                id: id.clone(),
                is_materialized,
                writes,
            };
            users.insert(id.clone(), user);
        }
    }
    users.into_values().collect()
}

/// Whether a job of this id is that of a materialized table.
pub(super) fn is_materialized(image: &MetadataImage, id: &str) -> bool {
    image
        .sql_object(id)
        .is_some_and(|object| object.kind == SqlObjectKind::MaterializedTable)
}

/// Everything that a table is made from, through all materialized tables.
fn read_below(image: &MetadataImage, table: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![table.to_owned()];
    while let Some(name) = open.pop() {
        for read in reads_of(image.sql_object(&name)) {
            if found.insert(read.clone()) {
                open.push(read);
            }
        }
    }
    found
}

/// The tables that an object's definition asks for.
fn reads_of(object: Option<&std::sync::Arc<SqlObject>>) -> BTreeSet<String> {
    object
        .filter(|object| object.kind == SqlObjectKind::MaterializedTable)
        .and_then(|object| uses_of(&object.definition))
        .map(|uses| uses.reads)
        .unwrap_or_default()
}

/// The definitions behind `table`, those that others ask for first and
/// `table` last; what `is_known` already is left out with all behind it.
///
/// The error is a circle, from a table back to it. Takes no stack for depth.
pub(super) fn bottom_up(
    image: &MetadataImage,
    table: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Vec<String>> {
    let mut order = Vec::new();
    let mut done = BTreeSet::new();
    // The way down: each table, and what of its reads is still to be visited.
    let mut path = vec![(table.to_owned(), reads_of(image.sql_object(table)))];
    while let Some((name, reads)) = path.last_mut() {
        let Some(next) = reads.pop_first() else {
            done.insert(name.clone());
            order.push(std::mem::take(name));
            path.pop();
            continue;
        };
        if done.contains(&next) || is_known(&next) || image.sql_object(&next).is_none() {
            continue;
        }
        if let Some(at) = path.iter().position(|(name, _)| *name == next) {
            let mut circle: Vec<String> = path.into_iter().skip(at).map(|(name, _)| name).collect();
            circle.push(next);
            return Err(circle);
        }
        let reads = reads_of(image.sql_object(&next));
        path.push((next, reads));
    }
    Ok(order)
}

/// The way back to `table` from the tables that its query reads, should
/// there be one already: names, from `table` to `table`.
pub(super) fn circle_of(
    image: &MetadataImage,
    table: &str,
    reads: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let mut from: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Vec<String> = reads.iter().cloned().collect();
    for read in reads {
        from.insert(read.clone(), table.to_owned());
    }
    while let Some(name) = open.pop() {
        if name == table {
            return Some(way(&from, table));
        }
        for read in reads_of(image.sql_object(&name)) {
            if !from.contains_key(&read) {
                from.insert(read.clone(), name.clone());
                open.push(read);
            }
        }
    }
    None
}

/// From `table` along `from`, backwards, to `table`.
fn way(from: &BTreeMap<String, String>, table: &str) -> Vec<String> {
    let mut names = vec![table.to_owned()];
    let mut at = table;
    while let Some(before) = from.get(at) {
        names.push(before.clone());
        if before == table {
            break;
        }
        at = before;
    }
    names.reverse();
    names
}

impl Inner {
    /// The jobs through which what a new job writes would come back to it:
    /// their ids, in the order in which the records pass them.
    pub(super) fn topic_loop(
        &self,
        catalog: &ImageCatalog<'_>,
        plan: &JobPlan,
        sources: &[String],
    ) -> Option<Vec<String>> {
        let topic = |table: &str| Some(catalog.table(table)?.connector.topic.clone());
        let jobs: Vec<(String, Vec<String>, String)> = catalog
            .image
            .jobs()
            .filter_map(|job| {
                let uses = uses_of(&job.statement)?;
                let reads = uses.reads.iter().filter_map(|table| topic(table)).collect();
                Some((job.id.clone(), reads, topic(&uses.writes)?))
            })
            .collect();
        let mut seen = BTreeSet::from([plan.sink.connector.topic.clone()]);
        let mut open = vec![(plan.sink.connector.topic.clone(), Vec::new())];
        while let Some((at, passed)) = open.pop() {
            if sources.contains(&at) {
                return Some(passed);
            }
            for (id, reads, writes) in &jobs {
                if reads.contains(&at) && seen.insert(writes.clone()) {
                    let mut passed: Vec<String> = passed.clone();
                    passed.push(id.clone());
                    open.push((writes.clone(), passed));
                }
            }
        }
        None
    }
}
