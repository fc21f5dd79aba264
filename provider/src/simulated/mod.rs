//! A provider that moves no money but keeps real books: in a table of its own, outside every process, as a real one does.
//!
//! What it does depends on the card's token. It writes its books *before* it answers, times out or fails, so that its caller can lose an
//! answer but never a charge. The first answer to a key is the answer to that key for a day. The same key with another request is refused,
//! and after that day it is a new key, as with real providers.
//!
//! What its own staff and the banks do is written into its books by hand: a refund `REFUND#re_…` that no request asked for, a `failure_reason`
//! of a refund that fails later, `disputed` on a charge and the dispute itself, `DISPUTE#…`. The operations only read it.
//!
//! A customer who is asked to do something has done it by the time somebody asks what became of the charge, or never does.

mod records;
mod statement;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    BoxFuture,
    clock::Clock,
    money::Money,
    table::{AttributeValue, Expression, Item, Key, Outcome, Table, TableError, Transacted, Write, from_item, to_item},
};

use self::records::{Answer, Charge, Disputed, Refunded};
use crate::{
    charge::{ChargeOrder, Fact, KeyState},
    dispute::DisputeFact,
    error::ProviderError,
    payment_id::PaymentId,
    payment_provider::PaymentProvider,
    refund::{ProviderRefund, RefundFact, RefundOrder},
    stripe,
    webhook::{WebhookError, WebhookEvent, WebhookRequest},
};

pub use statement::SimulatedStatement;

/// For how long an idempotency key is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The simulated provider.
#[derive(Clone, Debug)]
pub struct Simulated {
    books: Table,
    clock: Clock,
}

/// How a card behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Charged,
    Declined(&'static str),
    /// It is charged, and the answer is lost.
    TimeoutAfterCharge,
    /// The first request never arrives.
    TimeoutBeforeCharge,
    /// No request to charge ever arrives, as while the provider cannot be reached. Other requests do.
    Unreachable,
    /// The first request fails at the provider.
    ServerErrorOnce,
    /// It is charged, and neither the first answer nor the first look says so: the provider tells it by itself, or later.
    ChargedLate,
    /// The customer has to do something, and then it is charged; or it is declined; or the customer never does.
    ActionThen(Action),
}

/// What becomes of a charge that waits for its customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Charged,
    Declined,
    NeverDone,
}

impl Behaviour {
    fn of(token: &str) -> Self {
        match token {
            // The provider tells of `tok_duplicate_webhook` twice: whoever tells the shop for it does.
            "tok_ok" | "credit_card" | "tok_duplicate_webhook" => Self::Charged,
            "tok_declined" => Self::Declined("card_declined"),
            "tok_insufficient_funds" => Self::Declined("insufficient_funds"),
            "tok_timeout_after_charge" => Self::TimeoutAfterCharge,
            "tok_timeout_before_charge" => Self::TimeoutBeforeCharge,
            "tok_unreachable" => Self::Unreachable,
            "tok_5xx_then_ok" => Self::ServerErrorOnce,
            "tok_late_webhook" => Self::ChargedLate,
            "tok_3ds" => Self::ActionThen(Action::Charged),
            "tok_3ds_declined" => Self::ActionThen(Action::Declined),
            "tok_3ds_abandoned" => Self::ActionThen(Action::NeverDone),
            _ => Self::Declined("invalid_payment_method"),
        }
    }
}

impl Simulated {
    /// The provider whose books are in this table.
    pub fn new(books: Table) -> Self {
        Self::at(books, Clock::System)
    }

    /// The same, by a clock: it decides when a key is forgotten.
    pub fn at(books: Table, clock: Clock) -> Self {
        Self { books, clock }
    }

    async fn charge_once(&self, order: &ChargeOrder) -> Result<Fact, ProviderError> {
        let behaviour = Behaviour::of(order.token.as_str());
        if behaviour == Behaviour::Unreachable {
            return Err(ProviderError::NoAnswer("timed out".to_owned()));
        }
        let lost = match behaviour {
            Behaviour::TimeoutBeforeCharge => Some("timed out"),
            Behaviour::ServerErrorOnce => Some("answered 503"),
            _ => None,
        };
        if let Some(trouble) = lost
            && self.is_first(order).await?
        {
            return Err(ProviderError::NoAnswer(trouble.to_owned()));
        }
        let now = self.clock.now();
        let answer = Answer::first(order, behaviour, now);
        let Some(stored) = self.carry_out(order, &answer, Expression::absent()).await? else { return answer.told(order, behaviour) };
        if now.since(stored.created_at) >= REMEMBERED {
            // The key is forgotten: the same charge is made again, as real providers do.
            let again = answer.in_round(stored.round + 1, stored.version + 1, order);
            return match self.carry_out(order, &again, Expression::version(stored.version)).await? {
                None => again.told(order, behaviour),
                Some(_) => Err(is_running()),
            };
        }
        if stored.voided || stored.body != answer.body {
            return Err(ProviderError::KeyMismatch("the key was used for another request".to_owned()));
        }
        Ok(stored.fact(order))
    }

    /// Writes the first answer to a charge, and the money that it takes. Returns the answer that is stored already.
    async fn carry_out(&self, order: &ChargeOrder, answer: &Answer, condition: Expression) -> Result<Option<Answer>, ProviderError> {
        let mut writes = vec![self.books.putting(keyed(answer, key_of(order)), condition)];
        if answer.charge_id.is_some() {
            writes.push(self.charging(order, answer));
        }
        match self.books.transact(writes).await.map_err(out_of_reach)? {
            Transacted::Written => Ok(None),
            Transacted::Refused(conflicts) => {
                let stored = conflicts.into_iter().flatten().next().and_then(|conflict| conflict.item);
                Ok(Some(read(stored)?.ok_or_else(is_running)?))
            }
        }
    }

    fn charging(&self, order: &ChargeOrder, answer: &Answer) -> Write {
        let charge = Charge::of(order, answer.id(order));
        let pk = format!("CHARGE#{}", charge.charge_id);
        self.books.putting(keyed(&charge, pk), Expression::absent())
    }

    /// Takes the key for a request that charges nothing: a charge that arrives later finds it used.
    async fn void(&self, order: &ChargeOrder) -> Result<KeyState, ProviderError> {
        let probe = Answer { voided: true, charge_id: None, ..Answer::first(order, Behaviour::Charged, self.clock.now()) };
        match self.books.put(keyed(&probe, key_of(order)), Expression::absent()).await.map_err(out_of_reach)? {
            Outcome::Written => Ok(KeyState::Voided),
            Outcome::Refused(stored) => match read::<Answer>(stored)? {
                Some(stored) if stored.voided => Ok(KeyState::Voided),
                Some(_) => Ok(KeyState::Used),
                None => Ok(KeyState::Running),
            },
        }
    }

    /// What became of a charge, by now: what the customer was to do is done, and what was not said is said the next time.
    async fn look(&self, order: &ChargeOrder) -> Result<Option<Fact>, ProviderError> {
        let Some(answer) = self.answer_to(order).await?.filter(|answer| !answer.voided) else { return Ok(None) };
        if answer.silent > 0 {
            self.write(order, &Answer { silent: answer.silent - 1, ..answer.clone() }, false).await?;
            return Ok(Some(Fact::Processing { transaction_id: answer.id(order) }));
        }
        let (answer, charged) = match answer.action.filter(|_| !answer.cancelled && answer.is_waiting()) {
            Some(Action::Charged) => (Answer { charge_id: Some(answer.id(order)), ..answer }, true),
            Some(Action::Declined) => (Answer { decline_reason: Some("authentication_failed".to_owned()), ..answer }, false),
            _ => return Ok(Some(answer.fact(order))),
        };
        self.write(order, &answer, charged).await?;
        Ok(Some(answer.fact(order)))
    }

    async fn call_off(&self, order: &ChargeOrder) -> Result<Fact, ProviderError> {
        let answer = self.answer_to(order).await?.filter(|answer| !answer.voided);
        let answer = answer.ok_or_else(|| ProviderError::Refused("there is no such charge".to_owned()))?;
        if !answer.is_waiting() || answer.cancelled {
            return Ok(answer.fact(order));
        }
        let cancelled = Answer { cancelled: true, ..answer };
        self.write(order, &cancelled, false).await?;
        Ok(cancelled.fact(order))
    }

    async fn answer_to(&self, order: &ChargeOrder) -> Result<Option<Answer>, ProviderError> {
        read(self.books.get(Key::new(key_of(order))).await.map_err(out_of_reach)?)
    }

    /// Writes what became of an answer, unless somebody else has done so; `charged` with the money.
    async fn write(&self, order: &ChargeOrder, answer: &Answer, charged: bool) -> Result<(), ProviderError> {
        let next = Answer { version: answer.version + 1, ..answer.clone() };
        let mut writes = vec![self.books.putting(keyed(&next, key_of(order)), Expression::version(answer.version))];
        if charged {
            writes.push(self.charging(order, answer));
        }
        match self.books.transact(writes).await.map_err(out_of_reach)? {
            Transacted::Written => Ok(()),
            Transacted::Refused(_) => Err(is_running()),
        }
    }

    /// Whether this is the first request under its key: remembered in the books, as a request that was lost leaves no other trace.
    async fn is_first(&self, order: &ChargeOrder) -> Result<bool, ProviderError> {
        let item = Item::from([("pk".to_owned(), AttributeValue::S(format!("LOST#{}", order.payment_id)))]);
        let outcome = self.books.put(item, Expression::absent()).await.map_err(out_of_reach)?;
        Ok(outcome == Outcome::Written)
    }

    async fn refund_once(&self, order: &RefundOrder) -> Result<RefundFact, ProviderError> {
        let refunded = Refunded {
            order_id: order.order_id,
            charge_id: order.transaction_id.clone(),
            amount: order.amount.amount,
            currency: order.amount.currency,
            failure_reason: None,
        };
        let writes = vec![
            self.books.putting(keyed(&refunded, format!("REFUND#{}", order.refund_id)), Expression::absent()),
            self.books.updating(
                Key::new(format!("CHARGE#{}", order.transaction_id)),
                Expression::new("SET #refundable = #refundable - :amount").value("amount", refunded.amount),
                Expression::new("#refundable >= :amount AND #currency = :currency AND attribute_not_exists(#disputed)")
                    .value("currency", refunded.currency),
            ),
        ];
        match self.books.transact(writes).await.map_err(out_of_reach)? {
            Transacted::Written => Ok(refunded.fact(&refund_id(order))),
            Transacted::Refused(conflicts) => {
                let mut items = conflicts.into_iter().map(|conflict| conflict.and_then(|conflict| conflict.item));
                let (stored, charge) = (items.next().flatten(), items.next().flatten());
                match read::<Refunded>(stored)? {
                    Some(stored) if (Refunded { failure_reason: None, ..stored.clone() }) == refunded => Ok(stored.fact(&refund_id(order))),
                    Some(_) => Err(ProviderError::Refused("the key was used for another refund".to_owned())),
                    None => {
                        let disputed = read::<Charge>(charge)?.is_some_and(|charge| charge.disputed);
                        let reason = if disputed { "charge_disputed" } else { "charge_not_refundable" };
                        Ok(RefundFact::Refused { reason: reason.to_owned() })
                    }
                }
            }
        }
    }
}

impl Simulated {
    async fn payment_of(&self, charge_id: &str) -> Result<Option<PaymentId>, ProviderError> {
        let stored = self.books.get(Key::new(format!("CHARGE#{charge_id}"))).await.map_err(out_of_reach)?;
        Ok(read::<Charge>(stored)?.and_then(|charge| PaymentId::parse(&charge.payment_id)))
    }
}

impl PaymentProvider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn is_live(&self) -> bool {
        false
    }

    fn void_unsent<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(self.void(order))
    }

    fn find_by_time<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>> {
        Box::pin(self.look(order))
    }

    fn charge<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>> {
        Box::pin(self.charge_once(order))
    }

    fn retrieve<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>> {
        Box::pin(self.look(order))
    }

    fn cancel<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>> {
        Box::pin(self.call_off(order))
    }

    fn refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<RefundFact, ProviderError>> {
        Box::pin(self.refund_once(order))
    }

    fn retrieve_refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<Option<RefundFact>, ProviderError>> {
        Box::pin(async move {
            // One that was made at the provider has only the provider's name.
            for name in [Some(order.refund_id.to_string()), order.provider_refund_id.clone()].into_iter().flatten() {
                let stored = self.books.get(Key::new(format!("REFUND#{name}"))).await.map_err(out_of_reach)?;
                if let Some(refunded) = read::<Refunded>(stored)? {
                    return Ok(Some(refunded.fact(order.provider_refund_id.as_ref().unwrap_or(&refund_id(order)))));
                }
            }
            Ok(None)
        })
    }

    fn find_refund<'a>(&'a self, provider_refund_id: &'a str) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(async move {
            let stored = self.books.get(Key::new(format!("REFUND#{provider_refund_id}"))).await.map_err(out_of_reach)?;
            let Some(refunded) = read::<Refunded>(stored)? else { return Ok(None) };
            Ok(self.payment_of(&refunded.charge_id).await?.map(|payment_id| ProviderRefund {
                provider_refund_id: provider_refund_id.to_owned(),
                payment_id,
                amount: Money::new(refunded.amount, refunded.currency),
                fact: refunded.fact(provider_refund_id),
            }))
        })
    }

    fn find_dispute<'a>(&'a self, dispute_id: &'a str) -> BoxFuture<'a, Result<Option<DisputeFact>, ProviderError>> {
        Box::pin(async move {
            let stored = self.books.get(Key::new(format!("DISPUTE#{dispute_id}"))).await.map_err(out_of_reach)?;
            let Some(disputed) = read::<Disputed>(stored)? else { return Ok(None) };
            Ok(self.payment_of(&disputed.charge_id).await?.map(|payment_id| DisputeFact {
                dispute_id: dispute_id.to_owned(),
                payment_id,
                amount: Money::new(disputed.amount, disputed.currency),
                state: disputed.state,
            }))
        })
    }

    /// Its events have Stripe's form.
    fn webhook_event(&self, request: &WebhookRequest<'_>, secret: &str) -> Result<Option<WebhookEvent>, WebhookError> {
        stripe::webhook::event(request, secret)
    }
}

fn refund_id(order: &RefundOrder) -> String {
    format!("re_{}", order.refund_id.uuid().simple())
}

fn key_of(order: &ChargeOrder) -> String {
    format!("KEY#{}", order.payment_id)
}

fn is_running() -> ProviderError {
    ProviderError::Busy("a request under the same key is running".to_owned())
}

fn keyed<T: Serialize>(record: &T, pk: String) -> Item {
    let mut item = to_item(record);
    item.insert("pk".to_owned(), AttributeValue::S(pk));
    item
}

fn read<T: serde::de::DeserializeOwned>(item: Option<Item>) -> Result<Option<T>, ProviderError> {
    item.map(from_item).transpose().map_err(out_of_reach)
}

/// Books that cannot be reached are a provider that does not answer.
fn out_of_reach(error: TableError) -> ProviderError {
    ProviderError::NoAnswer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_tokens_charge() {
        assert_eq!(Behaviour::of("tok_ok"), Behaviour::Charged);
        assert_eq!(Behaviour::of("credit_card"), Behaviour::Charged);
        for token in ["", "tok_OK", "tok_ok ", "pm_card_visa"] {
            assert_eq!(Behaviour::of(token), Behaviour::Declined("invalid_payment_method"), "{token}");
        }
    }
}
