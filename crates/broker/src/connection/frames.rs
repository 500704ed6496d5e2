//! Requests out of a byte stream.
//!
//! Cancel-safe: what was read stays in the buffer when a read is dropped.

use bytes::{Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Smallest frame: a request header of version 0 (key, version, correlation).
const FRAME_BYTES_MIN: usize = 8;
/// Slower than this a frame is given up.
const FRAME_BYTES_PER_S_MIN: usize = 256 * 1024;
/// Room in the buffer when no frame has begun: a small request whole. Every
/// silent connection holds this much, and a large frame's beginning is copied
/// once when its length is known, so more would cost both.
const READ_AHEAD_BYTES: usize = 2 * 1024;

/// A request frame, and the part of the node's budget that it holds until it
/// has been answered.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) body: Bytes,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Why no frame came out.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {length} bytes: {min} to {max} are accepted", min = FRAME_BYTES_MIN)]
    Length { length: i64, max: usize },
    #[error("the peer stalled in the middle of a frame for {0:?}")]
    Stalled(Duration),
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames.
pub(super) struct FrameReader<S> {
    stream: S,
    buffer: BytesMut,
    budget: Arc<Semaphore>,
    frame_bytes_max: usize,
    stall_max: Duration,
}

impl<S: AsyncRead + Unpin> FrameReader<S> {
    pub(super) fn new(
        stream: S,
        budget: Arc<Semaphore>,
        frame_bytes_max: usize,
        stall_max: Duration,
    ) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            budget,
            frame_bytes_max,
            stall_max,
        }
    }

    /// Waits for the first byte of the next frame; false at a clean end.
    pub(super) async fn wait(&mut self) -> Result<bool, FrameError> {
        if self.buffer.is_empty() {
            self.buffer.reserve(READ_AHEAD_BYTES);
            return Ok(self.stream.read_buf(&mut self.buffer).await? > 0);
        }
        Ok(true)
    }

    /// Reads the frame that has begun.
    pub(super) async fn next(&mut self) -> Result<Frame, FrameError> {
        self.fill(LENGTH_BYTES).await?;
        let length = self.length()?;
        // Bounded by frame_bytes_max, which the budget is never below.
        let permits = u32::try_from(length).unwrap_or(u32::MAX);
        // Holding back here, before the body is read, is the back-pressure.
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(permits)
            .await
            .map_err(io::Error::other)?;
        // Progress byte by byte must not hold the budget for ever.
        let time_max =
            self.stall_max + Duration::from_secs((length / FRAME_BYTES_PER_S_MIN) as u64);
        tokio::time::timeout(time_max, self.fill(LENGTH_BYTES + length))
            .await
            .map_err(|_| FrameError::Stalled(time_max))??;
        let mut frame = self.buffer.split_to(LENGTH_BYTES + length);
        let body = frame.split_off(LENGTH_BYTES).freeze();
        Ok(Frame { body, permit })
    }

    fn length(&self) -> Result<usize, FrameError> {
        let max = self.frame_bytes_max;
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Err(FrameError::Truncated);
        };
        let claimed = i32::from_be_bytes(*prefix);
        usize::try_from(claimed)
            .ok()
            .filter(|length| (FRAME_BYTES_MIN..=max).contains(length))
            .ok_or(FrameError::Length {
                length: claimed.into(),
                max,
            })
    }

    /// Reads until the buffer holds `bytes`.
    async fn fill(&mut self, bytes: usize) -> Result<(), FrameError> {
        while self.buffer.len() < bytes {
            self.buffer.reserve(bytes - self.buffer.len());
            let read = self.stream.read_buf(&mut self.buffer);
            match tokio::time::timeout(self.stall_max, read).await {
                Ok(Ok(0)) => return Err(FrameError::Truncated),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(FrameError::Stalled(self.stall_max)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn reader(bytes: &[u8], max: usize) -> FrameReader<&[u8]> {
        FrameReader::new(
            bytes,
            Arc::new(Semaphore::new(1 << 20)),
            max,
            Duration::from_secs(5),
        )
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as i32).to_be_bytes()[..], body].concat()
    }

    #[tokio::test]
    async fn frames_come_out_one_by_one_and_the_end_is_clean() {
        let bytes = [frame(&[1; 8]), frame(&[2; 300])].concat();
        let mut reader = reader(&bytes, 1024);
        for expected in [vec![1; 8], vec![2; 300]] {
            assert!(reader.wait().await.unwrap());
            assert_eq!(reader.next().await.unwrap().body, expected);
        }
        assert!(!reader.wait().await.unwrap());
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_are_refused_before_anything_is_allocated() {
        for length in [-1i32, 0, 7, 1025, i32::MAX] {
            let bytes = length.to_be_bytes();
            let mut reader = reader(&bytes, 1024);
            let error = reader.next().await.unwrap_err();
            assert!(
                matches!(error, FrameError::Length { .. }),
                "{length}: {error}"
            );
            assert!(reader.buffer.capacity() < 1024);
        }
    }

    #[tokio::test]
    async fn a_frame_that_ends_early_is_an_error() {
        let bytes = &frame(&[1; 100])[..50];
        assert!(matches!(
            reader(bytes, 1024).next().await,
            Err(FrameError::Truncated)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stalls_in_a_frame_is_given_up() {
        let (client, server) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(
            server,
            Arc::new(Semaphore::new(1024)),
            1024,
            Duration::from_secs(5),
        );
        assert!(matches!(reader.next().await, Err(FrameError::Stalled(_))));
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_byte_by_byte_is_given_up() {
        let (mut client, server) = tokio::io::duplex(64);
        let stall_max = Duration::from_secs(5);
        let mut reader = FrameReader::new(server, Arc::new(Semaphore::new(1024)), 1024, stall_max);
        let trickle = async {
            client.write_all(&1024i32.to_be_bytes()).await.unwrap();
            while client.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = trickle => panic!("the reader has gone"),
            frame = reader.next() => assert!(matches!(frame, Err(FrameError::Stalled(_)))),
        }
    }

    #[tokio::test]
    async fn a_frame_waits_until_the_budget_has_room() {
        let bytes = [frame(&[1; 600]), frame(&[2; 600])].concat();
        let budget = Arc::new(Semaphore::new(1000));
        let mut reader = FrameReader::new(
            &bytes[..],
            Arc::clone(&budget),
            1000,
            Duration::from_secs(5),
        );
        let first = reader.next().await.unwrap();
        assert!(futures::poll!(std::pin::pin!(reader.next())).is_pending());
        drop(first);
        assert_eq!(reader.next().await.unwrap().body, vec![2; 600]);
    }
}
