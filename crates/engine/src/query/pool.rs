//! Threads for whatever people ask, apart from those of the jobs.
//!
//! Planning, reading and computing of ad-hoc and live queries happen here and
//! nowhere else, one query on one thread at a time. Each thread drives a
//! runtime of its own, so that what DataFusion spawns stays on it, under the
//! query's guard. Whoever waits for a query gives up at its time limit or
//! goes away; either sets the guard, at which loops look.
//!
//! Queries that run once and live ones wait in lines of their own, and neither
//! kind gets the last thread while it has another: slow queries do not stop
//! the dashboards, nor the reverse.

use super::QueryError;
use millstream_sql::functions::guard::Guard;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Stack of a thread: DataFusion recurses over plans and expressions. Pages
/// that are not touched cost nothing.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// How many queries run and wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    /// Queries that run at a time, at least 1; 0 is one more than the cores.
    pub threads: usize,
    /// Queries that wait for a thread, at least 1; one more is refused. Live
    /// queries do not count: their number has a bound of its own.
    pub waiting_max: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            waiting_max: 64,
        }
    }
}

/// Which line a query waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Someone waits for the answer; refused when the line is full.
    Once = 0,
    /// A run of a live query, or a step of what feeds it.
    Live = 1,
}

const LINES: [Line; 2] = [Line::Once, Line::Live];

/// The threads; dropping it ends them.
pub(crate) struct QueryPool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    waiting_max: usize,
    bytes_max: usize,
    /// Queries of one line that run at a time.
    line_max: usize,
}

#[derive(Default)]
struct State {
    waiting: [VecDeque<Entry>; 2],
    running: [HashMap<u64, Cancel>; 2],
    last_id: u64,
    /// The line whose turn it is.
    turn: usize,
    stopped: bool,
}

struct Entry {
    cancel: Cancel,
    work: Work,
}

type Work = Box<dyn FnOnce(&Runtime) + Send>;

/// Ends a query: the guard for loops, the token for what waits.
#[derive(Clone)]
struct Cancel {
    guard: Guard,
    token: CancellationToken,
}

impl Cancel {
    fn cancel(&self) {
        self.guard.cancel();
        self.token.cancel();
    }
}

/// Cancels when whoever waits for the answer goes.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryPool {
    /// Starts the threads. What functions make for one query takes at most
    /// `bytes_max` at a time.
    pub(crate) fn start(name: &str, options: &PoolOptions, bytes_max: usize) -> io::Result<Self> {
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from) + 1,
            threads => threads,
        };
        let pool = Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                wake: Condvar::new(),
                waiting_max: options.waiting_max,
                bytes_max,
                line_max: threads.saturating_sub(1).max(1),
            }),
        };
        for _ in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let runtime = Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new()
                .name(name.to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || shared.serve(&runtime))?;
        }
        Ok(pool)
    }

    /// Runs `work` on one of the threads and waits for it, at most `time_max`
    /// for its turn and as long again for its end. Dropping the future ends
    /// it.
    pub(crate) async fn run<T, F>(
        &self,
        line: Line,
        time_max: Duration,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let cancel = Cancel {
            guard: Guard::new(self.shared.bytes_max),
            token: CancellationToken::new(),
        };
        let (began, has_begun) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let Cancel { guard, token } = cancel.clone();
        let work = move |runtime: &Runtime| {
            let _ = began.send(());
            let run = async {
                tokio::select! {
                    biased;
                    () = token.cancelled() => None,
                    result = async { work().await } => Some(result),
                }
            };
            // Around the runtime: what the query spawns is under it too.
            let result = guard.scope(|| runtime.block_on(run));
            // What it spawned and was aborted is dropped when the runtime
            // turns once more, with all that it holds.
            runtime.block_on(tokio::task::yield_now());
            if let Some(result) = result {
                let _ = done.send(result);
            }
        };
        self.shared.submit(
            line,
            Entry {
                cancel: cancel.clone(),
                work: Box::new(work),
            },
        )?;
        let _cancel = CancelOnDrop(cancel.clone());
        let waits = tokio::time::timeout(time_max, has_begun);
        match waits.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(QueryError::Stopping),
            Err(_) => return Err(QueryError::Busy),
        }
        match tokio::time::timeout(time_max, is_done).await {
            // Also where it found out by itself, and failed.
            Ok(_) if cancel.guard.is_cancelled() => Err(QueryError::Stopping),
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(QueryError::Broken),
            Err(_) => Err(QueryError::Timeout(time_max)),
        }
    }

    /// How many queries have a thread now.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.shared
            .state
            .lock()
            .running
            .iter()
            .map(HashMap::len)
            .sum()
    }

    /// Ends all queries, soon, and refuses new ones. Waits for nobody: a
    /// thread that does not look at its guard ends with the process.
    pub(crate) fn shutdown(&self) {
        let mut state = self.shared.state.lock();
        state.stopped = true;
        state.waiting.iter_mut().for_each(VecDeque::clear);
        state
            .running
            .iter()
            .flat_map(HashMap::values)
            .for_each(Cancel::cancel);
        self.shared.wake.notify_all();
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    fn submit(&self, line: Line, entry: Entry) -> Result<(), QueryError> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(QueryError::Stopping);
        }
        let waiting = &mut state.waiting[line as usize];
        // Those whose callers have gone make room.
        waiting.retain(|entry| !entry.cancel.guard.is_cancelled());
        if line == Line::Once && waiting.len() >= self.waiting_max.max(1) {
            return Err(QueryError::Busy);
        }
        waiting.push_back(entry);
        self.wake.notify_one();
        Ok(())
    }

    fn serve(&self, runtime: &Runtime) {
        while let Some((line, id, entry)) = self.take() {
            if !entry.cancel.guard.is_cancelled() {
                let run = AssertUnwindSafe(|| (entry.work)(runtime));
                if catch_unwind(run).is_err() {
                    tracing::error!("a query panicked; its thread goes on");
                }
            }
            self.state.lock().running[line as usize].remove(&id);
            // Another thread may have waited for the line's room.
            self.wake.notify_one();
        }
    }

    /// The next query; waits for one. `None` at the end.
    fn take(&self) -> Option<(Line, u64, Entry)> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(next) = state.next(self.line_max) {
                return Some(next);
            }
            self.wake.wait(&mut state);
        }
    }
}

impl State {
    fn next(&mut self, line_max: usize) -> Option<(Line, u64, Entry)> {
        let turn = self.turn;
        let line = (0..LINES.len())
            .map(|i| LINES[(turn + i) % LINES.len()])
            .find(|line| {
                let line = *line as usize;
                !self.waiting[line].is_empty() && self.running[line].len() < line_max
            })?;
        let entry = self.waiting[line as usize].pop_front()?;
        self.turn = (line as usize + 1) % LINES.len();
        self.last_id += 1;
        self.running[line as usize].insert(self.last_id, entry.cancel.clone());
        Some((line, self.last_id, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(3600);

    fn pool(threads: usize, waiting_max: usize) -> Arc<QueryPool> {
        let options = PoolOptions {
            threads,
            waiting_max,
        };
        Arc::new(QueryPool::start("test", &options, 1 << 20).unwrap())
    }

    /// A query that never yields, and looks at its guard.
    fn spin() -> std::future::Ready<()> {
        while millstream_sql::functions::guard::check().is_ok() {
            std::thread::yield_now();
        }
        std::future::ready(())
    }

    /// Starts one that never yields; returns when it runs.
    async fn occupy(
        pool: &Arc<QueryPool>,
        line: Line,
    ) -> tokio::task::JoinHandle<Result<(), QueryError>> {
        let (began, has_begun) = oneshot::channel();
        let own = Arc::clone(pool);
        let task = tokio::spawn(async move {
            let work = move || {
                let _ = began.send(());
                spin()
            };
            own.run(line, LONG, work).await
        });
        has_begun.await.unwrap();
        task
    }

    #[tokio::test]
    async fn a_query_that_never_yields_ends_at_its_time_limit() {
        let pool = pool(1, 8);
        let limit = Duration::from_millis(20);
        let error = pool.run(Line::Once, limit, spin).await.unwrap_err();
        assert!(matches!(error, QueryError::Timeout(_)), "{error}");
        // The only thread is free again.
        let answer = pool.run(Line::Once, LONG, || async { 7 }).await;
        assert_eq!(answer.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_query_whose_caller_goes_away_frees_its_thread() {
        let pool = pool(1, 8);
        let running = occupy(&pool, Line::Once).await;
        running.abort();
        let answer = pool.run(Line::Once, LONG, || async { 7 }).await;
        assert_eq!(answer.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_query_that_waits_for_something_ends_with_its_caller() {
        let pool = pool(1, 8);
        let (gone, is_gone) = mpsc::channel::<()>();
        let wait = pool.run(Line::Once, Duration::from_millis(20), move || async move {
            let _held = gone;
            std::future::pending::<()>().await;
        });
        assert!(matches!(wait.await, Err(QueryError::Timeout(_))));
        let ended = tokio::task::spawn_blocking(move || is_gone.recv());
        assert!(ended.await.unwrap().is_err(), "what it held is dropped");
    }

    #[tokio::test]
    async fn one_query_too_many_is_refused_and_those_who_left_make_room() {
        let pool = pool(1, 1);
        let running = occupy(&pool, Line::Once).await;
        let own = Arc::clone(&pool);
        let waits = tokio::spawn(async move { own.run(Line::Once, LONG, || async {}).await });
        while pool.shared.state.lock().waiting[0].is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(Line::Once, LONG, || async {}).await;
        assert!(matches!(refused, Err(QueryError::Busy)));
        waits.abort();
        let _ = waits.await;
        let own = Arc::clone(&pool);
        let next = tokio::spawn(async move { own.run(Line::Once, LONG, || async { 7 }).await });
        running.abort();
        assert_eq!(next.await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn slow_queries_leave_a_thread_to_the_other_line() {
        let pool = pool(3, 8);
        let slow = [
            occupy(&pool, Line::Once).await,
            occupy(&pool, Line::Once).await,
        ];
        let own = Arc::clone(&pool);
        let third = tokio::spawn(async move { own.run(Line::Once, LONG, || async {}).await });
        let live = pool.run(Line::Live, LONG, || async { 7 }).await;
        assert_eq!(live.unwrap(), 7);
        assert_eq!(pool.shared.state.lock().running[0].len(), 2);
        slow.iter().for_each(|task| task.abort());
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_panic_ends_its_query_and_not_the_thread() {
        let pool = pool(1, 8);
        let work = || -> std::future::Ready<()> { panic!("as intended") };
        let error = pool.run(Line::Once, LONG, work).await.unwrap_err();
        assert!(matches!(error, QueryError::Broken), "{error}");
        let answer = pool.run(Line::Once, LONG, || async { 7 }).await;
        assert_eq!(answer.unwrap(), 7);
    }

    #[tokio::test]
    async fn shutdown_ends_what_runs_and_what_waits() {
        let pool = pool(1, 8);
        let running = occupy(&pool, Line::Once).await;
        let own = Arc::clone(&pool);
        let waits = tokio::spawn(async move { own.run(Line::Once, LONG, || async {}).await });
        while pool.shared.state.lock().waiting[0].is_empty() {
            tokio::task::yield_now().await;
        }
        pool.shutdown();
        assert!(matches!(waits.await.unwrap(), Err(QueryError::Stopping)));
        // Its guard is set: it ended by itself.
        let _ = running.await.unwrap();
        let refused = pool.run(Line::Once, LONG, || async {}).await;
        assert!(matches!(refused, Err(QueryError::Stopping)));
    }
}
