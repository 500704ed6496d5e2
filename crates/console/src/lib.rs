//! The console: HTTP API, WebSocket, embedded web app
