//! Stripe: a charge is a payment intent that is made and confirmed in one request, under the payment's id as its idempotency key.
//!
//! What Stripe says is read here and nowhere else. A refusal of the card is a fact; so is a refusal of the token. A wrong key (401, 403)
//! means that the request did nothing. A refusal of our request as such (a parameter that is not known) is a mistake of ours. 409 and 429
//! mean "not now". Everything else, answers that cannot be read included, is no answer. Amounts need no conversion: Stripe's smallest units are the minor units of every currency that the shop trades in.
//!
//! Refunds and disputes are read in [`refunds`], events in [`webhook`], the statement in [`statement`].

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

use self::client::{Answer, Client, found, name, text, trouble};
use crate::{
    charge::{ChargeOrder, Fact, KeyState, NextAction},
    dispute::DisputeFact,
    error::ProviderError,
    payment_provider::PaymentProvider,
    refund::{ProviderRefund, RefundFact, RefundOrder},
    webhook::{WebhookError, WebhookEvent, WebhookRequest},
};

pub use statement::StripeStatement;
#[cfg(feature = "api-document")]
pub use webhook::SignatureHeader;

/// Where Stripe is, and what it is asked for.
#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// Its address: `https://api.stripe.com`.
    pub base: String,
    /// Where customers come back to from Stripe's own pages.
    pub return_url: Option<String>,
    /// Whether real money is to move. A key that says otherwise is not used.
    pub live: bool,
}

/// Stripe.
pub struct Stripe {
    return_url: Option<String>,
    live: bool,
    client: Client,
}

impl Stripe {
    /// Stripe, with the key among `secrets`.
    pub fn new(settings: StripeSettings, secrets: Secrets) -> Self {
        let StripeSettings { base, return_url, live } = settings;
        Self { return_url, live, client: Client::new(base, secrets).with_key_of_stage(live) }
    }

    /// The same, which begins at most `calls_per_second` calls per second. A call that has to wait for its turn has less time left.
    #[must_use]
    pub fn at_pace(self, calls_per_second: u32) -> Self {
        Self { client: self.client.at_pace(calls_per_second), ..self }
    }

    async fn charge_card(&self, order: &ChargeOrder) -> Result<Fact, ProviderError> {
        let (amount, currency) = (order.amount.amount.to_string(), order.amount.currency.code().to_lowercase());
        let (order_id, payment_id) = (order.order_id.to_string(), order.payment_id.to_string());
        let mut form = vec![
            ("amount", &*amount),
            ("currency", &currency),
            ("confirm", "true"),
            ("payment_method_types[0]", "card"),
            ("metadata[order_id]", &order_id),
            ("metadata[payment_id]", &payment_id),
        ];
        match order.token.as_str() {
            token if token.starts_with("tok_") => {
                form.extend([("payment_method_data[type]", "card"), ("payment_method_data[card][token]", token)]);
            }
            method => form.push(("payment_method", method)),
        }
        if let Some(url) = &order.return_url {
            form.push(("return_url", url));
        }
        charged(&self.client.post("/v1/payment_intents", &form, Some(&payment_id)).await?, order.amount.currency)
    }

    /// The intent of a payment, by its own id where that is known, else by ours.
    async fn intent(&self, order: &ChargeOrder) -> Result<Option<Value>, ProviderError> {
        if let Some(id) = &order.transaction_id {
            return found(self.client.get(&format!("/v1/payment_intents/{id}"), &[]).await?);
        }
        self.client.intent_of(&order.payment_id.to_string()).await
    }

    async fn call_off(&self, order: &ChargeOrder) -> Result<Fact, ProviderError> {
        let intent = self.intent(order).await?.ok_or_else(|| ProviderError::NoAnswer("it shows no such intent yet".to_owned()))?;
        let id = text(&intent["id"]);
        let (status, cancelled) = self.client.post(&format!("/v1/payment_intents/{id}/cancel"), &[], None).await?;
        if status.is_success() {
            return intent_fact(&cancelled, order.amount.currency);
        }
        if status != StatusCode::BAD_REQUEST {
            return Err(trouble(status, &cancelled));
        }
        // It has come to an end meanwhile: which one?
        let intent = found(self.client.get(&format!("/v1/payment_intents/{id}"), &[]).await?)?;
        intent_fact(&intent.ok_or_else(|| trouble(status, &cancelled))?, order.amount.currency)
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

    fn void_unsent<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(self.void_key(order))
    }

    fn find_by_time<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>> {
        Box::pin(self.find_in_list(order))
    }

    fn charge<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>> {
        Box::pin(self.charge_card(order))
    }

    fn retrieve<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>> {
        Box::pin(async move { self.intent(order).await?.map(|intent| intent_fact(&intent, order.amount.currency)).transpose() })
    }

    fn cancel<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>> {
        Box::pin(self.call_off(order))
    }

    fn refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<RefundFact, ProviderError>> {
        Box::pin(self.give_back(order))
    }

    fn retrieve_refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<Option<RefundFact>, ProviderError>> {
        Box::pin(self.look_for_refund(order))
    }

    fn find_refund<'a>(&'a self, provider_refund_id: &'a str) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(self.refund_named(provider_refund_id))
    }

    fn find_dispute<'a>(&'a self, dispute_id: &'a str) -> BoxFuture<'a, Result<Option<DisputeFact>, ProviderError>> {
        Box::pin(self.dispute_named(dispute_id))
    }

    fn webhook_event(&self, request: &WebhookRequest<'_>, secret: &str) -> Result<Option<WebhookEvent>, WebhookError> {
        webhook::event(request, secret)
    }
}

/// What follows from the answer to a charge.
fn charged((status, document): &Answer, currency: Currency) -> Result<Fact, ProviderError> {
    if status.is_success() {
        return intent_fact(document, currency);
    }
    let error = &document["error"];
    let (code, parameter) = (text(&error["code"]), text(&error["param"]));
    // The customer's token is these parameters alone. Others, as `payment_method_types[0]`, are set here and are our mistake.
    let names_the_token = parameter == "payment_method" || parameter.starts_with("payment_method_data[card]");
    let is_the_token = matches!(status.as_u16(), 400 | 404) && (names_the_token || code == "token_already_used");
    match status.as_u16() {
        402 => Ok(Fact::Declined { reason: decline_reason(error) }),
        _ if is_the_token => Ok(Fact::Declined { reason: "invalid_payment_method".to_owned() }),
        400 if matches!(code, "amount_too_small" | "amount_too_large") => Ok(Fact::Declined { reason: code.to_owned() }),
        _ => Err(trouble(*status, document)),
    }
}

/// What a payment intent says. `currency` is the one that was asked for.
fn intent_fact(intent: &Value, currency: Currency) -> Result<Fact, ProviderError> {
    let transaction_id = text(&intent["id"]).to_owned();
    if transaction_id.is_empty() {
        return Err(ProviderError::NoAnswer("it answered something that is no payment intent".to_owned()));
    }
    match text(&intent["status"]) {
        "succeeded" => {
            let amount = intent["amount_received"].as_i64().or(intent["amount"].as_i64());
            let amount = amount.ok_or_else(|| ProviderError::NoAnswer("it did not say how much it charged".to_owned()))?;
            let order_id = OrderId::parse(text(&intent["metadata"]["order_id"]));
            // A currency that the shop does not trade in was never asked for: no order of ours is charged in it.
            let charged_in = Currency::parse(&text(&intent["currency"]).to_uppercase()).ok();
            let order_id = order_id.filter(|_| charged_in.is_some());
            Ok(Fact::Succeeded { transaction_id, amount: Money::new(amount, charged_in.unwrap_or(currency)), order_id })
        }
        "requires_action" | "requires_source_action" => {
            let action = &intent["next_action"];
            let url = action["redirect_to_url"]["url"].as_str().or(action["use_stripe_sdk"]["stripe_js"].as_str());
            let next_action = NextAction { url: url.unwrap_or_default().to_owned() };
            Ok(Fact::ActionRequired { transaction_id, next_action })
        }
        // Without an error the intent has not been confirmed yet: the call that does so may be running.
        "requires_payment_method" | "requires_source" if intent["last_payment_error"].is_object() => {
            Ok(Fact::Declined { reason: decline_reason(&intent["last_payment_error"]) })
        }
        "canceled" => Ok(Fact::Abandoned { reason: "cancelled" }),
        "requires_payment_method" | "requires_source" | "processing" | "requires_confirmation" | "requires_capture" => {
            Ok(Fact::Processing { transaction_id })
        }
        _ => Err(ProviderError::NoAnswer("it answered a status that is not known here".to_owned())),
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

    fn answer(status: u16, document: Value) -> Answer {
        (StatusCode::from_u16(status).expect("a status"), document)
    }

    fn succeeded(amount: i64, currency: &str, order_id: Option<&str>) -> Fact {
        let amount = Money::new(amount, Currency::parse(currency).expect("a currency"));
        Fact::Succeeded { transaction_id: "pi_1".to_owned(), amount, order_id: order_id.and_then(OrderId::parse) }
    }

    #[test]
    fn an_intent_says_what_became_of_a_charge() {
        let declined = |reason: &str| Fact::Declined { reason: reason.to_owned() };
        let asks = |url: &str| Fact::ActionRequired { transaction_id: "pi_1".to_owned(), next_action: NextAction { url: url.to_owned() } };
        let redirect = json!({ "type": "redirect_to_url", "redirect_to_url": { "url": "https://hooks.stripe.com/3ds" } });
        let broke = json!({ "code": "card_declined", "decline_code": "insufficient_funds" });
        for (document, fact) in [
            (intent("succeeded"), succeeded(5998, "USD", Some(ORDER))),
            (with(intent("succeeded"), "amount_received", json!(1)), succeeded(1, "USD", Some(ORDER))),
            (with(intent("succeeded"), "currency", json!("jpy")), succeeded(5998, "JPY", Some(ORDER))),
            (with(intent("succeeded"), "currency", json!("xyz")), succeeded(5998, "USD", None)),
            (with(intent("succeeded"), "metadata", json!({})), succeeded(5998, "USD", None)),
            (with(intent("requires_action"), "next_action", redirect), asks("https://hooks.stripe.com/3ds")),
            (intent("requires_action"), asks("")),
            (with(intent("requires_payment_method"), "last_payment_error", broke), declined("insufficient_funds")),
            (with(intent("requires_payment_method"), "last_payment_error", json!({})), declined("card_declined")),
            (intent("requires_payment_method"), Fact::Processing { transaction_id: "pi_1".to_owned() }),
            (intent("canceled"), Fact::Abandoned { reason: "cancelled" }),
            (intent("processing"), Fact::Processing { transaction_id: "pi_1".to_owned() }),
        ] {
            assert_eq!(intent_fact(&document, usd()), Ok(fact), "{document}");
        }
        for odd in [json!({}), json!([]), json!(null), intent("superseded"), with(intent("succeeded"), "id", json!(5))] {
            assert!(matches!(intent_fact(&odd, usd()), Err(ProviderError::NoAnswer(_))), "{odd}");
        }
    }

    #[test]
    fn a_refusal_of_the_card_is_a_fact_and_everything_else_is_none() {
        let error = |members: Value| json!({ "error": members });
        let declined = |reason: &str| Ok(Fact::Declined { reason: reason.to_owned() });
        let card = |code: &str| error(json!({ "type": "card_error", "code": "card_declined", "decline_code": code }));
        assert_eq!(charged(&answer(402, card("lost_card")), usd()), declined("lost_card"));
        assert_eq!(charged(&answer(402, error(json!({ "code": "expired_card" }))), usd()), declined("expired_card"));
        assert_eq!(charged(&answer(402, card("Ada <b>")), usd()), declined("card_declined"));
        let refused = |code: &str, parameter: &str| error(json!({ "type": "invalid_request_error", "code": code, "param": parameter }));
        for (code, parameter) in [
            ("resource_missing", "payment_method"),
            ("resource_missing", "payment_method_data[card][token]"),
            ("token_already_used", "source"),
        ] {
            assert_eq!(charged(&answer(400, refused(code, parameter)), usd()), declined("invalid_payment_method"), "{parameter}");
        }
        for parameter in ["payment_method_types[0]", "payment_method_data[type]", "payment_method_options", "payment_methods", "return_url"]
        {
            let answer = charged(&answer(400, refused("parameter_unknown", parameter)), usd());
            assert!(matches!(answer, Err(ProviderError::Refused(_))), "{parameter} is ours: {answer:?}");
        }
        let ours = error(json!({ "type": "invalid_request_error", "code": "parameter_unknown", "param": "colour" }));
        let what = |status| charged(&answer(status, ours.clone()), usd());
        assert!([400, 404].into_iter().all(|status| matches!(what(status), Err(ProviderError::Refused(_)))));
        assert!([401, 403].into_iter().all(|status| matches!(what(status), Err(ProviderError::CredentialsRejected(_)))));
        assert!([409, 425, 429].into_iter().all(|status| matches!(what(status), Err(ProviderError::Busy(_)))));
        for status in [300, 408, 500, 502, 503, 504] {
            assert!(matches!(what(status), Err(ProviderError::NoAnswer(_))), "{status}");
        }
        // The parameter does not matter where the key is wrong.
        let token = refused("resource_missing", "payment_method");
        assert!(matches!(charged(&answer(401, token), usd()), Err(ProviderError::CredentialsRejected(_))));
        let other_body = error(json!({ "type": "idempotency_error" }));
        assert!(matches!(charged(&answer(400, other_body), usd()), Err(ProviderError::KeyMismatch(_))));
    }
}
