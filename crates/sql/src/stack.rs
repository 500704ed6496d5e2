//! A stack of known size for the recursive parts: parser and planner recurse
//! over what the text nests, and a thread of an async runtime has little
//! stack. The depth itself is bounded by the parser.

use crate::error::{Position, SqlError};
use crate::functions::guard::Guard;

/// Enough for the deepest text that the parser lets through, in a build
/// without optimisation.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// Runs on a thread with that stack and waits for it. The pages are only
/// touched by deep texts.
pub(crate) fn on_large_stack<T, F>(work: F) -> Result<T, SqlError>
where
    T: Send,
    F: FnOnce() -> Result<T, SqlError> + Send,
{
    // What the caller may take holds for the thread that works for it.
    let guard = Guard::current();
    let work = || match guard {
        Some(guard) => guard.scope(work),
        None => work(),
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("sql-plan".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|e| {
                SqlError::at(Position::START, format!("the planner could not start: {e}"))
            })?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
