//! Errors of provider calls.

/// Why a provider call has no definite result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Timeout, connection error, server error or unreadable response: the request may have
    /// succeeded.
    #[error("no response from the provider: {0}")]
    Indeterminate(String),
    /// The provider does not process this request now: rate limit (429), or a request under the
    /// same key is in progress (409). Says nothing about earlier requests.
    #[error("the provider does not accept the request at the moment: {0}")]
    Busy(String),
    /// The provider rejects our credentials (401, 403): this request had no effect. Says nothing
    /// about earlier requests.
    #[error("the provider rejected the credentials: {0}")]
    CredentialsRejected(String),
    /// The idempotency key was used for another request: this request had no effect.
    #[error("the idempotency key belongs to another request: {0}")]
    KeyMismatch(String),
    /// The response stored under the idempotency key is a server error. The provider repeats it
    /// until the key expires.
    #[error("the provider repeats a stored server error: {0}")]
    StoredFailure(String),
    /// The provider rejects the request as invalid: a bug in this code. Says nothing about earlier
    /// requests.
    #[error("the provider rejected the request: {0}")]
    Rejected(String),
}
