//! A client that gives up in trouble.

use crate::disk::Disk;
use crate::support::{Client, PATIENCE};
use millstream_wire::frame::decode_response;
use millstream_wire::{ErrorCode, Request};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often it looks whether the power has gone, and how long an answer may
/// take that was on its way then.
const LOOK: Duration = Duration::from_millis(10);
/// For so long it comes again after errors of the disk: what has stopped stays
/// so until the next start.
const TROUBLED_PATIENCE: Duration = Duration::from_millis(300);

/// Asks, and says where it is when something is wrong.
pub(crate) struct Asking {
    client: Client,
    disk: Disk,
    pub(crate) at: String,
}

impl Asking {
    pub(crate) async fn connect(address: SocketAddr, disk: &Disk, at: &str) -> Self {
        Self {
            client: Client::connect(address).await,
            disk: disk.clone(),
            at: at.to_owned(),
        }
    }

    /// The answer; `None` when the power has gone and none came.
    async fn answer<R: Request>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        let id = self.client.send(request, version).await;
        let began = Instant::now();
        loop {
            let was_off = self.disk.is_off();
            match tokio::time::timeout(LOOK, self.client.frame()).await {
                Ok(Some(frame)) => {
                    let (found, response) = decode_response::<R>(frame, version).unwrap();
                    assert_eq!(found, id, "{}", self.at);
                    return Some(response);
                }
                Ok(None) => panic!("{}: the connection was closed", self.at),
                Err(_) if was_off => return None,
                Err(_) => assert!(began.elapsed() < PATIENCE, "{}: no answer", self.at),
            }
        }
    }

    /// The answer when it is a good one. One that says to come again is asked
    /// for again; any other error is a failure, unless there is trouble.
    pub(crate) async fn ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        error_of: impl Fn(&R::Response) -> i16,
    ) -> Option<R::Response> {
        let allowed = self.ask_allowing(request, version, error_of, &[]).await?;
        Some(allowed.expect("no error is allowed"))
    }

    /// As [`Self::ask`], with errors that may be.
    pub(crate) async fn ask_allowing<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        error_of: impl Fn(&R::Response) -> i16,
        may_be: &[ErrorCode],
    ) -> Option<Result<R::Response, ErrorCode>> {
        let began = Instant::now();
        loop {
            let response = self.answer(request, version).await?;
            let code = ErrorCode::from(error_of(&response));
            match code {
                ErrorCode::None => return Some(Ok(response)),
                code if may_be.contains(&code) => return Some(Err(code)),
                _ if self.disk.is_off() => return None,
                ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::NotCoordinator
                | ErrorCode::ConcurrentTransactions
                | ErrorCode::RebalanceInProgress
                | ErrorCode::UnstableOffsetCommit => {
                    if self.disk.is_troubled() && began.elapsed() > TROUBLED_PATIENCE {
                        return None;
                    }
                    assert!(began.elapsed() < PATIENCE, "{}: {code:?} for ever", self.at);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                _ if self.disk.is_troubled() => return None,
                code => panic!("{}: {code:?}", self.at),
            }
        }
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.disk.is_troubled()
    }
}
