//! The trait of payment providers. The environment selects the implementation.

use shared::BoxFuture;

use crate::{
    charge::{ChargeRequest, KeyState, ProviderResult},
    dispute::ProviderDispute,
    error::ProviderError,
    refund::{ProviderRefund, RefundRequest, RefundResult},
    webhook::{BadSignature, WebhookError, WebhookEvent, WebhookRequest},
};

/// A payment provider: charges cards and refunds charges.
///
/// The id of each request is its idempotency key: a repeated request has one effect. An ambiguous
/// response is a [`ProviderError`], never a guess.
pub trait PaymentProvider: Send + Sync {
    /// The provider's name in stored records.
    fn name(&self) -> &'static str;

    /// Whether real money moves.
    fn is_live(&self) -> bool;

    /// Charges a card, or returns the outcome of an earlier request with the same key.
    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>>;

    /// URL to which the provider redirects customers. Stored with each attempt, because it is part
    /// of the request under the idempotency key.
    fn return_url(&self) -> Option<&str> {
        None
    }

    /// Voids a charge that may still be in transit. Sends a request under the same idempotency key
    /// that charges nothing, so that the provider rejects the charge if it arrives later. Safe to
    /// repeat. The key must be younger than 23 hours.
    fn void_unsent<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>>;

    /// Finds a charge in the list of what the provider created around the time of sending. Slower
    /// than `retrieve`, but independent of a search index. `None` if the list does not contain it.
    fn find_by_time<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>>;

    /// The outcome of a charge; `None` if the provider has no record of it.
    fn retrieve<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>>;

    /// Cancels a charge that waits for its customer. If the charge has finished meanwhile, returns
    /// its outcome.
    fn cancel<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>>;

    /// Refunds an amount, or returns the outcome of an earlier request with the same key.
    fn refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<RefundResult, ProviderError>>;

    /// The outcome of a refund; `None` if the provider has no record of it.
    fn retrieve_refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<Option<RefundResult>, ProviderError>>;

    /// The refund with the provider's id `provider_refund_id`; `None` if it does not exist or
    /// belongs to another shop's charge.
    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>>;

    /// The dispute with the provider's id `dispute_id`; `None` if it does not exist or belongs to
    /// another shop's charge.
    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>>;

    /// Verifies a webhook request with `secret` and parses its event; `None` if the body does not
    /// have the shape of the provider's events. A provider without webhooks rejects every request.
    ///
    /// # Errors
    /// [`WebhookError`] if the secret is unreadable or the signature is invalid.
    fn webhook_event(
        &self,
        _request: &WebhookRequest<'_>,
        _secret: &str,
    ) -> Result<Option<WebhookEvent>, WebhookError> {
        Err(WebhookError::BadSignature(BadSignature::Missing))
    }
}
