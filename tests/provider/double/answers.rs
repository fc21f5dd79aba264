//! The double as a payment provider, and as the fixture of the contract.

use std::sync::{Arc, atomic::AtomicBool};

use provider::{
    ChargeRequest, DisputeState, KeyState, PaymentId, PaymentProvider, ProviderDispute,
    ProviderError, ProviderRefund, ProviderResult, RefundRequest, RefundResult,
};
use shared::{BoxFuture, clock::Timestamp};

use super::{Double, KeyAnswer, Loss, Refunded, body_of};
use crate::contract::{ProviderFixture, Tokens, usd};

impl PaymentProvider for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn is_live(&self) -> bool {
        false
    }

    fn charge<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(async move {
            let next = self.records().losses.last().copied().flatten();
            match next {
                Some(Loss::Late) => self.records().late.push(order.clone()),
                Some(Loss::ServerError) => {
                    self.records().store_key(
                        order.payment_id.to_string(),
                        body_of(order),
                        KeyAnswer::ServerError,
                        self.clock.now(),
                    );
                }
                _ => {}
            }
            self.carry_out(|records, now| {
                self.authorise().and_then(|()| records.charge(order, now))
            })
        })
    }

    fn void_unsent<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, now| self.authorise().and_then(|()| records.void(order, now)))
        })
    }

    fn find_by_time<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(async move { self.carry_out(|records, _| Ok(records.listed(order))) })
    }

    fn retrieve<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, _| {
                let is_hidden = records.search_lags && order.transaction_id.is_none();
                Ok(records
                    .intent(order)
                    .filter(|_| !is_hidden)
                    .map(|id| records.intents[&id].result.clone()))
            })
        })
    }

    fn cancel<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, _| {
                let id = records
                    .intent(order)
                    .ok_or_else(|| ProviderError::Indeterminate("no such record".to_owned()))?;
                let intent = records.intents.get_mut(&id).unwrap();
                if matches!(intent.result, ProviderResult::ActionRequired { .. }) {
                    intent.result = ProviderResult::Abandoned { reason: "cancelled" };
                }
                Ok(intent.result.clone())
            })
        })
    }

    fn refund<'a>(
        &'a self,
        order: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<RefundResult, ProviderError>> {
        Box::pin(async move { self.carry_out(|records, now| records.refund(order, now)) })
    }

    fn retrieve_refund<'a>(
        &'a self,
        order: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<Option<RefundResult>, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, _| {
                let ours = |(id, refund): &(&String, &Refunded)| {
                    let is_named = order.provider_refund_id.as_ref() == Some(*id);
                    is_named
                        || refund.refund_id == Some(order.refund_id)
                            && refund.transaction_id == order.transaction_id
                };
                Ok(records.refunds.iter().find(ours).map(|(id, refund)| refund.result(id)))
            })
        })
    }

    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, _| {
                let found = records.refunds.get(provider_refund_id).map(|refund| ProviderRefund {
                    provider_refund_id: provider_refund_id.to_owned(),
                    payment_id: records.intents[&refund.transaction_id].payment_id,
                    amount: usd(refund.amount),
                    result: refund.result(provider_refund_id),
                });
                Ok(found)
            })
        })
    }

    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>> {
        Box::pin(async move {
            self.carry_out(|records, _| {
                let found = records.disputes.get(dispute_id).map(|(transaction_id, state)| {
                    let intent = &records.intents[transaction_id];
                    let (payment_id, amount) = (intent.payment_id, usd(intent.amount));
                    ProviderDispute {
                        dispute_id: dispute_id.to_owned(),
                        payment_id,
                        amount,
                        state: state.clone(),
                    }
                });
                Ok(found)
            })
        })
    }
}

impl ProviderFixture for Double {
    fn provider(&self) -> &dyn PaymentProvider {
        self
    }

    fn tokens(&self) -> Tokens {
        Tokens {
            good: "tok_ok".to_owned(),
            declined: "tok_declined".to_owned(),
            requires_action: "tok_3ds".to_owned(),
        }
    }

    fn act<'a>(&'a self, order: &'a ChargeRequest, transaction_id: &'a str) -> BoxFuture<'a, ()> {
        let transaction = transaction_id.to_owned();
        let result = ProviderResult::Succeeded {
            transaction_id: transaction.clone(),
            amount: order.amount,
            order_id: Some(order.order_id),
        };
        self.records().intents.get_mut(&transaction).unwrap().result = result;
        Box::pin(std::future::ready(()))
    }

    fn charges<'a>(&'a self, payment: PaymentId) -> BoxFuture<'a, usize> {
        Box::pin(std::future::ready(self.count(payment)))
    }

    fn with_wrong_key(&self) -> Option<Box<dyn PaymentProvider>> {
        Some(Box::new(Self { wrong_key: Arc::new(AtomicBool::new(true)), ..self.clone() }))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn refund_by_hand<'a>(&'a self, transaction_id: &'a str, amount: i64) -> BoxFuture<'a, String> {
        let made = self.records().make_refund(None, transaction_id, amount);
        Box::pin(std::future::ready(made.unwrap()))
    }

    fn fail_refund<'a>(
        &'a self,
        _: &'a RefundRequest,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, ()> {
        let mut records = self.records();
        let refund = records.refunds.get_mut(provider_refund_id).unwrap();
        refund.failed = true;
        let (transaction_id, amount) = (refund.transaction_id.clone(), refund.amount);
        records.intents.get_mut(&transaction_id).unwrap().refundable += amount;
        Box::pin(std::future::ready(()))
    }

    fn dispute<'a>(
        &'a self,
        dispute_id: &'a str,
        transaction_id: &'a str,
        state: DisputeState,
    ) -> BoxFuture<'a, ()> {
        self.records().disputes.insert(dispute_id.to_owned(), (transaction_id.to_owned(), state));
        Box::pin(std::future::ready(()))
    }
}
