//! A provider that moves no money but keeps real books: in a table of its own, outside every process, as a real one does.
//!
//! What it does depends on the card's token. It writes its books *before* it answers, times out or fails, so that its caller can lose an
//! answer but never a charge. The first answer to a key is the answer to that key for ever.

use serde::{Deserialize, Serialize};
use shared::{
    BoxFuture,
    ids::OrderId,
    money::{Currency, Money},
    table::{AttributeValue, Expression, Item, Key, Outcome, Table, TableError, Transacted, from_item, to_item},
};

use super::{ChargeOrder, PaymentProvider, ProviderError, RefundOrder};
use crate::domain::{Fact, RefundFact};

/// The simulated provider.
#[derive(Clone, Debug)]
pub struct Simulated {
    books: Table,
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
    /// The first request fails at the provider.
    ServerErrorOnce,
}

impl Behaviour {
    fn of(token: &str) -> Self {
        match token {
            "tok_ok" | "credit_card" => Self::Charged,
            "tok_declined" => Self::Declined("card_declined"),
            "tok_insufficient_funds" => Self::Declined("insufficient_funds"),
            "tok_timeout_after_charge" => Self::TimeoutAfterCharge,
            "tok_timeout_before_charge" => Self::TimeoutBeforeCharge,
            "tok_5xx_then_ok" => Self::ServerErrorOnce,
            _ => Self::Declined("invalid_payment_method"),
        }
    }
}

/// `KEY#…`: the first answer to a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    order_id: OrderId,
    amount: i64,
    currency: Currency,
    #[serde(default)]
    charge_id: Option<String>,
    #[serde(default)]
    decline_reason: Option<String>,
}

/// `CHARGE#…`: money that was really taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Charge {
    charge_id: String,
    payment_id: String,
    order_id: OrderId,
    amount: i64,
    currency: Currency,
    refundable: i64,
}

/// `REFUND#…`: money that was really given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refunded {
    order_id: OrderId,
    charge_id: String,
    amount: i64,
    currency: Currency,
}

impl Simulated {
    /// The provider whose books are in this table.
    pub fn new(books: Table) -> Self {
        Self { books }
    }

    async fn charge_once(&self, order: &ChargeOrder) -> Result<Fact, ProviderError> {
        let behaviour = Behaviour::of(order.token.as_str());
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
        let key = order.payment_id.to_string();
        let charge_id = format!("ch_{}", order.payment_id.attempt().simple());
        let answer = Answer {
            order_id: order.order_id,
            amount: order.amount.amount,
            currency: order.amount.currency,
            charge_id: None,
            decline_reason: None,
        };
        let stored = if let Behaviour::Declined(reason) = behaviour {
            let answer = Answer { decline_reason: Some(reason.to_owned()), ..answer.clone() };
            let item = keyed(&answer, format!("KEY#{key}"));
            match self.books.put(item, Expression::absent()).await.map_err(out_of_reach)? {
                Outcome::Written => return Ok(answer.fact()),
                Outcome::Refused(stored) => stored,
            }
        } else {
            let charge = Charge {
                charge_id: charge_id.clone(),
                payment_id: key.clone(),
                order_id: order.order_id,
                amount: order.amount.amount,
                currency: order.amount.currency,
                refundable: order.amount.amount,
            };
            let answer = Answer { charge_id: Some(charge_id.clone()), ..answer.clone() };
            let writes = vec![
                self.books.putting(keyed(&answer, format!("KEY#{key}")), Expression::absent()),
                self.books.putting(keyed(&charge, format!("CHARGE#{charge_id}")), Expression::absent()),
            ];
            match self.books.transact(writes).await.map_err(out_of_reach)? {
                Transacted::Written if behaviour == Behaviour::TimeoutAfterCharge => {
                    return Err(ProviderError::NoAnswer("timed out".to_owned()));
                }
                Transacted::Written => return Ok(answer.fact()),
                Transacted::Refused(conflicts) => conflicts.into_iter().flatten().next().and_then(|conflict| conflict.item),
            }
        };
        // The key is known: its first answer, if it is the same request.
        let stored: Answer = read(stored)?.ok_or_else(|| ProviderError::NoAnswer("the books are out of order".to_owned()))?;
        let same = (stored.order_id, stored.amount, stored.currency) == (answer.order_id, answer.amount, answer.currency);
        if same { Ok(stored.fact()) } else { Err(ProviderError::Refused("the key was used for another charge".to_owned())) }
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
        };
        let writes = vec![
            self.books.putting(keyed(&refunded, format!("REFUND#{}", order.refund_id)), Expression::absent()),
            self.books.updating(
                Key::new(format!("CHARGE#{}", order.transaction_id)),
                Expression::new("SET #refundable = #refundable - :amount").value("amount", refunded.amount),
                Expression::new("#refundable >= :amount AND #currency = :currency").value("currency", refunded.currency),
            ),
        ];
        match self.books.transact(writes).await.map_err(out_of_reach)? {
            Transacted::Written => Ok(refunded.fact(order)),
            Transacted::Refused(conflicts) => {
                let stored = conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item);
                match read::<Refunded>(stored)? {
                    Some(stored) if stored == refunded => Ok(stored.fact(order)),
                    Some(_) => Err(ProviderError::Refused("the key was used for another refund".to_owned())),
                    None => Ok(RefundFact::Failed { reason: "charge_not_refundable".to_owned() }),
                }
            }
        }
    }
}

impl PaymentProvider for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn is_live(&self) -> bool {
        false
    }

    fn charge<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Fact, ProviderError>> {
        Box::pin(self.charge_once(order))
    }

    fn find_charge<'a>(&'a self, order: &'a ChargeOrder) -> BoxFuture<'a, Result<Option<Fact>, ProviderError>> {
        Box::pin(async move {
            let stored = self.books.get(Key::new(format!("KEY#{}", order.payment_id))).await.map_err(out_of_reach)?;
            Ok(read::<Answer>(stored)?.map(|answer| answer.fact()))
        })
    }

    fn refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<RefundFact, ProviderError>> {
        Box::pin(self.refund_once(order))
    }

    fn find_refund<'a>(&'a self, order: &'a RefundOrder) -> BoxFuture<'a, Result<Option<RefundFact>, ProviderError>> {
        Box::pin(async move {
            let stored = self.books.get(Key::new(format!("REFUND#{}", order.refund_id))).await.map_err(out_of_reach)?;
            Ok(read::<Refunded>(stored)?.map(|refunded| refunded.fact(order)))
        })
    }
}

impl Answer {
    fn fact(&self) -> Fact {
        match (&self.charge_id, &self.decline_reason) {
            (Some(charge_id), _) => Fact::Succeeded {
                transaction_id: charge_id.clone(),
                amount: Money::new(self.amount, self.currency),
                order_id: self.order_id,
            },
            (None, reason) => Fact::Declined { reason: reason.clone().unwrap_or_else(|| "card_declined".to_owned()) },
        }
    }
}

impl Refunded {
    fn fact(&self, order: &RefundOrder) -> RefundFact {
        RefundFact::Succeeded {
            provider_refund_id: format!("re_{}", order.refund_id.uuid().simple()),
            amount: Money::new(self.amount, self.currency),
        }
    }
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
