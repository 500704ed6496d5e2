//! The bytes of one response on their way into a socket: from memory, and
//! from files without being read.

use bytes::{Buf, Bytes};
use millstream_log::FileRange;
use millstream_wire::codec::{Elsewhere, Payload};
use millstream_wire::frame::Frame;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pieces given to one vectored write.
const WRITE_SLICES_MAX: usize = 64;

/// Bytes of a response that are in a file.
#[derive(Debug)]
pub(crate) struct InFile {
    pub(crate) range: FileRange,
    /// Given up when the bytes have been sent.
    pub(crate) held: Arc<dyn Debug + Send + Sync>,
}

impl Elsewhere for InFile {
    fn size_bytes(&self) -> usize {
        self.range.size
    }

    fn read(&self) -> io::Result<Bytes> {
        self.range.read()
    }
}

/// What is left of a response.
pub(super) struct Sending {
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces.
    left: usize,
}

enum Piece {
    Memory(Bytes),
    File {
        range: FileRange,
        _held: Arc<dyn Debug + Send + Sync>,
    },
}

impl Sending {
    pub(super) fn new(response: Frame) -> io::Result<Self> {
        let left = response.size_bytes();
        let pieces = response.into_chunks().into_iter().map(|chunk| match chunk {
            Payload::Here(bytes) => Ok(Piece::Memory(bytes)),
            Payload::Elsewhere(elsewhere) => {
                match (&*elsewhere as &dyn Any).downcast_ref::<InFile>() {
                    Some(in_file) => Ok(Piece::File {
                        range: in_file.range.clone(),
                        _held: Arc::clone(&in_file.held),
                    }),
                    None => elsewhere.read().map(Piece::Memory),
                }
            }
        });
        Ok(Self {
            pieces: pieces.collect::<io::Result<_>>()?,
            left,
        })
    }

    /// Bytes that the socket has not taken.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Waits until the socket takes some, and hands it over. Cancel-safe.
    pub(super) async fn some(&mut self, socket: &TcpStream) -> io::Result<()> {
        let sent = socket
            .async_io(Interest::WRITABLE, || match self.pieces.front() {
                Some(Piece::File { range, .. }) => {
                    range
                        .file
                        .send_to(socket.as_fd(), range.position, range.size)
                }
                Some(Piece::Memory(_)) => socket.try_write_vectored(&self.slices()),
                None => Ok(0),
            })
            .await;
        let sent = match sent {
            Err(error) if is_unsupported(&error) => return self.read_front(),
            sent => sent?,
        };
        if sent == 0 {
            // Of a file: it is shorter than what was to be sent of it.
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(sent);
        Ok(())
    }

    /// Reads the file's piece at the front, where its file system knows no
    /// `sendfile`.
    fn read_front(&mut self) -> io::Result<()> {
        match self.pieces.front_mut() {
            Some(front @ Piece::File { .. }) => {
                if let Piece::File { range, .. } = front {
                    *front = Piece::Memory(range.read()?);
                }
                Ok(())
            }
            Some(Piece::Memory(_)) | None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The pieces in memory at the front.
    fn slices(&self) -> Vec<io::IoSlice<'_>> {
        let in_memory = self.pieces.iter().map_while(|piece| match piece {
            Piece::Memory(bytes) => Some(io::IoSlice::new(bytes)),
            Piece::File { .. } => None,
        });
        in_memory.take(WRITE_SLICES_MAX).collect()
    }

    fn advance(&mut self, mut sent: usize) {
        self.left = self.left.saturating_sub(sent);
        while let Some(piece) = self.pieces.front_mut() {
            let size = match piece {
                Piece::Memory(bytes) => bytes.len(),
                Piece::File { range, .. } => range.size,
            };
            if size > sent {
                match piece {
                    Piece::Memory(bytes) => bytes.advance(sent),
                    Piece::File { range, .. } => {
                        range.position += sent as u64;
                        range.size -= sent;
                    }
                }
                return;
            }
            sent -= size;
            self.pieces.pop_front();
        }
    }
}

/// `sendfile` says EINVAL where a file system has no way to do it.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}
