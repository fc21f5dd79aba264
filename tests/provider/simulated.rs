//! The simulated provider over the embedded DynamoDB.

use provider::{
    ChargeRequest, DisputeState, PaymentId, PaymentProvider, ProviderError, ProviderResult,
    RefundRequest, SimulatedProvider,
};
use shared::BoxFuture;
use tests::{aws::Aws, bank};

use crate::contract::{self, ProviderFixture, Tokens, to_charge};

struct SimulatedFixture {
    aws: Aws,
    provider: SimulatedProvider,
}

impl SimulatedFixture {
    fn new() -> Self {
        let aws = Aws::new();
        Self { provider: SimulatedProvider::new(aws.table("payment-simulator")), aws }
    }

    fn count(&self, payment: PaymentId) -> usize {
        let items = self.aws.items("payment-simulator");
        let is_charge = |item: &&serde_json::Value| {
            item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("CHARGE#"))
        };
        items
            .iter()
            .filter(is_charge)
            .filter(|item| item["payment_id"]["S"] == *payment.to_string())
            .count()
    }
}

impl ProviderFixture for SimulatedFixture {
    fn provider(&self) -> &dyn PaymentProvider {
        &self.provider
    }

    fn tokens(&self) -> Tokens {
        Tokens {
            good: "tok_ok".to_owned(),
            declined: "tok_declined".to_owned(),
            requires_action: "tok_3ds".to_owned(),
        }
    }

    /// In the simulation the customer has acted by the time of the query.
    fn act<'a>(&'a self, _: &'a ChargeRequest, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn charges<'a>(&'a self, payment: PaymentId) -> BoxFuture<'a, usize> {
        Box::pin(std::future::ready(self.count(payment)))
    }

    fn refund_by_hand<'a>(&'a self, transaction_id: &'a str, amount: i64) -> BoxFuture<'a, String> {
        Box::pin(std::future::ready(bank::refund_by_hand(
            &self.aws,
            transaction_id,
            "re_by_hand",
            amount,
        )))
    }

    fn fail_refund<'a>(&'a self, order: &'a RefundRequest, _: &'a str) -> BoxFuture<'a, ()> {
        bank::fail_refund(&self.aws, &order.refund_id.to_string());
        Box::pin(std::future::ready(()))
    }

    fn dispute<'a>(
        &'a self,
        dispute_id: &'a str,
        transaction_id: &'a str,
        state: DisputeState,
    ) -> BoxFuture<'a, ()> {
        bank::dispute(&self.aws, dispute_id, transaction_id, state.name());
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn simulated_provider_fulfils_the_contract() {
    contract::holds(&SimulatedFixture::new(), "simulated").await;
}

#[tokio::test]
async fn each_test_token_behaves_as_documented() {
    let succeeds = |result: &Result<ProviderResult, ProviderError>| {
        matches!(result, Ok(ProviderResult::Succeeded { .. }))
    };
    for (token, first, then, charges) in [
        ("tok_ok", "charged", "charged", 1),
        ("credit_card", "charged", "charged", 1),
        ("tok_duplicate_webhook", "charged", "charged", 1),
        ("tok_declined", "declined", "declined", 0),
        ("tok_insufficient_funds", "declined", "declined", 0),
        ("tok_made_up", "declined", "declined", 0),
        ("tok_timeout_after_charge", "silence", "charged", 1),
        ("tok_timeout_before_charge", "silence", "unknown", 0),
        ("tok_unreachable", "silence", "unknown", 0),
        ("tok_5xx_then_ok", "silence", "unknown", 0),
        ("tok_late_webhook", "processing", "processing", 1),
        ("tok_3ds", "action", "charged", 1),
        ("tok_3ds_declined", "action", "declined", 0),
        ("tok_3ds_abandoned", "action", "action", 0),
    ] {
        let fixture = SimulatedFixture::new();
        let order = to_charge(token, token);
        let said = |result: &Result<ProviderResult, ProviderError>| match result {
            Ok(ProviderResult::Succeeded { .. }) => "charged",
            Ok(ProviderResult::Declined { .. }) => "declined",
            Ok(ProviderResult::ActionRequired { .. }) => "action",
            Ok(ProviderResult::Processing { .. }) => "processing",
            Ok(result) => panic!("{result:?}"),
            Err(_) => "silence",
        };
        assert_eq!(said(&fixture.provider.charge(&order).await), first, "{token}");
        let retrieved = fixture.provider.retrieve(&order).await.unwrap();
        assert_eq!(retrieved.map_or("unknown", |result| said(&Ok(result))), then, "{token}");
        assert_eq!(fixture.count(order.payment_id), charges, "{token}");
        // A repeated lost charge and a repeated query of a late one are charged once.
        if matches!(token, "tok_timeout_before_charge" | "tok_5xx_then_ok" | "tok_late_webhook") {
            assert!(succeeds(&fixture.provider.charge(&order).await), "{token}");
            assert_eq!(fixture.count(order.payment_id), 1, "{token}");
        }
    }
}
