//! SaslHandshake (key 17): chooses a SASL mechanism.

crate::message! {
    /// Chooses a SASL mechanism: what the client asks.
    pub struct SaslHandshakeRequest(0-1) {
        /// SASL mechanism.
        mechanism: String [0+],
    }
}

crate::message! {
    /// What the broker answers to [`SaslHandshakeRequest`].
    pub struct SaslHandshakeResponse(0-1) {
        /// Error code, see [`ErrorCode`](crate::ErrorCode); 0 is none.
        error_code: i16 [0+],
        /// SASL mechanisms that are allowed.
        mechanisms: Vec<String> [0+],
    }
}
