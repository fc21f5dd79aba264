//! Why a provider gave no fact.

/// Why there is no fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// A timeout, a broken connection, a server error, an answer that cannot be read: it may have
    /// happened or not.
    #[error("the provider gave no answer: {0}")]
    Indeterminate(String),
    /// The provider answers, but not this request now: too many requests (429), or one under the
    /// same key is running (409). It says nothing about what an earlier request did.
    #[error("the provider does not take the request now: {0}")]
    Busy(String),
    /// The provider rejects our credentials (401, 403): this request did nothing. It says nothing
    /// about what an earlier request did.
    #[error("the provider rejects our credentials: {0}")]
    CredentialsRejected(String),
    /// The idempotency key belongs to another request: this request did nothing.
    #[error("the idempotency key belongs to another request: {0}")]
    KeyMismatch(String),
    /// The answer stored under the idempotency key is a server error: it is repeated as long as the
    /// key is remembered.
    #[error("the answer stored under the key is a server error: {0}")]
    StoredFailure(String),
    /// The provider refuses our request as such: a mistake of ours. It says nothing about what an
    /// earlier request did.
    #[error("the provider refuses the request: {0}")]
    Rejected(String),
}
