//! The trait of all who move the money; which one does is a matter of configuration.

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
/// The same id asked for twice must do a thing once: it is the provider's idempotency key. What the
/// provider did not clearly say is a [`ProviderError`], never a guess.
pub trait PaymentProvider: Send + Sync {
    /// Its name, as it is stored.
    fn name(&self) -> &'static str;

    /// Whether real money moves.
    fn is_live(&self) -> bool;

    /// Charges a card, or returns the outcome of an earlier request with the same key.
    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>>;

    /// Where the provider returns customers to. It is recorded in each attempt, because it is part
    /// of the request under its key.
    fn return_url(&self) -> Option<&str> {
        None
    }

    /// Voids a charge that may still be on its way: takes its idempotency key for a request that
    /// charges nothing, so that the provider refuses the charge should it arrive later. Safe to
    /// repeat. The key must be younger than 23 hours.
    fn void_unsent<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>>;

    /// The outcome of a charge, from a list of what the provider created around the time of
    /// sending. Slower than `retrieve`, and independent of a search index. `None`: the list does
    /// not contain it.
    fn find_by_time<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>>;

    /// The outcome of a charge; `None` if the provider has no record of it.
    fn retrieve<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>>;

    /// Calls off a charge that waits for its customer. Where it has come to an end meanwhile that
    /// end is the answer.
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

    /// The refund with the provider's name `provider_refund_id`; `None` if it does not exist or
    /// refunds another shop's charge.
    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>>;

    /// The dispute with the provider's name `dispute_id`; `None` if it does not exist or disputes
    /// another shop's charge.
    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>>;

    /// The event in a request that claims to come from the provider, if it is signed with `secret`;
    /// `None` if its body has another shape than the provider's events. A provider that sends no
    /// events rejects every request.
    ///
    /// # Errors
    /// Why the request is not the provider's.
    fn webhook_event(
        &self,
        _request: &WebhookRequest<'_>,
        _secret: &str,
    ) -> Result<Option<WebhookEvent>, WebhookError> {
        Err(WebhookError::BadSignature(BadSignature::Missing))
    }
}
