//! The console: HTTP API, WebSocket, embedded web app.
//!
//! | module | what |
//! |---|---|
//! | [`routes`] | every path of the API |
//! | [`http`] | the listener and its bounds |
//! | [`documents`] | the pages' documents, made once a second at most |
//! | `deletion` | a topic that is not in use is deleted |
//! | [`live`] | the WebSocket |
//! | [`messages`] | records for people |
//! | [`sql`] | the port to the engine |
//! | [`engine`] | its implementation |
//! | [`guard`] | who may talk to it through a browser |
//! | [`assets`] | the web app |
//! | [`problem`] | errors |
//!
//! Invariants: the app is a client of the API and of nothing else; no page
//! costs the broker anything per viewer; a viewer that does not read costs
//! one bounded queue.

pub mod assets;
mod deletion;
pub mod documents;
pub mod engine;
pub mod guard;
pub mod http;
pub mod live;
pub mod messages;
pub mod problem;
pub mod reads;
pub mod routes;
pub mod sql;
