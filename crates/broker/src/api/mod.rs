//! One file per Kafka API, and the one list of them.
//!
//! To add an API: write `api/<name>.rs` with a type that implements
//! [`Handler`], and add one line to [`APIS`]. ApiVersions, dispatch, metrics
//! and documentation follow from the list.
//!
//! Order on one connection: [`Handler::handle`] of a request has returned
//! before that of the next one starts, so effects happen in the order of the
//! requests, as Kafka promises. What a handler only waits for (a sync, more
//! records, other members of a group) belongs into [`Answer::Later`]: it goes
//! on while later requests of the connection are handled, and the responses
//! still leave in request order.
//!
//! A request's byte fields are slices of its frame: copy what is kept for
//! longer than the request, or it keeps the whole frame in memory.

mod api_versions;
mod registry;

pub(crate) use api_versions::unsupported_version as unsupported_api_versions;
pub use registry::{Api, Handler};
pub(crate) use registry::{CallError, RawAnswer};

use futures::future::BoxFuture;
use millstream_wire::ApiKey;
use registry::api;

/// Every API that this broker serves, by number.
pub static APIS: &[Api] = &[
    api::<api_versions::ApiVersions>(), // 18
];

/// The API of this number, if it is served.
pub fn find(key: ApiKey) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

/// What a handler gives back.
pub enum Answer<R> {
    /// The response.
    Now(R),
    /// The response, when something that was waited for has happened. All
    /// effects whose order matters have been started. Is dropped, not
    /// finished, when the connection ends; is first polled when all earlier
    /// responses of the connection have left.
    Later(BoxFuture<'static, R>),
    /// No response is expected (Produce with acks=0).
    None,
    /// The request cannot be answered: the connection is closed, for this
    /// reason.
    Close(String),
}

impl<R> Answer<R> {
    /// An answer that is waited for.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<R> From<R> for Answer<R> {
    fn from(response: R) -> Self {
        Self::Now(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_asks_only_for_versions_that_wire_has() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in APIS {
            let versions = api.key.info().versions;
            assert!(versions.contains(&api.version_min), "{}", api.key);
            assert!(versions.contains(&api.version_max), "{}", api.key);
            assert!(api.announced_from <= api.version_min && api.version_min <= api.version_max);
        }
    }
}
