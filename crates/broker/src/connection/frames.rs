//! Requests out of a byte stream.
//!
//! Cancel-safe: what was read stays in the buffer when a read is dropped.
//! What a frame holds of the node's memory is in [`super::budget`].

use super::ConnectionLimits;
use super::budget::{Charge, Grown, RequestBudget, SMALL_FRAME_BYTES, STEP_BYTES};
use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Smallest frame: a request header of version 0 (key, version, correlation).
const FRAME_BYTES_MIN: usize = 8;
/// Slower than this a frame is given up.
const FRAME_BYTES_PER_S_MIN: usize = 256 * 1024;
/// Room for the first read of a frame, at least: a small request whole.
const READ_AHEAD_BYTES_MIN: usize = 2 * 1024;
/// The same at most, for a peer that sends as much at once: requests that come
/// together in one read, and no frame that is copied when its length is known.
/// What exceeds [`SMALL_FRAME_BYTES`] is charged for.
const READ_AHEAD_BYTES_MAX: usize = 256 * 1024;

/// A request frame, and the part of the node's budget that it holds until it
/// has been answered.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) body: Bytes,
    pub(super) charge: Charge,
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

/// A stream that tells when there is something to read, so that nothing need
/// be kept ready for it.
pub(super) trait Readable: AsyncRead + Unpin {
    /// Waits until a read is worth trying.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
}

impl Readable for OwnedReadHalf {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.readable()
    }
}

/// Reads frames.
pub(super) struct FrameReader<S> {
    stream: S,
    buffer: BytesMut,
    /// Room for what comes next, judged by what came last.
    read_ahead_bytes: usize,
    /// What was charged for that, until a large frame takes it over.
    ahead: Charge,
    ahead_bytes: usize,
    budget: Arc<RequestBudget>,
    frame_bytes_max: usize,
    stall_max: Duration,
    stall_pressed_max: Duration,
    /// Largest frame that has come whole: room for as much is reserved at
    /// once, which a claim alone never brings about.
    frame_bytes_seen: usize,
    window: Window,
}

/// The time in which the last bytes of a frame came that are enough at the
/// lowest rate.
struct Window {
    began: Instant,
    bytes: usize,
}

impl Window {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes: 0,
        }
    }

    fn arrived(&mut self, bytes: usize, length: Duration) {
        self.bytes += bytes;
        let enough = length.as_secs_f64() * FRAME_BYTES_PER_S_MIN as f64;
        if self.bytes as f64 >= enough {
            *self = Self::new();
        }
    }
}

impl<S: Readable> FrameReader<S> {
    pub(super) fn new(stream: S, budget: Arc<RequestBudget>, limits: &ConnectionLimits) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            read_ahead_bytes: READ_AHEAD_BYTES_MIN,
            ahead: Charge::default(),
            ahead_bytes: 0,
            budget,
            frame_bytes_max: limits.request_bytes_max,
            stall_max: limits.read_stall_max,
            stall_pressed_max: limits.read_stall_pressed_max.min(limits.read_stall_max),
            frame_bytes_seen: 0,
            window: Window::new(),
        }
    }

    /// Waits for the first byte of the next frame; false at a clean end.
    pub(super) async fn wait(&mut self) -> Result<bool, FrameError> {
        if self.buffer.is_empty() {
            // A silent connection holds no memory for what it may send.
            self.buffer = BytesMut::new();
            drop(self.take_ahead());
            self.stream.readable().await?;
            let room = self.read_ahead();
            self.buffer.reserve(room);
            let read = self.read(room).await?;
            self.read_ahead_bytes = ahead_of(read);
            return Ok(read > 0);
        }
        Ok(true)
    }

    /// Room for what comes next, charged for if it is more than each
    /// connection may hold beside the budget.
    fn read_ahead(&mut self) -> usize {
        let room = self.read_ahead_bytes;
        if room <= SMALL_FRAME_BYTES {
            return room;
        }
        if !self.budget.try_grow(&mut self.ahead, room) {
            return SMALL_FRAME_BYTES;
        }
        self.ahead_bytes = room;
        room
    }

    fn take_ahead(&mut self) -> (Charge, usize) {
        let charge = std::mem::take(&mut self.ahead);
        (charge, std::mem::take(&mut self.ahead_bytes))
    }

    /// What each connection may hold beside the budget needs no charge, so
    /// that a peer which stalls now holds none.
    fn give_back_ahead(&mut self, held_max: usize) {
        if self.buffer.len() <= held_max {
            drop(self.take_ahead());
        }
    }

    /// Reads at most so many bytes into the room that there is.
    async fn read(&mut self, bytes_max: usize) -> io::Result<usize> {
        let mut room = (&mut self.buffer).limit(bytes_max);
        self.stream.read_buf(&mut room).await
    }

    /// Reads the frame that has begun.
    pub(super) async fn next(&mut self) -> Result<Frame, FrameError> {
        let patience = Instant::now() + self.stall_max;
        self.give_back_ahead(LENGTH_BYTES - 1);
        self.fill(LENGTH_BYTES, patience, None).await?;
        let length = self.length()?;
        let total = LENGTH_BYTES + length;
        let charge = if total <= SMALL_FRAME_BYTES {
            self.give_back_ahead(SMALL_FRAME_BYTES);
            self.fill(total, patience, None).await?;
            // Holding back here is the back-pressure.
            self.budget.small(length).await.map_err(io::Error::other)?
        } else {
            self.fill_large(total).await?
        };
        self.frame_bytes_seen = self.frame_bytes_seen.max(total);
        self.read_ahead_bytes = self.read_ahead_bytes.max(ahead_of(total));
        let mut frame = self.buffer.split_to(total);
        let body = frame.split_off(LENGTH_BYTES).freeze();
        Ok(Frame { body, charge })
    }

    /// Reads a large frame, charging for it as it arrives. What has arrived is
    /// kept while it waits for room: not reading on is the back-pressure.
    async fn fill_large(&mut self, total: usize) -> Result<Charge, FrameError> {
        let budget = Arc::clone(&self.budget);
        let mut pressure = budget.waiting();
        let (mut charge, mut charged) = self.take_ahead();
        // Progress byte by byte must not hold the budget for ever.
        let mut patience = Instant::now() + self.stall_max + at_least_rate(total);
        let mut turn = None;
        self.window = Window::new();
        while charged < total || self.buffer.len() < total {
            let goal = total.min(self.buffer.len().saturating_mul(2).max(STEP_BYTES));
            if charged < goal && turn.is_none() {
                let step = goal - charged;
                if budget.try_grow(&mut charge, step) {
                    charged = goal;
                } else {
                    let began = Instant::now();
                    let grown = budget.grow(&mut charge, step, total - charged).await;
                    // The time that we let it wait is not the peer's.
                    patience += began.elapsed();
                    self.window = Window::new();
                    match grown.map_err(io::Error::other)? {
                        Grown::Step => charged = goal,
                        Grown::Whole(held) => {
                            turn = Some(held);
                            charged = total;
                            // Others stand behind it.
                            let hurried = self.stall_pressed_max + at_least_rate(total);
                            patience = patience.min(Instant::now() + hurried);
                        }
                    }
                }
            }
            self.fill(charged.min(total), patience, Some(&mut pressure))
                .await?;
        }
        Ok(charge)
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

    /// Reads until the buffer holds `bytes`, with no pause longer than
    /// `stall_max`; while others wait for room, at the lowest rate at least
    /// in each `stall_pressed_max`.
    async fn fill(
        &mut self,
        bytes: usize,
        patience: Instant,
        mut pressure: Option<&mut watch::Receiver<usize>>,
    ) -> Result<(), FrameError> {
        while self.buffer.len() < bytes {
            let room = bytes.max(self.frame_bytes_seen.min(bytes.saturating_mul(2)));
            self.buffer.reserve(room - self.buffer.len());
            let more = bytes - self.buffer.len() + SMALL_FRAME_BYTES;
            let (stall_max, pressed_max) = (self.stall_max, self.stall_pressed_max);
            let now = Instant::now();
            let judged_at = self.window.began + pressed_max;
            let stalled = async {
                let stalled = tokio::time::sleep_until(patience.min(now + stall_max));
                match pressure.as_deref_mut() {
                    None => stalled.await,
                    Some(waiting) => tokio::select! {
                        () = stalled => {}
                        () = async {
                            tokio::time::sleep_until(judged_at).await;
                            // The sender lives in the budget, which we hold.
                            let _ = waiting.wait_for(|n| *n > 0).await;
                        } => {}
                    },
                }
            };
            tokio::select! {
                biased;
                read = self.read(more) => match read? {
                    0 => return Err(FrameError::Truncated),
                    read => self.window.arrived(read, pressed_max),
                },
                () = stalled => return Err(FrameError::Stalled(now.elapsed())),
            }
            if Instant::now() > patience {
                return Err(FrameError::Stalled(stall_max));
            }
        }
        Ok(())
    }
}

/// Room for the next read after one, or a frame, of so many bytes.
fn ahead_of(bytes: usize) -> usize {
    bytes
        .saturating_mul(2)
        .clamp(READ_AHEAD_BYTES_MIN, READ_AHEAD_BYTES_MAX)
}

/// How long a frame may take at the lowest rate.
fn at_least_rate(bytes: usize) -> Duration {
    Duration::from_secs((bytes / FRAME_BYTES_PER_S_MIN) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    impl Readable for &[u8] {
        async fn readable(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Always worth trying: a read waits by itself.
    impl Readable for tokio::io::DuplexStream {
        async fn readable(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader(bytes: &[u8], max: usize) -> FrameReader<&[u8]> {
        with_budget(bytes, 1 << 20, max)
    }

    fn with_budget<S: Readable>(stream: S, total: usize, max: usize) -> FrameReader<S> {
        let limits = ConnectionLimits {
            request_bytes_max: max,
            read_stall_max: Duration::from_secs(5),
            read_stall_pressed_max: Duration::from_secs(1),
            ..Default::default()
        };
        FrameReader::new(stream, Arc::new(RequestBudget::new(total, max)), &limits)
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
    async fn a_peer_gets_room_for_as_much_as_it_sends_at_once() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = with_budget(server, 8 * MIB, MIB);
        let budget = Arc::clone(&reader.budget);
        for (length, at_once) in [
            (100, READ_AHEAD_BYTES_MIN),
            (40_000, READ_AHEAD_BYTES_MIN),
            (40_000, 80_008),
            (200_000, 160_016),
            (200_000, READ_AHEAD_BYTES_MAX),
            (100, READ_AHEAD_BYTES_MAX),
            (40_000, READ_AHEAD_BYTES_MIN),
        ] {
            let frames = [frame(&vec![1; length]), frame(&vec![2; length])].concat();
            client.write_all(&frames).await.unwrap();
            assert!(reader.wait().await.unwrap());
            let read = reader.buffer.len();
            assert_eq!(read, at_once.min(frames.len()), "of frames of {length}");
            for content in [1, 2] {
                assert!(reader.wait().await.unwrap());
                let frame = reader.next().await.unwrap();
                assert_eq!(frame.body, vec![content; length]);
                assert!(budget.held() >= length, "a frame is charged for");
            }
        }
    }

    #[tokio::test]
    async fn a_silent_connection_holds_neither_memory_nor_budget() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut reader = with_budget(server.into_split().0, 8 * MIB, MIB);
        let budget = Arc::clone(&reader.budget);
        for _ in 0..3 {
            client.write_all(&frame(&[1; 100_000])).await.unwrap();
            assert!(reader.wait().await.unwrap());
            drop(reader.next().await.unwrap());
            let silent = tokio::time::timeout(Duration::from_millis(10), reader.wait());
            assert!(silent.await.is_err(), "there is nothing to read");
            assert_eq!((reader.buffer.capacity(), budget.held()), (0, 0));
        }
    }

    #[tokio::test]
    async fn without_room_in_the_budget_nothing_is_read_ahead_for_a_large_frame() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = with_budget(server, 8 * MIB, MIB);
        reader.read_ahead_bytes = READ_AHEAD_BYTES_MAX;
        let mut others = Charge::default();
        let budget = Arc::clone(&reader.budget);
        while budget.try_grow(&mut others, STEP_BYTES) {}
        client.write_all(&frame(&[1; 100_000])).await.unwrap();
        assert!(reader.wait().await.unwrap());
        assert_eq!(reader.buffer.len(), SMALL_FRAME_BYTES);
        drop(others);
        assert_eq!(reader.next().await.unwrap().body.len(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stalls_before_a_length_holds_no_room_for_what_it_sent_before() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = with_budget(server, 8 * MIB, MIB);
        let budget = Arc::clone(&reader.budget);
        client.write_all(&frame(&[1; 100_000])).await.unwrap();
        assert!(reader.wait().await.unwrap());
        drop(reader.next().await.unwrap());
        for stalls_after in [&[0u8][..], &[0, 0, 100, 0, 1]] {
            client.write_all(stalls_after).await.unwrap();
            assert!(reader.wait().await.unwrap());
            assert!(futures::poll!(std::pin::pin!(reader.next())).is_pending());
            assert_eq!(budget.held(), 0);
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
        let mut reader = with_budget(server, 1024, 1024);
        assert!(matches!(reader.next().await, Err(FrameError::Stalled(_))));
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_byte_by_byte_is_given_up() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut reader = with_budget(server, 1024, 1024);
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
        let mut reader = with_budget(&bytes[..], 1000, 1000);
        let first = reader.next().await.unwrap();
        assert!(futures::poll!(std::pin::pin!(reader.next())).is_pending());
        drop(first);
        assert_eq!(reader.next().await.unwrap().body, vec![2; 600]);
    }

    const MIB: usize = 1024 * 1024;

    /// A peer that claims the largest frame and sends a part of it.
    async fn claim(budget: &Arc<RequestBudget>, sent: usize) -> (tokio::io::DuplexStream, Reading) {
        let (mut client, server) = tokio::io::duplex(4 * MIB);
        let mut reader = with_budget(server, 0, MIB);
        reader.budget = Arc::clone(budget);
        client.write_all(&(MIB as i32).to_be_bytes()).await.unwrap();
        client.write_all(&vec![0; sent]).await.unwrap();
        // An answer gives back what the frame held.
        let read = async move { reader.next().await.map(|frame| frame.body.len()) };
        (client, tokio::spawn(read))
    }

    type Reading = tokio::task::JoinHandle<Result<usize, FrameError>>;

    #[tokio::test(start_paused = true)]
    async fn a_claim_holds_no_more_than_has_arrived() {
        let budget = Arc::new(RequestBudget::new(8 * MIB, MIB));
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(claim(&budget, 0).await);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (_client, honest) = claim(&budget, MIB).await;
        assert_eq!(honest.await.unwrap().unwrap(), MIB);
        assert!(budget.held() <= 20 * STEP_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stalls_is_given_up_early_when_others_wait_for_its_room() {
        let budget = Arc::new(RequestBudget::new(4 * MIB, MIB));
        let mut silent = Vec::new();
        // Until one of them is the one that finishes in the reserve, and
        // stalls there.
        while *budget.waiting().borrow() == 0 {
            silent.push(claim(&budget, MIB / 2).await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        let mut honest = Vec::new();
        for _ in 0..8 {
            honest.push(claim(&budget, MIB).await);
        }
        for (_client, frame) in honest {
            assert_eq!(frame.await.unwrap().unwrap(), MIB);
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "before the stall limit"
        );
    }
}
