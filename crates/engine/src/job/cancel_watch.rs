//! An evaluation that ends with its job.

use millstream_sql::functions::guard::Guard;
use tokio_util::sync::CancellationToken;

/// Cancels the guard with the job, from another thread than the one that
/// evaluates.
pub(super) struct CancelWatch(tokio::task::JoinHandle<()>);

impl CancelWatch {
    pub(super) fn new(cancel: &CancellationToken, guard: &Guard) -> Self {
        let (cancel, guard) = (cancel.clone(), guard.clone());
        Self(tokio::spawn(async move {
            cancel.cancelled().await;
            guard.cancel();
        }))
    }
}

impl Drop for CancelWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
