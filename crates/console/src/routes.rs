//! The API's routes. What each answers is in `docs/reference/http-api.md`.

use crate::deletion::delete_topic;
use crate::documents::{ClusterInfo, Documents};
use crate::guard::{Guard, guard};
use crate::http::bodies::BodyError;
use crate::http::limits::HttpLimits;
use crate::messages::produce::{ProduceBody, Produced};
use crate::messages::{MessagesQuery, Views, bus_problem};
use crate::problem::Problem;
use crate::reads::LiveReads;
use crate::sql::{Answer, SqlPort};
use crate::{assets, live, messages};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use millstream_cluster::MetadataService;
use millstream_core::env::Clock;
use millstream_core::limits::SQL_BYTES_MAX;
use millstream_core::ports::{Bus, TopicSpec};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Largest body that any call takes, in bytes: a statement, a record.
pub const BODY_BYTES_MAX: usize = SQL_BYTES_MAX;
/// Largest body of all other calls.
const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;

/// Answers a topic's settings with their sources.
pub type TopicConfigs = Box<dyn Fn(&str) -> Vec<Value> + Send + Sync>;

/// Everything the routes need.
pub struct App {
    /// Cluster facts.
    pub cluster: ClusterInfo,
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The engine; absent without its role.
    pub engine: Option<Arc<dyn SqlPort>>,
    /// Definitions.
    pub metadata: Arc<MetadataService>,
    /// The last snapshot's documents; `None` until the first.
    pub documents: watch::Receiver<Option<Arc<Documents>>>,
    /// What live queries read.
    pub live_reads: LiveReads,
    /// Why clients are not served, a reason a line; `None` when they are.
    pub not_ready: watch::Receiver<Option<String>>,
    /// The calls that are being answered.
    pub in_flight: InFlight,
    /// Renders `/metrics`.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// A topic's settings with their sources, for its page.
    pub topic_configs: TopicConfigs,
    /// Memory of all answers with records.
    pub views: Views,
    /// Bounds of the listener.
    pub limits: HttpLimits,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ends live connections; from then on the API takes no calls.
    pub stop: CancellationToken,
    /// Whether the web app is served.
    pub console: bool,
}

/// Counts the calls that are being answered, for a stop that waits for them.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<watch::Sender<()>>);

impl InFlight {
    /// Counts until dropped.
    fn enter(&self) -> impl Sized + Send + use<> {
        self.0.subscribe()
    }

    /// Waits until none is left.
    pub async fn none(&self) {
        self.0.closed().await;
    }
}

impl App {
    /// The engine, or why there is none.
    pub fn sql(&self) -> Result<&Arc<dyn SqlPort>, Problem> {
        self.engine.as_ref().ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "this server runs without the engine",
            )
            .hint("start it with the role engine, or ask a server that has it")
        })
    }

    fn documents(&self) -> Result<Arc<Documents>, Problem> {
        self.documents.borrow().clone().ok_or_else(|| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no reading yet")
                .hint("try again in a second")
        })
    }
}

/// A JSON body whose errors are problems.
struct Body<T>(T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(e) => Err(match BodyError::behind(&e) {
                Some(error) => Problem::new(error.status(), error.to_string())
                    .hint("send it again, all at once"),
                None => Problem::new(e.status(), "the body is not what this call takes")
                    .detail(e.body_text()),
            }),
        }
    }
}

type Shared = State<Arc<App>>;
type Answered<T> = Result<Json<T>, Problem>;

/// The router.
pub fn router(app: Arc<App>, names: Guard) -> Router {
    let api = Router::new()
        .route(
            "/sql",
            post(run_sql).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
        )
        .route("/overview", get(overview))
        .route("/topics", get(topics).post(create_topic))
        .route("/topics/{name}", get(topic).delete(delete_topic))
        .route("/topics/{name}/messages", get(topic_messages))
        .route("/topics/{name}/messages/{partition}/{offset}", get(record))
        .route(
            "/topics/{name}/messages/{partition}/{offset}/{part}",
            get(record_bytes),
        )
        .route(
            "/topics/{name}/produce",
            post(produce).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
        )
        .route("/groups", get(groups))
        .route("/groups/{id}", get(group))
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/start", post(start_job))
        .route("/jobs/{id}/stop", post(stop_job))
        .route("/tables", get(tables))
        .route("/dashboards", get(dashboards))
        .route("/dashboards/{id}", get(dashboard))
        .route("/live", get(upgrade))
        .fallback(|| async { Problem::not_found("no such call") })
        .layer(middleware::from_fn_with_state(app.clone(), count));
    let mut router = Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    if app.console {
        router = router.fallback(get(assets::serve));
    }
    router
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(names, guard))
        .with_state(app)
}

/// Counts calls, and refuses them once the server stops.
async fn count(State(app): Shared, request: Request, next: Next) -> Response {
    let _counted = app.in_flight.enter();
    if app.stop.is_cancelled() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
            .hint("try again once it is back")
            .into_response();
    }
    next.run(request).await
}

fn json_text(text: Arc<str>) -> Response {
    json_body(text.to_string())
}

fn json_body(body: impl Into<axum::body::Body>) -> Response {
    let body: axum::body::Body = body.into();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
}

async fn run_sql(State(app): Shared, Body(body): Body<SqlBody>) -> Result<Answer, Problem> {
    app.sql()?.execute(&body.sql).await
}

async fn overview(State(app): Shared) -> Result<Response, Problem> {
    Ok(json_text(app.documents()?.overview(&app.cluster)))
}

#[derive(Deserialize)]
struct TopicsQuery {
    #[serde(default)]
    internal: bool,
}

async fn topics(
    State(app): Shared,
    query: Result<Query<TopicsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let documents = app.documents()?;
    if query
        .map_err(|e| Problem::bad_request(e.body_text()))?
        .internal
    {
        return Ok(Json(documents.make_topics(true)).into_response());
    }
    Ok(json_text(documents.topics()))
}

async fn topic(State(app): Shared, Path(name): Path<String>) -> Answered<Value> {
    let documents = app.documents()?;
    let Some(view) = documents.snapshot.topics.iter().find(|t| t.name == name) else {
        return Err(Problem::not_found(format!("no topic {name}")));
    };
    let mut value = json!(view);
    value["configs"] = json!((app.topic_configs)(&name));
    Ok(Json(value))
}

async fn topic_messages(
    State(app): Shared,
    Path(name): Path<String>,
    query: Result<Query<MessagesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let body = messages::answer(&app.views, &app.bus, name, query).await?;
    Ok(json_body(body))
}

type RecordPath = Result<Path<(String, i32, i64)>, PathRejection>;

async fn record(State(app): Shared, path: RecordPath) -> Result<Response, Problem> {
    let Path((name, partition, offset)) = path.map_err(bad_path)?;
    let body = messages::record(&app.views, &app.bus, name, (partition, offset)).await?;
    Ok(json_body(body))
}

async fn record_bytes(
    State(app): Shared,
    path: Result<Path<(String, i32, i64, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((name, partition, offset, part)) = path.map_err(bad_path)?;
    let at = (partition, offset);
    let body = messages::record_bytes(&app.views, &app.bus, name, at, &part).await?;
    let file = format!("attachment; filename=\"{partition}-{offset}.{part}\"");
    // Nothing that a producer wrote is run as a page of ours.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, file),
    ];
    Ok((headers, body).into_response())
}

fn bad_path(rejection: PathRejection) -> Problem {
    Problem::bad_request("a record is at /messages/{partition}/{offset}")
        .detail(rejection.body_text())
}

async fn produce(
    State(app): Shared,
    Path(name): Path<String>,
    Body(body): Body<ProduceBody>,
) -> Answered<Produced> {
    Ok(Json(
        messages::produce::produce(&*app.bus, &name, body).await?,
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateTopicBody {
    name: String,
    #[serde(default = "one")]
    partitions: i32,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

async fn create_topic(State(app): Shared, Body(body): Body<CreateTopicBody>) -> Answered<Value> {
    messages::produce::refuse_internal(&body.name)?;
    let spec = TopicSpec {
        name: body.name,
        partitions: body.partitions,
        configs: body.configs,
    };
    let info = app.bus.create_topic(spec).await.map_err(bus_problem)?;
    Ok(Json(
        json!({ "name": info.name, "id": info.id, "partitions": info.partitions }),
    ))
}

async fn groups(State(app): Shared) -> Result<Response, Problem> {
    Ok(json_text(app.documents()?.groups()))
}

async fn group(State(app): Shared, Path(id): Path<String>) -> Answered<Value> {
    let documents = app.documents()?;
    let snapshot = &documents.snapshot;
    snapshot
        .groups
        .iter()
        .chain(&snapshot.job_groups)
        .find(|g| g.group == id)
        .map(|g| Json(json!(g)))
        .ok_or_else(|| Problem::not_found(format!("no consumer group {id}")))
}

async fn jobs(State(app): Shared) -> Answered<Value> {
    Ok(Json(json!({ "jobs": app.sql()?.jobs() })))
}

async fn job(State(app): Shared, Path(id): Path<String>) -> Answered<Value> {
    let jobs = app.sql()?.jobs();
    jobs.into_iter()
        .find(|j| j["id"] == id)
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("no job {id}")))
}

async fn stop_job(State(app): Shared, Path(id): Path<String>) -> Answered<Value> {
    app.sql()?.stop_job(&id).await?;
    Ok(Json(json!({ "id": id, "state": "stopped" })))
}

async fn start_job(State(app): Shared, Path(id): Path<String>) -> Answered<Value> {
    app.sql()?.start_job(&id).await?;
    Ok(Json(json!({ "id": id, "state": "starting" })))
}

async fn tables(State(app): Shared) -> Answered<Value> {
    Ok(Json(json!({ "tables": app.sql()?.tables() })))
}

async fn dashboards(State(app): Shared) -> Answered<Value> {
    let image = app.metadata.image();
    let dashboards: Vec<Value> = image
        .dashboards()
        .filter_map(|d| serde_json::from_str::<Value>(&d.json).ok())
        .map(|d| {
            json!({
                "id": d["id"],
                "title": d["title"],
                "panels": d["panels"].as_array().map_or(0, Vec::len),
                "screen": d["screen"].is_object(),
            })
        })
        .collect();
    Ok(Json(json!({ "dashboards": dashboards })))
}

async fn dashboard(State(app): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let image = app.metadata.image();
    let Some(dashboard) = image.dashboard(&id) else {
        return Err(Problem::not_found(format!("no dashboard {id}")));
    };
    Ok(json_text(dashboard.json.as_str().into()))
}

async fn readyz(State(app): Shared) -> Response {
    match app.not_ready.borrow().clone() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(app): Shared) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        (app.metrics)(),
    )
        .into_response()
}

async fn upgrade(State(app): Shared, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(live::READ_BUFFER_BYTES)
        .max_frame_size(live::FRAME_BYTES_MAX)
        .max_message_size(live::FRAME_BYTES_MAX)
        .on_upgrade(move |socket| live::serve(socket, app))
}
