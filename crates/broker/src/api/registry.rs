//! What an API is, and how a frame becomes a call.

use super::Answer;
use crate::state::RequestContext;
use futures::future::BoxFuture;
use millstream_wire::codec::{DecodeError, EncodeError};
use millstream_wire::frame::{Frame, RequestFrame, encode_response};
use millstream_wire::{ApiKey, Message, Request};
use std::ops::RangeInclusive;

/// One Kafka API: its number and versions are in the type.
pub trait Handler: Send + Sync + 'static {
    /// What comes in; names the API and its response.
    type Request: Request<Response: Send> + Send;
    /// The versions served.
    const VERSIONS: RangeInclusive<i16>;
    /// The lowest version announced, where a client must be told of more than
    /// is served.
    const ANNOUNCED_FROM: i16 = *Self::VERSIONS.start();

    /// Handles one request. Per-item errors go into the response; see
    /// [`Answer::Close`] for a request that has none.
    fn handle(
        context: RequestContext,
        request: Self::Request,
    ) -> impl Future<Output = Answer<<Self::Request as Request>::Response>> + Send;
}

type Call = fn(RequestContext, RequestFrame) -> BoxFuture<'static, Result<RawAnswer, CallError>>;

/// One API, its types erased.
pub struct Api {
    /// Its number.
    pub key: ApiKey,
    /// Lowest version announced.
    pub announced_from: i16,
    /// Lowest version served.
    pub version_min: i16,
    /// Highest version served.
    pub version_max: i16,
    pub(crate) call: Call,
}

/// What a call gives back to the connection.
pub(crate) enum RawAnswer {
    Now(Frame),
    Later(BoxFuture<'static, Result<Frame, EncodeError>>),
    None,
    Close(String),
}

/// Why a call could not be made or answered. The connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the request could not be decoded: {0}")]
    Decode(#[from] DecodeError),
    #[error("the response could not be encoded: {0}")]
    Encode(#[from] EncodeError),
}

pub(super) const fn api<H: Handler>() -> Api {
    Api {
        key: <H::Request as Request>::KEY,
        announced_from: H::ANNOUNCED_FROM,
        version_min: *H::VERSIONS.start(),
        version_max: *H::VERSIONS.end(),
        call: |context, frame| Box::pin(call::<H>(context, frame)),
    }
}

async fn call<H: Handler>(
    context: RequestContext,
    mut frame: RequestFrame,
) -> Result<RawAnswer, CallError> {
    let (version, correlation_id) = (frame.header.api_version, frame.header.correlation_id);
    // Bytes after the request are let go, as Kafka does: librdkafka sends
    // three of them behind a Metadata request for all topics.
    let request = H::Request::decode(version, &mut frame.body)?;
    Ok(match H::handle(context, request).await {
        Answer::Now(response) => {
            RawAnswer::Now(encode_response(&response, version, correlation_id)?)
        }
        Answer::Later(response) => RawAnswer::Later(Box::pin(async move {
            encode_response(&response.await, version, correlation_id)
        })),
        Answer::None => RawAnswer::None,
        Answer::Close(reason) => RawAnswer::Close(reason),
    })
}
