//! SaslAuthenticate (key 36): carries the messages of a SASL mechanism.

use bytes::Bytes;

crate::message! {
    /// Carries the messages of a SASL mechanism: what the client asks.
    pub struct SaslAuthenticateRequest(0-2, flexible 2+) {
        /// Bytes of the SASL mechanism.
        auth_bytes: Bytes [0+],
    }
}

crate::message! {
    /// What the broker answers to [`SaslAuthenticateRequest`].
    pub struct SaslAuthenticateResponse(0-2, flexible 2+) {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// The error in words, or null.
        error_message: Option<String> [0+, nullable(0+), default(Some(String::new()))],
        /// Bytes of the SASL mechanism.
        auth_bytes: Bytes [0+],
        /// Milliseconds after which to authenticate again; 0 for never (KIP-368).
        session_lifetime_ms: i64 [1+, ignorable],
    }
}
