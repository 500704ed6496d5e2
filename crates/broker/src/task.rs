//! Starting work in order, and finishing it whatever happens to whoever asked.

use futures::future::BoxFuture;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::Poll;
use tokio::runtime::Handle;

/// Runs `work` up to its first wait and gives the rest. Requests of one
/// connection take effect in their order this way, though their answers are
/// waited for later.
pub(crate) async fn started<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, T> {
    let mut work: BoxFuture<'static, T> = Box::pin(work);
    match poll_once(&mut work).await {
        Poll::Ready(value) => Box::pin(ready(value)),
        Poll::Pending => work,
    }
}

/// Runs `work` to its end even if the caller is dropped; up to its first wait
/// at once, so that order is kept, then on `runtime`: the caller's own may be
/// the engine's, which ends before the broker's. None when the work panicked.
pub(crate) async fn detached<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let mut work: BoxFuture<'static, T> = Box::pin(work);
    match poll_once(&mut work).await {
        Poll::Ready(value) => Some(value),
        Poll::Pending => runtime.spawn(work).await.ok(),
    }
}

async fn poll_once<T>(work: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Poll<T> {
    std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn started_work_has_run_up_to_its_first_wait() {
        let began = Arc::new(AtomicBool::new(false));
        let (tell, told) = oneshot::channel::<i32>();
        let flag = Arc::clone(&began);
        let rest = started(async move {
            flag.store(true, Ordering::SeqCst);
            told.await
        })
        .await;
        assert!(began.load(Ordering::SeqCst));
        tell.send(7).unwrap();
        assert_eq!(rest.await, Ok(7));
    }

    #[tokio::test]
    async fn detached_work_ends_though_its_caller_is_dropped() {
        let (tell, told) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel::<()>();
        let work = async move {
            told.await.unwrap();
            done.send(()).unwrap();
        };
        let caller = tokio::spawn(async move { detached(&Handle::current(), work).await });
        tokio::task::yield_now().await;
        caller.abort();
        let _ = caller.await;
        tell.send(()).unwrap();
        assert!(is_done.await.is_ok());
    }
}
