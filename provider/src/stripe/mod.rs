//! Stripe: a charge is a payment intent, created and confirmed in one request, with the payment id
//! as its idempotency key.
//!
//! Only this module interprets Stripe's responses:
//!
//! - A declined card or an invalid token is a definite result.
//! - 401 and 403 (invalid API key) mean that the request had no effect.
//! - Another invalid request, such as an unknown parameter, is a bug in this code.
//! - 409 and 429 mean "retry later".
//! - Everything else, including an unreadable response, is indeterminate.
//!
//! Amounts need no conversion: Stripe's smallest units are the minor units of every currency that
//! the shop accepts.
//!
//! Refunds and disputes are in `refunds`, webhooks in `webhook`, the statement in `statement`.

mod client;
mod refunds;
mod statement;
mod voiding;
pub(crate) mod webhook;

use reqwest::StatusCode;
use serde_json::Value;
use shared::{
    BoxFuture,
    ids::{OrderId, PrefixedId},
    money::{Currency, Money},
    secret::Secrets,
};

use self::client::{Client, Response, error_from, name, optional, text};
use crate::{
    charge::{ChargeRequest, KeyState, NextAction, ProviderResult},
    dispute::ProviderDispute,
    error::ProviderError,
    payment_provider::PaymentProvider,
    refund::{ProviderRefund, RefundRequest, RefundResult},
    webhook::{WebhookError, WebhookEvent, WebhookRequest},
};

pub use statement::StripeStatement;
#[cfg(feature = "api-document")]
pub use webhook::SignatureHeader;

#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// Base URL of the API: `https://api.stripe.com`.
    pub base: String,
    /// URL to which Stripe redirects customers from its own pages.
    pub return_url: Option<String>,
    /// Whether real money moves. An API key of the other mode is rejected.
    pub live: bool,
}

pub struct Stripe {
    return_url: Option<String>,
    live: bool,
    client: Client,
}

impl Stripe {
    /// Authenticates with the API key in `secrets`.
    pub fn new(settings: StripeSettings, secrets: Secrets) -> Self {
        let StripeSettings { base, return_url, live } = settings;
        Self { return_url, live, client: Client::new(base, secrets).with_live_mode(live) }
    }

    /// Starts at most `calls_per_second` calls per second. Waiting counts against the caller's
    /// timeout.
    #[must_use]
    pub fn with_rate_limit(self, calls_per_second: u32) -> Self {
        Self { client: self.client.with_rate_limit(calls_per_second), ..self }
    }

    async fn charge_card(&self, request: &ChargeRequest) -> Result<ProviderResult, ProviderError> {
        let (amount, currency) =
            (request.amount.amount.to_string(), request.amount.currency.code().to_lowercase());
        let (order_id, payment_id) = (request.order_id.to_string(), request.payment_id.to_string());
        let mut form = vec![
            ("amount", &*amount),
            ("currency", &currency),
            ("confirm", "true"),
            ("payment_method_types[0]", "card"),
            ("metadata[order_id]", &order_id),
            ("metadata[payment_id]", &payment_id),
            ("metadata[trace_id]", request.trace.id()),
        ];
        match request.token.as_str() {
            token if token.starts_with("tok_") => {
                form.extend([
                    ("payment_method_data[type]", "card"),
                    ("payment_method_data[card][token]", token),
                ]);
            }
            method => form.push(("payment_method", method)),
        }
        if let Some(url) = &request.return_url {
            form.push(("return_url", url));
        }
        charge_result(
            &self.client.post("/v1/payment_intents", &form, Some(&payment_id)).await?,
            request.amount.currency,
        )
    }

    /// The intent of a payment, found by Stripe's id if known, else by ours.
    async fn intent(&self, request: &ChargeRequest) -> Result<Option<Value>, ProviderError> {
        if let Some(id) = &request.transaction_id {
            return optional(self.client.get(&format!("/v1/payment_intents/{id}"), &[]).await?);
        }
        self.client.intent_of(&request.payment_id.to_string()).await
    }

    async fn cancel_intent(
        &self,
        request: &ChargeRequest,
    ) -> Result<ProviderResult, ProviderError> {
        let intent = self.intent(request).await?.ok_or_else(|| {
            ProviderError::Indeterminate("it shows no such intent yet".to_owned())
        })?;
        let id = text(&intent["id"]);
        let (status, cancelled) =
            self.client.post(&format!("/v1/payment_intents/{id}/cancel"), &[], None).await?;
        if status.is_success() {
            return intent_result(&cancelled, request.amount.currency);
        }
        if status != StatusCode::BAD_REQUEST {
            return Err(error_from(status, &cancelled));
        }
        // The intent has finished meanwhile: return its outcome.
        let intent = optional(self.client.get(&format!("/v1/payment_intents/{id}"), &[]).await?)?;
        intent_result(
            &intent.ok_or_else(|| error_from(status, &cancelled))?,
            request.amount.currency,
        )
    }
}

impl PaymentProvider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn is_live(&self) -> bool {
        self.live
    }

    fn return_url(&self) -> Option<&str> {
        self.return_url.as_deref()
    }

    fn void_unsent<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(self.void_key(request))
    }

    fn find_by_time<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(self.find_in_list(request))
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.charge_card(request))
    }

    fn retrieve<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(async move {
            self.intent(request)
                .await?
                .map(|intent| intent_result(&intent, request.amount.currency))
                .transpose()
        })
    }

    fn cancel<'a>(
        &'a self,
        request: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.cancel_intent(request))
    }

    fn refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<RefundResult, ProviderError>> {
        Box::pin(self.create_refund(request))
    }

    fn retrieve_refund<'a>(
        &'a self,
        request: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<Option<RefundResult>, ProviderError>> {
        Box::pin(self.fetch_refund(request))
    }

    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(self.fetch_refund_by_id(provider_refund_id))
    }

    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>> {
        Box::pin(self.fetch_dispute(dispute_id))
    }

    fn webhook_event(
        &self,
        request: &WebhookRequest<'_>,
        secret: &str,
    ) -> Result<Option<WebhookEvent>, WebhookError> {
        webhook::event(request, secret)
    }
}

/// Maps a response to the result of the charge.
fn charge_result(
    (status, document): &Response,
    currency: Currency,
) -> Result<ProviderResult, ProviderError> {
    if status.is_success() {
        return intent_result(document, currency);
    }
    let error = &document["error"];
    let (code, parameter) = (text(&error["code"]), text(&error["param"]));
    // Only these parameters contain the customer's token. An error in another one, such as
    // `payment_method_types[0]`, is a bug in this code.
    let names_the_token =
        parameter == "payment_method" || parameter.starts_with("payment_method_data[card]");
    let is_the_token =
        matches!(status.as_u16(), 400 | 404) && (names_the_token || code == "token_already_used");
    match status.as_u16() {
        402 => Ok(ProviderResult::Declined { reason: decline_reason(error) }),
        _ if is_the_token => {
            Ok(ProviderResult::Declined { reason: "invalid_payment_method".to_owned() })
        }
        400 if matches!(code, "amount_too_small" | "amount_too_large") => {
            Ok(ProviderResult::Declined { reason: code.to_owned() })
        }
        _ => Err(error_from(*status, document)),
    }
}

/// Maps a payment intent to the result of the charge. `currency` is the requested currency.
fn intent_result(intent: &Value, currency: Currency) -> Result<ProviderResult, ProviderError> {
    let transaction_id = text(&intent["id"]).to_owned();
    if transaction_id.is_empty() {
        return Err(ProviderError::Indeterminate("response is not a payment intent".to_owned()));
    }
    match text(&intent["status"]) {
        "succeeded" => {
            let amount = intent["amount_received"].as_i64().or(intent["amount"].as_i64());
            let amount = amount.ok_or_else(|| {
                ProviderError::Indeterminate("it did not say how much it charged".to_owned())
            })?;
            let order_id = OrderId::parse(text(&intent["metadata"]["order_id"]));
            // The shop never requests a currency that it does not accept, so this charge is not for
            // one of our orders.
            let charge_currency = Currency::parse(&text(&intent["currency"]).to_uppercase()).ok();
            let order_id = order_id.filter(|_| charge_currency.is_some());
            Ok(ProviderResult::Succeeded {
                transaction_id,
                amount: Money::new(amount, charge_currency.unwrap_or(currency)),
                order_id,
            })
        }
        "requires_action" | "requires_source_action" => {
            let action = &intent["next_action"];
            let url = action["redirect_to_url"]["url"]
                .as_str()
                .or(action["use_stripe_sdk"]["stripe_js"].as_str());
            let next_action = NextAction { url: url.unwrap_or_default().to_owned() };
            Ok(ProviderResult::ActionRequired { transaction_id, next_action })
        }
        // Without an error the intent is not confirmed yet: the confirming call may be in progress.
        "requires_payment_method" | "requires_source"
            if intent["last_payment_error"].is_object() =>
        {
            Ok(ProviderResult::Declined { reason: decline_reason(&intent["last_payment_error"]) })
        }
        "canceled" => Ok(ProviderResult::Abandoned { reason: "cancelled" }),
        "requires_payment_method"
        | "requires_source"
        | "processing"
        | "requires_confirmation"
        | "requires_capture" => Ok(ProviderResult::Processing { transaction_id }),
        _ => Err(ProviderError::Indeterminate(
            "it answered a status that is not known here".to_owned(),
        )),
    }
}

fn decline_reason(error: &Value) -> String {
    name(text(&error["decline_code"]), text(&error["code"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

    fn usd() -> Currency {
        Currency::parse("USD").expect("a currency")
    }

    fn intent(status: &str) -> Value {
        json!({ "id": "pi_1", "object": "payment_intent", "status": status, "amount": 5998, "amount_received": 5998, "currency": "usd",
            "metadata": { "order_id": ORDER } })
    }

    fn with(mut document: Value, pointer: &str, value: Value) -> Value {
        document[pointer] = value;
        document
    }

    fn answer(status: u16, document: Value) -> Response {
        (StatusCode::from_u16(status).expect("a status"), document)
    }

    fn succeeded(amount: i64, currency: &str, order_id: Option<&str>) -> ProviderResult {
        let amount = Money::new(amount, Currency::parse(currency).expect("a currency"));
        ProviderResult::Succeeded {
            transaction_id: "pi_1".to_owned(),
            amount,
            order_id: order_id.and_then(OrderId::parse),
        }
    }

    #[test]
    fn payment_intent_status_maps_to_provider_result() {
        let declined = |reason: &str| ProviderResult::Declined { reason: reason.to_owned() };
        let action_at = |url: &str| ProviderResult::ActionRequired {
            transaction_id: "pi_1".to_owned(),
            next_action: NextAction { url: url.to_owned() },
        };
        let redirect = json!({ "type": "redirect_to_url", "redirect_to_url": { "url": "https://hooks.stripe.com/3ds" } });
        let no_funds = json!({ "code": "card_declined", "decline_code": "insufficient_funds" });
        for (document, result) in [
            (intent("succeeded"), succeeded(5998, "USD", Some(ORDER))),
            (
                with(intent("succeeded"), "amount_received", json!(1)),
                succeeded(1, "USD", Some(ORDER)),
            ),
            (
                with(intent("succeeded"), "currency", json!("jpy")),
                succeeded(5998, "JPY", Some(ORDER)),
            ),
            (with(intent("succeeded"), "currency", json!("xyz")), succeeded(5998, "USD", None)),
            (with(intent("succeeded"), "metadata", json!({})), succeeded(5998, "USD", None)),
            (
                with(intent("requires_action"), "next_action", redirect),
                action_at("https://hooks.stripe.com/3ds"),
            ),
            (intent("requires_action"), action_at("")),
            (
                with(intent("requires_payment_method"), "last_payment_error", no_funds),
                declined("insufficient_funds"),
            ),
            (
                with(intent("requires_payment_method"), "last_payment_error", json!({})),
                declined("card_declined"),
            ),
            (
                intent("requires_payment_method"),
                ProviderResult::Processing { transaction_id: "pi_1".to_owned() },
            ),
            (intent("canceled"), ProviderResult::Abandoned { reason: "cancelled" }),
            (
                intent("processing"),
                ProviderResult::Processing { transaction_id: "pi_1".to_owned() },
            ),
        ] {
            assert_eq!(intent_result(&document, usd()), Ok(result), "{document}");
        }
        for malformed in [
            json!({}),
            json!([]),
            json!(null),
            intent("superseded"),
            with(intent("succeeded"), "id", json!(5)),
        ] {
            assert!(
                matches!(intent_result(&malformed, usd()), Err(ProviderError::Indeterminate(_))),
                "{malformed}"
            );
        }
    }

    #[test]
    fn only_card_errors_are_declines() {
        let error = |members: Value| json!({ "error": members });
        let declined = |reason: &str| Ok(ProviderResult::Declined { reason: reason.to_owned() });
        let card = |code: &str| {
            error(json!({ "type": "card_error", "code": "card_declined", "decline_code": code }))
        };
        assert_eq!(charge_result(&answer(402, card("lost_card")), usd()), declined("lost_card"));
        assert_eq!(
            charge_result(&answer(402, error(json!({ "code": "expired_card" }))), usd()),
            declined("expired_card")
        );
        assert_eq!(charge_result(&answer(402, card("Ada <b>")), usd()), declined("card_declined"));
        let refused = |code: &str, parameter: &str| {
            error(json!({ "type": "invalid_request_error", "code": code, "param": parameter }))
        };
        for (code, parameter) in [
            ("resource_missing", "payment_method"),
            ("resource_missing", "payment_method_data[card][token]"),
            ("token_already_used", "source"),
        ] {
            assert_eq!(
                charge_result(&answer(400, refused(code, parameter)), usd()),
                declined("invalid_payment_method"),
                "{parameter}"
            );
        }
        for parameter in [
            "payment_method_types[0]",
            "payment_method_data[type]",
            "payment_method_options",
            "payment_methods",
            "return_url",
        ] {
            let answer =
                charge_result(&answer(400, refused("parameter_unknown", parameter)), usd());
            assert!(
                matches!(answer, Err(ProviderError::Rejected(_))),
                "{parameter} is ours: {answer:?}"
            );
        }
        let ours = error(
            json!({ "type": "invalid_request_error", "code": "parameter_unknown", "param": "colour" }),
        );
        let what = |status| charge_result(&answer(status, ours.clone()), usd());
        assert!(
            [400, 404]
                .into_iter()
                .all(|status| matches!(what(status), Err(ProviderError::Rejected(_))))
        );
        assert!(
            [401, 403]
                .into_iter()
                .all(|status| matches!(what(status), Err(ProviderError::CredentialsRejected(_))))
        );
        assert!(
            [409, 425, 429]
                .into_iter()
                .all(|status| matches!(what(status), Err(ProviderError::Busy(_))))
        );
        for status in [300, 408, 500, 502, 503, 504] {
            assert!(matches!(what(status), Err(ProviderError::Indeterminate(_))), "{status}");
        }
        // With an invalid API key the parameter does not matter.
        let token = refused("resource_missing", "payment_method");
        assert!(matches!(
            charge_result(&answer(401, token), usd()),
            Err(ProviderError::CredentialsRejected(_))
        ));
        let other_body = error(json!({ "type": "idempotency_error" }));
        assert!(matches!(
            charge_result(&answer(400, other_body), usd()),
            Err(ProviderError::KeyMismatch(_))
        ));
    }
}
