//! Cluster metadata as a replicated state machine on openraft
