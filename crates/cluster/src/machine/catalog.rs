//! SQL objects, jobs and dashboards.

use crate::command::{Refusal, Reply};
use crate::image::{Dashboard, Job, JobState, MetadataImage, SqlObject};
use millstream_core::limits::SQL_BYTES_MAX;
use std::collections::BTreeMap;
use std::sync::Arc;

/// SQL objects of one cluster.
const SQL_OBJECTS_MAX: usize = 10_000;
/// Jobs of one cluster.
const JOBS_MAX: usize = 10_000;
/// Dashboards of one cluster.
const DASHBOARDS_MAX: usize = 10_000;
/// Length of one JSON definition, in bytes.
const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Length of one name or id, in bytes.
const NAME_BYTES_MAX: usize = 512;

pub(super) fn create_sql_object(
    image: &mut MetadataImage,
    object: SqlObject,
) -> Result<Reply, Refusal> {
    if image.sql_object(&object.name).is_some() {
        return Err(Refusal::SqlObjectExists(object.name));
    }
    put_sql_object(image, object)
}

pub(super) fn put_sql_object(
    image: &mut MetadataImage,
    object: SqlObject,
) -> Result<Reply, Refusal> {
    check_length("a name", object.name.len(), NAME_BYTES_MAX)?;
    check_length("a definition", object.definition.len(), SQL_BYTES_MAX)?;
    check_length("a planned definition", object.json.len(), JSON_BYTES_MAX)?;
    if image.sql_object(&object.name).is_none() {
        check_room("SQL objects", image.sql_objects.len(), SQL_OBJECTS_MAX)?;
    }
    Arc::make_mut(&mut image.sql_objects).insert(object.name.clone(), Arc::new(object));
    Ok(Reply::Done)
}

pub(super) fn drop_sql_object(image: &mut MetadataImage, name: &str) -> Result<Reply, Refusal> {
    if image.sql_object(name).is_none() {
        return Err(Refusal::UnknownSqlObject(name.to_owned()));
    }
    Arc::make_mut(&mut image.sql_objects).remove(name);
    Ok(Reply::Done)
}

pub(super) fn create_job(image: &mut MetadataImage, job: Job) -> Result<Reply, Refusal> {
    check_length("a job's name", job.name.len(), NAME_BYTES_MAX)?;
    check_length("a job's id", job.id.len(), NAME_BYTES_MAX)?;
    check_length("a statement", job.statement.len(), SQL_BYTES_MAX)?;
    if image.job(&job.id).is_some() || image.job_by_name(&job.name).is_some() {
        return Err(Refusal::JobExists(job.name));
    }
    check_room("jobs", image.jobs.len(), JOBS_MAX)?;
    Arc::make_mut(&mut image.jobs).insert(job.id.clone(), Arc::new(job));
    Ok(Reply::Done)
}

pub(super) fn set_job_state(
    image: &mut MetadataImage,
    id: &str,
    desired: JobState,
) -> Result<Reply, Refusal> {
    change_job(image, id, |job| Job { desired, ..job })
}

pub(super) fn alter_job(
    image: &mut MetadataImage,
    id: &str,
    statement: String,
    options: BTreeMap<String, String>,
) -> Result<Reply, Refusal> {
    check_length("a statement", statement.len(), SQL_BYTES_MAX)?;
    change_job(image, id, |job| Job {
        statement,
        options,
        ..job
    })
}

fn change_job(
    image: &mut MetadataImage,
    id: &str,
    change: impl FnOnce(Job) -> Job,
) -> Result<Reply, Refusal> {
    let job = image
        .job(id)
        .ok_or_else(|| Refusal::UnknownJob(id.to_owned()))?;
    let job = Arc::new(change(Job::clone(job)));
    Arc::make_mut(&mut image.jobs).insert(id.to_owned(), job);
    Ok(Reply::Done)
}

pub(super) fn delete_job(image: &mut MetadataImage, id: &str) -> Result<Reply, Refusal> {
    if image.job(id).is_none() {
        return Err(Refusal::UnknownJob(id.to_owned()));
    }
    Arc::make_mut(&mut image.jobs).remove(id);
    Ok(Reply::Done)
}

pub(super) fn put_dashboard(
    image: &mut MetadataImage,
    dashboard: Dashboard,
) -> Result<Reply, Refusal> {
    check_length("a dashboard's id", dashboard.id.len(), NAME_BYTES_MAX)?;
    check_length("a dashboard", dashboard.json.len(), JSON_BYTES_MAX)?;
    if image.dashboard(&dashboard.id).is_none() {
        check_room("dashboards", image.dashboards.len(), DASHBOARDS_MAX)?;
    }
    Arc::make_mut(&mut image.dashboards).insert(dashboard.id.clone(), Arc::new(dashboard));
    Ok(Reply::Done)
}

pub(super) fn delete_dashboard(image: &mut MetadataImage, id: &str) -> Result<Reply, Refusal> {
    if image.dashboard(id).is_none() {
        return Err(Refusal::UnknownDashboard(id.to_owned()));
    }
    Arc::make_mut(&mut image.dashboards).remove(id);
    Ok(Reply::Done)
}

fn check_length(what: &str, bytes: usize, bytes_max: usize) -> Result<(), Refusal> {
    if bytes > bytes_max {
        return Err(Refusal::LimitReached(format!(
            "{what} of {bytes} bytes: at most {bytes_max}"
        )));
    }
    Ok(())
}

fn check_room(what: &str, count: usize, count_max: usize) -> Result<(), Refusal> {
    if count >= count_max {
        return Err(Refusal::LimitReached(format!(
            "{count_max} {what} in one cluster"
        )));
    }
    Ok(())
}
