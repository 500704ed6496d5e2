//! One connection that speaks the protocol itself, one request at a time.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use millstream_wire::api::Request;
use millstream_wire::frame::{decode_response, encode_request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWER_BYTES_MAX: usize = 1 << 20;
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection.
pub struct Socket(TcpStream);

impl Socket {
    /// Connects; requests leave at once.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a request and waits for its answer.
    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        let bytes = encode_request(request, version, 1, Some("load"))?.to_bytes()?;
        self.call_encoded::<R>(&bytes, version).await
    }

    /// The same with a request that was encoded before.
    pub async fn call_encoded<R: Request>(
        &mut self,
        request: &Bytes,
        version: i16,
    ) -> Result<R::Response> {
        self.0.write_all(request).await?;
        let bytes = tokio::time::timeout(ANSWER_MAX, self.answer())
            .await
            .with_context(|| format!("no answer to a {}", R::KEY))??;
        Ok(decode_response::<R>(bytes, version)?.1)
    }

    async fn answer(&mut self) -> Result<Bytes> {
        let length = usize::try_from(self.0.read_i32().await?)?;
        if length > ANSWER_BYTES_MAX {
            bail!("an answer of {length} bytes");
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    }
}
