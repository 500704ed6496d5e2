//! The WebSocket: all of a page's subscriptions over one connection.
//!
//! Each subscription is a task that waits for the newest state of what it
//! follows and hands it to the connection's bounded queue. A client that does
//! not read holds its own tasks up, nothing else: they wake to the newest
//! state, never to a backlog.

use crate::messages::filter::Filter;
use crate::messages::show::{Shown, message, unreadable};
use crate::messages::views::Share;
use crate::messages::{bus_problem, show};
use crate::problem::Problem;
use crate::routes::App;
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use millstream_core::ports::bus::all_partitions;
use millstream_core::ports::{BusReader, Isolation, OffsetAt};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Length of one frame from a client, in bytes.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// What a connection reads at once, in bytes: its clients say little.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Frames that wait for a client that does not read.
const QUEUE_FRAMES_MAX: usize = 16;
/// A client that takes no frame for this long is cut off.
const WRITE_TIME_MAX: Duration = Duration::from_secs(20);
/// What a push of a tail shows of each value, in bytes; the record whole is
/// a call of its own.
const TAIL_SHOWN: Shown = Shown {
    value_bytes_max: 4 * 1024,
};
/// Messages in one push of a tail.
const TAIL_MESSAGES_MAX: usize = 200;
/// Least time between two pushes of a tail.
const TAIL_PUSH_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum ClientFrame {
    Subscribe {
        id: String,
        #[serde(flatten)]
        what: What,
    },
    Unsubscribe {
        id: String,
    },
    Ping {
        t: f64,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum What {
    Sql {
        sql: String,
    },
    Tail {
        topic: String,
        partition: Option<i32>,
        contains: Option<String>,
    },
    Overview,
    Topics,
    Groups,
    Jobs,
    Race,
}

#[derive(Clone)]
struct Pushes {
    id: String,
    queue: mpsc::Sender<Frame>,
}

/// What waits for its client, with its share of the memory of such frames.
struct Frame {
    message: Message,
    _share: Option<Share>,
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        Self {
            message,
            _share: None,
        }
    }
}

impl Pushes {
    /// Queues one push; false when the connection has gone. `data` is JSON
    /// already.
    async fn data(&self, seq: u64, sent_ms: i64, age_ms: Option<f64>, data: &str) -> bool {
        self.shared(seq, sent_ms, age_ms, data, None).await
    }

    /// The same, holding a share until the client has taken it.
    async fn shared(
        &self,
        seq: u64,
        sent_ms: i64,
        age_ms: Option<f64>,
        data: &str,
        share: Option<Share>,
    ) -> bool {
        let age = age_ms.map_or_else(|| "null".into(), |a| format!("{a:.1}"));
        let id = json!(self.id);
        let frame = format!(
            "{{\"id\":{id},\"type\":\"data\",\"seq\":{seq},\"sent_ms\":{sent_ms},\"age_ms\":{age},\"data\":{data}}}"
        );
        let frame = Frame {
            message: Message::Text(frame.into()),
            _share: share,
        };
        self.queue.send(frame).await.is_ok()
    }

    async fn error(&self, problem: &Problem) {
        let frame = json!({ "id": self.id, "type": "error", "problem": problem });
        let _ = self.queue.send(text(frame.to_string())).await;
    }
}

fn text(frame: String) -> Frame {
    Message::Text(frame.into()).into()
}

/// Serves one connection to its end.
pub async fn serve(socket: WebSocket, app: Arc<App>) {
    let (mut sink, mut stream) = socket.split();
    let (queue, mut frames) = mpsc::channel::<Frame>(QUEUE_FRAMES_MAX);
    let stop = app.stop.clone();
    let writer = tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            let sent = tokio::time::timeout(WRITE_TIME_MAX, sink.send(frame.message));
            if !matches!(sent.await, Ok(Ok(()))) {
                return;
            }
        }
        let _ = sink.send(Message::Close(None)).await;
    });
    let mut connection = Connection {
        app,
        queue,
        subscriptions: HashMap::new(),
    };
    let limits = connection.app.limits.clone();
    let mut pings = tokio::time::interval(limits.live_ping);
    let mut heard = Instant::now();
    loop {
        let frame = tokio::select! {
            () = stop.cancelled() => break,
            frame = stream.next() => frame,
            // A browser answers by itself, a peer that is gone does not.
            _ = pings.tick() => {
                if heard.elapsed() > limits.live_silent_max {
                    break;
                }
                let _ = connection.queue.try_send(Message::Ping(Bytes::new()).into());
                continue;
            }
        };
        heard = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) => connection.frame(text.as_str()).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => break,
        }
        if writer.is_finished() {
            break;
        }
    }
    connection
        .subscriptions
        .into_values()
        .for_each(|task| task.abort());
    drop(connection.queue);
    let _ = tokio::time::timeout(Duration::from_secs(1), writer).await;
}

struct Connection {
    app: Arc<App>,
    queue: mpsc::Sender<Frame>,
    subscriptions: HashMap<String, AbortHandle>,
}

impl Connection {
    async fn frame(&mut self, frame: &str) {
        match serde_json::from_str::<ClientFrame>(frame) {
            Ok(ClientFrame::Subscribe { id, what }) => self.subscribe(id, what).await,
            Ok(ClientFrame::Unsubscribe { id }) => {
                if let Some(task) = self.subscriptions.remove(&id) {
                    task.abort();
                }
            }
            Ok(ClientFrame::Ping { t }) => {
                let pong = json!({ "type": "pong", "t": t, "server_ms": self.app.clock.now_ms() });
                // A full queue means that pushes are waiting: they say as much.
                let _ = self.queue.try_send(text(pong.to_string()));
            }
            Err(error) => {
                let problem =
                    Problem::bad_request("not a frame of this API").detail(error.to_string());
                let frame = json!({ "id": null, "type": "error", "problem": problem });
                let _ = self.queue.try_send(text(frame.to_string()));
            }
        }
    }

    async fn subscribe(&mut self, id: String, what: What) {
        let pushes = Pushes {
            id: id.clone(),
            queue: self.queue.clone(),
        };
        self.subscriptions.retain(|_, task| !task.is_finished());
        if !self.subscriptions.contains_key(&id) && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let problem = Problem::bad_request(format!(
                "a connection has at most {SUBSCRIPTIONS_MAX} subscriptions"
            ));
            return pushes.error(&problem).await;
        }
        let app = self.app.clone();
        let task = tokio::spawn(async move {
            let ended = match what {
                What::Sql { sql } => follow_sql(&app, &pushes, &sql).await,
                What::Tail {
                    topic,
                    partition,
                    contains,
                } => follow_topic(&app, &pushes, &topic, partition, contains).await,
                What::Overview => follow_page(&app, &pushes, Page::Overview).await,
                What::Topics => follow_page(&app, &pushes, Page::Topics).await,
                What::Groups => follow_page(&app, &pushes, Page::Groups).await,
                What::Jobs => follow_page(&app, &pushes, Page::Jobs).await,
                What::Race => follow_page(&app, &pushes, Page::Race).await,
            };
            if let Err(problem) = ended {
                pushes.error(&problem).await;
            }
        });
        if let Some(before) = self.subscriptions.insert(id, task.abort_handle()) {
            before.abort();
        }
    }
}

#[derive(Clone, Copy)]
enum Page {
    Overview,
    Topics,
    Groups,
    Jobs,
    Race,
}

async fn follow_page(app: &App, pushes: &Pushes, page: Page) -> Result<(), Problem> {
    let mut documents = app.documents.clone();
    let mut seq = 0;
    loop {
        let now = documents.borrow_and_update().clone();
        if let Some(now) = now {
            let data = match page {
                Page::Overview => now.overview(&app.cluster),
                Page::Topics => now.topics(),
                Page::Groups => now.groups(),
                Page::Jobs => now.jobs(),
                Page::Race => now.race(),
            };
            seq += 1;
            let sent_ms = app.clock.now_ms();
            let age_ms = (sent_ms - now.snapshot.now_ms) as f64;
            if !pushes.data(seq, sent_ms, Some(age_ms), &data).await {
                return Ok(());
            }
        }
        if documents.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn follow_sql(app: &App, pushes: &Pushes, sql: &str) -> Result<(), Problem> {
    let mut stream = app.sql()?.subscribe(sql).await?;
    let _reads = app.live_reads.note(&stream.topics());
    while let Some(result) = stream.next().await {
        let push = result?;
        let sent_ms = app.clock.now_ms();
        if !pushes
            .data(push.seq, sent_ms, push.age_ms, &push.data)
            .await
        {
            return Ok(());
        }
    }
    Err(Problem::new(
        axum::http::StatusCode::SERVICE_UNAVAILABLE,
        "the live query has ended",
    )
    .hint("the server is stopping; the page connects again by itself"))
}

async fn follow_topic(
    app: &App,
    pushes: &Pushes,
    topic: &str,
    partition: Option<i32>,
    contains: Option<String>,
) -> Result<(), Problem> {
    let info = app.bus.topic(topic).await.map_err(bus_problem)?;
    let mut partitions = all_partitions(topic, info.partitions);
    if let Some(wanted) = partition {
        partitions.retain(|p| p.partition.0 == wanted);
        if partitions.is_empty() {
            return Err(Problem::bad_request(format!(
                "topic {topic} has no partition {wanted}"
            )));
        }
    }
    let ends = app
        .bus
        .offsets(&partitions, OffsetAt::LatestStable)
        .await
        .map_err(bus_problem)?;
    let start: Vec<_> = partitions.into_iter().zip(ends).collect();
    let mut reader = app
        .bus
        .reader(&start, Isolation::ReadCommitted)
        .await
        .map_err(bus_problem)?;
    let filter = Filter::new(contains.as_deref());
    let mut seq = 0;
    loop {
        let (messages, skipped, scanned) = tail_once(&mut *reader, &filter).await?;
        if scanned == 0 {
            continue;
        }
        seq += 1;
        let sent_ms = app.clock.now_ms();
        let newest_ms = messages.iter().map(|m| m.timestamp_ms).max();
        let data =
            json!({ "messages": messages, "skipped": skipped, "scanned": scanned }).to_string();
        let age_ms = newest_ms.map(|n| (sent_ms - n).max(0) as f64);
        let share = app.views.tail(data.len()).await;
        if !pushes.shared(seq, sent_ms, age_ms, &data, share).await {
            return Ok(());
        }
        tokio::time::sleep(TAIL_PUSH_MIN).await;
    }
}

/// What one poll brought: the newest messages that match, how many more did,
/// how many were looked at.
async fn tail_once(
    reader: &mut dyn BusReader,
    filter: &Filter,
) -> Result<(Vec<show::Message>, usize, usize), Problem> {
    let fetched = reader
        .poll(Duration::from_secs(5), 1 << 20)
        .await
        .map_err(bus_problem)?;
    let scanned = fetched.iter().map(|f| f.records.len()).sum();
    let mut messages: Vec<_> = fetched
        .iter()
        .flat_map(|f| {
            f.records
                .iter()
                .map(move |r| (f.topic_partition.partition.0, r))
        })
        .filter(|(_, r)| filter.matches(r))
        .collect();
    messages.sort_by_key(|(partition, r)| (r.timestamp_ms, *partition, r.offset));
    let skipped = messages.len().saturating_sub(TAIL_MESSAGES_MAX);
    let mut shown: Vec<_> = messages
        .drain(skipped..)
        .map(|(p, r)| message(p, r, TAIL_SHOWN))
        .collect();
    shown.extend(fetched.iter().flat_map(unreadable).take(TAIL_MESSAGES_MAX));
    Ok((shown, skipped, scanned))
}
