//! Operations: Prometheus metrics, lag, health
