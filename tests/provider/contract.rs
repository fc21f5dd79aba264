//! The contract tests that every payment provider has to pass.

use provider::{
    CardToken, ChargeRequest, DisputeState, KeyState, PaymentId, PaymentProvider, ProviderError,
    ProviderResult, RefundId, RefundRequest, RefundResult,
};
use shared::{
    BoxFuture,
    clock::{Clock, Timestamp},
    ids::{self, Ids, OrderId},
    money::{Currency, Money},
    telemetry::Trace,
};

pub const PRICE: i64 = 5998;

/// A provider under test, and the actions outside its API.
pub trait ProviderFixture: Sync {
    fn provider(&self) -> &dyn PaymentProvider;

    /// Tokens that are charged, declined, and require a customer action.
    fn tokens(&self) -> Tokens;

    /// Completes the customer action.
    fn act<'a>(&'a self, order: &'a ChargeRequest, transaction_id: &'a str) -> BoxFuture<'a, ()>;

    /// The number of charges that were made for a payment.
    fn charges<'a>(&'a self, payment: PaymentId) -> BoxFuture<'a, usize>;

    /// The same provider with an API key that it rejects, if it can reject one.
    fn with_wrong_key(&self) -> Option<Box<dyn PaymentProvider>> {
        None
    }

    fn now(&self) -> Timestamp {
        Clock::System.now()
    }

    /// Refunds a charge in the provider's dashboard. Returns the provider's refund id.
    fn refund_by_hand<'a>(&'a self, transaction_id: &'a str, amount: i64) -> BoxFuture<'a, String>;

    /// Fails a refund that had succeeded.
    fn fail_refund<'a>(
        &'a self,
        order: &'a RefundRequest,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, ()>;

    /// The buyer's bank opens a dispute of a charge, or moves it to another state.
    fn dispute<'a>(
        &'a self,
        dispute_id: &'a str,
        transaction_id: &'a str,
        state: DisputeState,
    ) -> BoxFuture<'a, ()>;

    /// Whether the provider has idempotency keys, a search by our id, and a refund limit at the
    /// charged amount.
    fn is_complete(&self) -> bool {
        true
    }

    /// Whether it also simulates the buyer's bank: refunds that fail later, and disputes.
    fn has_banks(&self) -> bool {
        self.is_complete()
    }
}

pub struct Tokens {
    pub good: String,
    pub declined: String,
    pub requires_action: String,
}

pub fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::parse("USD").unwrap())
}

/// A charge request for a new payment, with ids derived from `name`.
pub fn to_charge(name: &str, token: &str) -> ChargeRequest {
    let order_id: OrderId = ids::derive(&["contract", name]);
    let payment_id = PaymentId::automatic(order_id);
    let token = CardToken::try_from(token.to_owned()).unwrap();
    ChargeRequest {
        payment_id,
        order_id,
        amount: usd(PRICE),
        token,
        return_url: None,
        sent: None,
        transaction_id: None,
        trace: Trace::start(&Ids::seeded(1)),
    }
}

pub fn to_refund(
    charge: &ChargeRequest,
    transaction_id: &str,
    name: &str,
    amount: i64,
) -> RefundRequest {
    let refund_id: RefundId = ids::derive(&["contract", &charge.payment_id.to_string(), name]);
    RefundRequest {
        refund_id,
        order_id: charge.order_id,
        payment_id: charge.payment_id,
        transaction_id: transaction_id.to_owned(),
        amount: usd(amount),
        provider_refund_id: None,
        trace: charge.trace.clone(),
    }
}

fn known(order: &ChargeRequest, transaction_id: &str) -> ChargeRequest {
    ChargeRequest { transaction_id: Some(transaction_id.to_owned()), ..order.clone() }
}

/// Charges a payment and returns the provider's transaction id.
async fn charged(fixture: &dyn ProviderFixture, order: &ChargeRequest) -> String {
    match fixture.provider().charge(order).await.unwrap() {
        ProviderResult::Succeeded { transaction_id, amount, order_id } => {
            assert_eq!((amount, order_id), (order.amount, Some(order.order_id)));
            transaction_id
        }
        fact => panic!("a good card is charged: {fact:?}"),
    }
}

/// The whole contract. `salt` separates the payments of test runs.
pub async fn holds(fixture: &dyn ProviderFixture, salt: &str) {
    let named = |name: &str| format!("{salt} {name}");
    charge_is_made_once(fixture, &named("charge")).await;
    declined_card_is_not_charged(fixture, &named("decline")).await;
    charge_succeeds_after_the_customer_action(fixture, &named("act")).await;
    pending_charge_can_be_cancelled(fixture, &named("cancel")).await;
    captured_charge_cannot_be_cancelled(fixture, &named("too late")).await;
    partial_refunds_succeed(fixture, &named("parts")).await;
    charge_with_rejected_credentials_is_not_made(fixture, &named("rejected")).await;
    dashboard_refund_is_found(fixture, &named("by hand")).await;
    if fixture.is_complete() {
        keys_hold(fixture, salt).await;
        charge_is_found_by_the_time_it_was_sent(fixture, &named("listed")).await;
        unknown_charge_is_not_found(fixture, &named("unknown")).await;
        refund_above_the_charge_is_rejected(fixture, &named("more")).await;
    }
    if fixture.has_banks() {
        late_refund_failure_is_reported(fixture, &named("late failure")).await;
        disputed_charge_is_not_refunded(fixture, &named("disputed")).await;
        dispute_is_won_or_lost(fixture, &named("disputes")).await;
    }
}

async fn charge_is_made_once(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    assert_eq!(fixture.charges(order.payment_id).await, 1);
    let found = fixture.provider().retrieve(&known(&order, &transaction)).await.unwrap();
    assert!(
        matches!(found, Some(ProviderResult::Succeeded { transaction_id, .. }) if transaction_id == transaction)
    );
    if fixture.is_complete() {
        assert_eq!(
            charged(fixture, &order).await,
            transaction,
            "the same key returns the same charge"
        );
        assert!(
            matches!(
                fixture.provider().retrieve(&order).await.unwrap(),
                Some(ProviderResult::Succeeded { .. })
            ),
            "by our own id"
        );
        assert_eq!(fixture.charges(order.payment_id).await, 1);
        let other = ChargeRequest { amount: usd(1), ..order.clone() };
        assert!(
            matches!(fixture.provider().charge(&other).await, Err(ProviderError::KeyMismatch(_))),
            "a key accepts one request body"
        );
    }
}

/// The contract of idempotency keys. It needs neither search nor list.
pub async fn keys_hold(fixture: &dyn ProviderFixture, salt: &str) {
    let named = |name: &str| format!("{salt} {name}");
    voided_charge_is_rejected_when_it_arrives(fixture, &named("void")).await;
    charge_that_arrived_is_not_voided(fixture, &named("void too late")).await;
}

async fn voided_charge_is_rejected_when_it_arrives(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    for _ in 0..2 {
        assert_eq!(fixture.provider().void_unsent(&order).await, Ok(KeyState::Voided));
    }
    assert!(matches!(fixture.provider().charge(&order).await, Err(ProviderError::KeyMismatch(_))));
    assert_eq!(fixture.provider().void_unsent(&order).await, Ok(KeyState::Voided));
    assert_eq!(fixture.charges(order.payment_id).await, 0);
    if fixture.is_complete() {
        assert_eq!(
            fixture.provider().retrieve(&order).await,
            Ok(None),
            "the request that claimed the key is not a charge"
        );
        let sent = ChargeRequest { sent: Some((fixture.now(), fixture.now())), ..order.clone() };
        assert_eq!(fixture.provider().find_by_time(&sent).await, Ok(None));
    }
}

async fn charge_that_arrived_is_not_voided(fixture: &dyn ProviderFixture, name: &str) {
    let Tokens { good, declined, requires_action } = fixture.tokens();
    for (number, (token, charges)) in
        [(good, 1), (declined, 0), (requires_action, 0)].into_iter().enumerate()
    {
        let order = to_charge(&format!("{name} {number}"), &token);
        let first = fixture.provider().charge(&order).await;
        assert_eq!(fixture.provider().void_unsent(&order).await, Ok(KeyState::Used));
        assert_eq!(fixture.provider().charge(&order).await, first, "the stored answer");
        assert_eq!(fixture.charges(order.payment_id).await, charges);
    }
}

async fn charge_is_found_by_the_time_it_was_sent(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let order = ChargeRequest { sent: Some((fixture.now(), fixture.now())), ..order };
    assert_eq!(fixture.provider().find_by_time(&order).await, Ok(None));
    let transaction = charged(fixture, &order).await;
    let found = fixture.provider().find_by_time(&order).await;
    assert!(
        matches!(found, Ok(Some(ProviderResult::Succeeded { transaction_id, .. })) if transaction_id == transaction)
    );
}

async fn charge_with_rejected_credentials_is_not_made(fixture: &dyn ProviderFixture, name: &str) {
    let Some(provider) = fixture.with_wrong_key() else { return };
    let order = to_charge(name, &fixture.tokens().good);
    assert!(matches!(provider.charge(&order).await, Err(ProviderError::CredentialsRejected(_))));
    assert!(matches!(
        provider.void_unsent(&order).await,
        Err(ProviderError::CredentialsRejected(_))
    ));
    assert_eq!(fixture.charges(order.payment_id).await, 0);
    charged(fixture, &order).await;
    assert_eq!(fixture.charges(order.payment_id).await, 1);
}

async fn declined_card_is_not_charged(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().declined);
    let fact = fixture.provider().charge(&order).await.unwrap();
    assert_eq!(fact, ProviderResult::Declined { reason: "card_declined".to_owned() });
    assert_eq!(fixture.charges(order.payment_id).await, 0);
    if fixture.is_complete() {
        assert_eq!(fixture.provider().charge(&order).await.unwrap(), fact);
    }
}

async fn asked_to_act(fixture: &dyn ProviderFixture, order: &ChargeRequest) -> String {
    match fixture.provider().charge(order).await.unwrap() {
        ProviderResult::ActionRequired { transaction_id, .. } => transaction_id,
        fact => panic!("expected a customer action: {fact:?}"),
    }
}

async fn charge_succeeds_after_the_customer_action(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().requires_action);
    let transaction = asked_to_act(fixture, &order).await;
    assert_eq!(fixture.charges(order.payment_id).await, 0);
    fixture.act(&order, &transaction).await;
    let found = fixture.provider().retrieve(&known(&order, &transaction)).await.unwrap();
    assert_eq!(
        found,
        Some(ProviderResult::Succeeded {
            transaction_id: transaction,
            amount: order.amount,
            order_id: Some(order.order_id)
        })
    );
    assert_eq!(fixture.charges(order.payment_id).await, 1);
}

async fn pending_charge_can_be_cancelled(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().requires_action);
    let waiting = known(&order, &asked_to_act(fixture, &order).await);
    for _ in 0..2 {
        assert!(matches!(
            fixture.provider().cancel(&waiting).await.unwrap(),
            ProviderResult::Abandoned { .. }
        ));
    }
    assert!(matches!(
        fixture.provider().retrieve(&waiting).await.unwrap(),
        Some(ProviderResult::Abandoned { .. })
    ));
    assert_eq!(fixture.charges(order.payment_id).await, 0);
}

async fn captured_charge_cannot_be_cancelled(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    let fact = fixture.provider().cancel(&known(&order, &transaction)).await.unwrap();
    assert!(
        matches!(fact, ProviderResult::Succeeded { transaction_id, .. } if transaction_id == transaction)
    );
    assert_eq!(fixture.charges(order.payment_id).await, 1);
}

/// Refunds a charge and returns the provider's refund id.
async fn refund_once(fixture: &dyn ProviderFixture, order: &RefundRequest) -> String {
    match fixture.provider().refund(order).await.unwrap() {
        RefundResult::Succeeded { provider_refund_id, amount } => {
            assert_eq!(amount, order.amount);
            provider_refund_id
        }
        fact => panic!("a charge is refundable: {fact:?}"),
    }
}

async fn partial_refunds_succeed(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    let [one, other] =
        ["one", "other"].map(|part| to_refund(&order, &transaction, part, PRICE / 2));
    assert_eq!(fixture.provider().retrieve_refund(&one).await.unwrap(), None);
    let first = refund_once(fixture, &one).await;
    assert_ne!(refund_once(fixture, &other).await, first, "equal partial refunds are two refunds");
    for refund in
        [one.clone(), RefundRequest { provider_refund_id: Some(first.clone()), ..one.clone() }]
    {
        let found = fixture.provider().retrieve_refund(&refund).await.unwrap();
        assert_eq!(
            found,
            Some(RefundResult::Succeeded { provider_refund_id: first.clone(), amount: one.amount })
        );
    }
    if fixture.is_complete() {
        assert_eq!(refund_once(fixture, &one).await, first, "the same key returns the same refund");
    }
}

async fn unknown_charge_is_not_found(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    assert_eq!(fixture.provider().retrieve(&order).await.unwrap(), None);
    assert!(fixture.provider().cancel(&order).await.is_err());
    assert_eq!(fixture.charges(order.payment_id).await, 0);
}

async fn refund_above_the_charge_is_rejected(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    refund_once(fixture, &to_refund(&order, &transaction, "part", PRICE - 10)).await;
    let more =
        fixture.provider().refund(&to_refund(&order, &transaction, "more", 11)).await.unwrap();
    assert!(matches!(more, RefundResult::Rejected { .. }), "{more:?}");
    refund_once(fixture, &to_refund(&order, &transaction, "rest", 10)).await;
}

async fn dashboard_refund_is_found(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    let id = fixture.refund_by_hand(&transaction, 1000).await;
    let found =
        fixture.provider().find_refund(&id).await.unwrap().expect("it is a refund of our charge");
    assert_eq!(
        (&found.provider_refund_id, found.payment_id, found.amount),
        (&id, order.payment_id, usd(1000))
    );
    let succeeded = RefundResult::Succeeded { provider_refund_id: id.clone(), amount: usd(1000) };
    assert_eq!(found.result, succeeded);
    // Later the refund is found by the provider's refund id, although the provider does not know
    // ours.
    let recorded = RefundRequest {
        provider_refund_id: Some(id),
        ..to_refund(&order, &transaction, "recorded", 1000)
    };
    assert_eq!(fixture.provider().retrieve_refund(&recorded).await.unwrap(), Some(succeeded));
    assert_eq!(fixture.provider().find_refund("re_nobodys").await.unwrap(), None);
}

async fn late_refund_failure_is_reported(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    let refund = to_refund(&order, &transaction, "all", PRICE);
    let id = refund_once(fixture, &refund).await;
    fixture.fail_refund(&refund, &id).await;
    for refund in
        [refund.clone(), RefundRequest { provider_refund_id: Some(id.clone()), ..refund.clone() }]
    {
        let found = fixture.provider().retrieve_refund(&refund).await.unwrap();
        assert!(
            matches!(&found, Some(RefundResult::Failed { provider_refund_id, .. }) if *provider_refund_id == id),
            "{found:?}"
        );
    }
    refund_once(fixture, &to_refund(&order, &transaction, "again", PRICE)).await;
}

async fn disputed_charge_is_not_refunded(fixture: &dyn ProviderFixture, name: &str) {
    let order = to_charge(name, &fixture.tokens().good);
    let transaction = charged(fixture, &order).await;
    fixture.dispute("dp_refused", &transaction, DisputeState::Open).await;
    let refused =
        fixture.provider().refund(&to_refund(&order, &transaction, "all", PRICE)).await.unwrap();
    assert_eq!(refused, RefundResult::Rejected { reason: "charge_disputed".to_owned() });
    assert_eq!(
        fixture
            .provider()
            .retrieve_refund(&to_refund(&order, &transaction, "all", PRICE))
            .await
            .unwrap(),
        None
    );
}

async fn dispute_is_won_or_lost(fixture: &dyn ProviderFixture, name: &str) {
    assert_eq!(fixture.provider().find_dispute("dp_nobodys").await.unwrap(), None);
    for (id, end) in [("dp_won", DisputeState::Won), ("dp_lost", DisputeState::Lost)] {
        let order = to_charge(&format!("{name} {id}"), &fixture.tokens().good);
        let transaction = charged(fixture, &order).await;
        for state in [DisputeState::Open, DisputeState::Withdrawn, end] {
            fixture.dispute(id, &transaction, state.clone()).await;
            let found = fixture
                .provider()
                .find_dispute(id)
                .await
                .unwrap()
                .expect("it is a dispute of our charge");
            assert_eq!(
                (found.payment_id, found.amount, &found.state),
                (order.payment_id, order.amount, &state)
            );
        }
    }
}
