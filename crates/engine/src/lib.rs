//! The streaming engine: operators, time, state, epochs, jobs
