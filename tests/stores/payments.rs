//! Payments: exactly one charge, whatever happens to a call, whoever asks how often, and however the provider behaves.

use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;

use payments::{
    Payments, Settings,
    domain::{AttemptState, Change, Head, HeadState, PaymentId},
    operations::{
        cancel_payment::cancel_payment,
        charge_payment::charge_payment,
        create_payment::create_payment,
        get_payment::get_payment,
        list_payments::list_payments,
        open_payment::open_payment,
        publish_payment_events::{PUBLISHED, QUEUES},
        reconcile_payments::reconcile_payments,
        refund_payment::refund_payment,
    },
    provider::Simulated,
    publish,
    store::Stored,
};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    http,
    ids::{Ids, OrderId, PrefixedId},
    invoke,
    lambda::Lambda,
    queue::{self, Queue},
    stream,
    table::{Expression, Key, Outcome, Table},
};
use tests::{
    aws::{Aws, Called, Fault},
    events::{self, ADMIN, USER},
    pump::Pump,
    shop, sqs,
};

const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
const STRANGER: &str = "usr_0199c2a8-0000-7000-8000-000000000003";
const PRICE: i64 = 5998;
const FAULTS: [Fault; 4] = [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];
/// The faults that come second: what was done is unknown, and was or was not.
const LATER_FAULTS: [Fault; 2] = [Fault::LoseRequest, Fault::LoseResponse];
/// More calls than any operation makes.
const CALLS: usize = 9;
/// As many as an operation makes when nothing goes wrong, and one more.
const USUAL_CALLS: usize = 6;

/// Payments, its provider, and what they are asked.
struct Till {
    aws: Aws,
    clock: Clock,
    payments: Arc<Payments>,
    drive: u64,
}

impl Till {
    fn new() -> Self {
        let aws = Aws::new();
        let config = aws.sdk_config();
        Self::over(aws, &config)
    }

    /// A till whose calls of AWS let others go first, now once, now several times, as `seed` has it.
    fn crowded(seed: u64) -> Self {
        let aws = Aws::new();
        let config = aws.crowded_sdk_config(seed);
        Self::over(aws, &config)
    }

    fn over(aws: Aws, config: &SdkConfig) -> Self {
        let clock = shop::clock();
        let table = |name| Table::new(aws_sdk_dynamodb::Client::new(config), format!("ferrocart-{name}"));
        let provider = Arc::new(Simulated::new(table("payment-simulator")));
        let settings = Settings { shards: 8, nudge: Duration::from_secs(60) };
        let payments = Payments::new(table("payments"), provider, aws.secrets_at(clock.clone()), clock.clone(), Ids::default(), settings);
        Self { aws, clock, payments: Arc::new(payments), drive: 0 }
    }

    /// A till with an order that waits for its payment.
    async fn with_open_order() -> Self {
        let till = Self::new();
        till.open(0).await;
        till
    }

    async fn command(&self, queue: &str, kind: &str, lambda: Lambda, data: &Value) -> bool {
        let called = self.aws.call(&lambda, events::message(queue, kind, data)).await;
        called.ok()["batchItemFailures"].as_array().is_none_or(Vec::is_empty)
    }

    fn costs(&self, drive: u64) -> Value {
        let expires_at = shop::clock().now().plus(Duration::from_secs(1800));
        json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "expires_at": expires_at, "tries": 3, "drive": drive })
    }

    async fn open(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), open_payment, Queue::new(sqs::url("open-payment")));
        self.command("open-payment", "open_payment.v1", lambda, &self.costs(drive)).await
    }

    async fn charge(&self, token: &str, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), charge_payment, Queue::new(sqs::url("charge-payment")));
        let mut data = self.costs(drive);
        data["payment_method"] = json!({ "type": "card", "token": token });
        self.command("charge-payment", "charge_payment.v1", lambda, &data).await
    }

    async fn cancel(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), cancel_payment, Queue::new(sqs::url("cancel-payment")));
        let data = json!({ "order_id": ORDER, "user_id": USER, "amount": { "amount": PRICE, "currency": "USD" }, "drive": drive });
        self.command("cancel-payment", "cancel_payment.v1", lambda, &data).await
    }

    async fn refund(&self, drive: u64) -> bool {
        let lambda = queue::lambda(self.payments.clone(), refund_payment, Queue::new(sqs::url("refund-payment")));
        self.command("refund-payment", "refund_payment.v1", lambda, &json!({ "order_id": ORDER, "drive": drive })).await
    }

    /// Lets time go by, and reconciles.
    async fn reconcile_after(&self, seconds: u64) -> Value {
        self.clock.advance(Duration::from_secs(seconds));
        let lambda = invoke::lambda(self.payments.clone(), reconcile_payments);
        self.aws.call(&lambda, json!({})).await.ok().clone()
    }

    async fn post(&self, key: &str, body: &Value) -> Called {
        let lambda = http::lambda(self.payments.clone(), create_payment);
        self.aws.call(&lambda, events::post("/payments", body).caller(USER).header("idempotency-key", key).event()).await
    }

    async fn pay(&self, key: &str, token: &str) -> Called {
        self.post(key, &json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": token } })).await
    }

    async fn head(&self) -> Head {
        self.payments.store().head(order()).await.unwrap().expect("the order has a head")
    }

    async fn attempt_state(&self) -> AttemptState {
        let attempt = self.payments.store().attempt(PaymentId::automatic(order())).await.unwrap();
        attempt.expect("there is an automatic attempt").state
    }

    /// What the provider really did: charges, and what it gave back.
    fn books(&self) -> (usize, i64) {
        let items = self.aws.items("payment-simulator");
        let of = |kind: &str| {
            items.iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind))).cloned().collect::<Vec<_>>()
        };
        let amount = |item: &Value| item["amount"]["N"].as_str().unwrap().parse::<i64>().unwrap();
        (of("CHARGE#").len(), of("REFUND#").iter().map(amount).sum())
    }

    /// How many records are still to be looked at.
    fn unsettled(&self) -> usize {
        self.aws.items("payments").iter().filter(|item| item.get("check_at").is_some()).count()
    }

    fn publisher(&self) -> Pump {
        let sender = self.aws.sender(QUEUES, "publish-payment-dead-letter");
        Pump::new(&self.aws).publisher("payments", stream::lambda("publish-payment-events", PUBLISHED, publish::messages, sender))
    }

    /// What orders was told since it was last asked.
    async fn told(&self, pump: &mut Pump) -> Vec<String> {
        pump.publish().await;
        let messages = self.aws.queues().take("order-events", 100);
        messages.iter().map(|message| message.json()["type"].as_str().unwrap().trim_end_matches(".v1").to_owned()).collect()
    }

    /// From here on no call arrives: what a function that dies leaves behind.
    fn die_after(&self, calls: usize) {
        for call in calls..calls + 40 {
            self.aws.fail(call, Fault::LoseRequest);
        }
    }
}

fn order() -> OrderId {
    OrderId::parse(ORDER).unwrap()
}

#[tokio::test]
async fn a_payment_takes_four_round_trips_and_is_answered_the_same_again() {
    let till = Till::with_open_order().await;
    let first = till.pay("key", "tok_ok").await;
    assert_eq!(first.status(), 201);
    assert_eq!(first.operations_on("payments"), ["BatchGetItem", "TransactWriteItems", "PutItem", "TransactWriteItems"]);
    assert_eq!(first.json()["status"], "completed");
    assert_eq!(first.json()["amount"], json!({ "amount": PRICE, "currency": "USD" }));
    assert_eq!(first.header("location"), Some(format!("/v1/payments/{}", first.json()["id"].as_str().unwrap())));

    // Later events change the payment, not the answer.
    till.clock.advance(Duration::from_secs(100_000));
    assert!(till.refund(1).await);
    let again = till.pay("key", "tok_ok").await;
    assert_eq!(again.ok()["body"], first.ok()["body"]);
    assert_eq!((again.status(), again.header("idempotent-replayed").as_deref()), (201, Some("true")));
    assert_eq!(till.pay("key", "tok_declined").await.json()["code"], "idempotency_key_reused");
    let other = json!({ "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f2", "payment_method": { "type": "card", "token": "tok_ok" } });
    assert_eq!(till.post("key", &other).await.json()["code"], "idempotency_key_reused");
    assert_eq!(till.pay("another", "tok_ok").await.json()["code"], "already_paid");
    assert_eq!(till.books(), (1, PRICE));
}

#[tokio::test]
async fn a_decline_is_402_byte_for_byte_and_the_last_one_closes_the_order() {
    let till = Till::with_open_order().await;
    for (number, (token, reason)) in
        [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds"), ("nonsense", "invalid_payment_method")]
            .iter()
            .enumerate()
    {
        let key = format!("key-{number}");
        let first = till.pay(&key, token).await;
        assert_eq!((first.status(), first.json()["failure_reason"].as_str()), (402, Some(*reason)));
        let again = till.pay(&key, token).await;
        assert_eq!((again.status(), &again.ok()["body"]), (402, &first.ok()["body"]));
        assert_eq!(again.header("idempotent-replayed").as_deref(), Some("true"));
    }
    assert_eq!(till.head().await.state, HeadState::Closed);
    assert_eq!(till.pay("key-4", "tok_ok").await.json()["code"], "order_closed");
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn an_unknown_outcome_is_202_and_is_settled_by_asking() {
    for token in ["tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"] {
        let till = Till::with_open_order().await;
        let first = till.pay("key", token).await;
        assert_eq!((first.status(), first.json()["status"].as_str()), (202, Some("unknown")), "{token}");
        assert_eq!(till.pay("key", token).await.status(), 202);
        assert_eq!(till.pay("another", "tok_ok").await.json()["code"], "payment_in_progress");
        assert_eq!(till.reconcile_after(10).await["examined"], 0, "not yet");
        assert_eq!(till.reconcile_after(60).await["settled"], 1, "{token}");
        assert_eq!(till.pay("key", token).await.status(), 201);
        assert_eq!((till.books(), till.unsettled()), ((1, 0), 0), "{token}");
        assert_eq!(till.reconcile_after(3600).await["examined"], 0);
    }
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_and_writes_nothing() {
    let till = Till::with_open_order().await;
    let before = till.aws.items("payments");
    let method = json!({ "type": "card", "token": "tok_ok" });
    let unknown = "ord_0199c2a8-0000-7000-8000-00000000ffff";
    for (body, status, code) in [
        (json!({ "order_id": unknown, "payment_method": method }), 404, "order_not_found"),
        (json!({ "order_id": ORDER, "amount": { "amount": 1, "currency": "USD" }, "payment_method": method }), 422, "amount_mismatch"),
        (
            json!({ "order_id": ORDER, "amount": { "amount": PRICE, "currency": "EUR" }, "payment_method": method }),
            422,
            "currency_mismatch",
        ),
        (json!({ "order_id": ORDER, "amount": { "amount": -1, "currency": "USD" }, "payment_method": method }), 422, "out_of_range"),
        (json!({ "order_id": ORDER, "amount": 5998, "payment_method": method }), 422, "wrong_type"),
        (json!({ "order_id": USER, "payment_method": method }), 422, "invalid_id"),
        (json!({ "order_id": ORDER }), 422, "required"),
        (json!({ "order_id": ORDER, "payment_method": { "type": "cash", "token": "x" } }), 422, "unknown_value"),
        (json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": "" } }), 422, "invalid_token"),
        (json!({ "order_id": ORDER, "payment_method": { "type": "card", "token": "4242 4242 4242 4242" } }), 422, "card_number_refused"),
        (json!({ "order_id": ORDER, "payment_method": method, "status": "paid" }), 422, "unknown_field"),
    ] {
        let answer = till.post("key", &body).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (status, Some(code)), "{body}");
    }
    let lambda = http::lambda(till.payments.clone(), create_payment);
    let body = json!({ "order_id": ORDER, "payment_method": method });
    let foreign = till.aws.call(&lambda, events::post("/payments", &body).caller(STRANGER).header("idempotency-key", "key").event()).await;
    let unknown = till.post("key", &json!({ "order_id": unknown, "payment_method": method })).await;
    assert_eq!((foreign.status(), foreign.json()), (404, unknown.json()), "another's order looks as one that is not there");
    assert_eq!(till.aws.items("payments"), before);

    till.clock.advance(Duration::from_secs(1800));
    assert_eq!(till.pay("key", "tok_ok").await.json()["code"], "order_closed");
    assert_eq!(till.books(), (0, 0));
}

#[tokio::test]
async fn fifty_at_once_charge_once() {
    for (seed, same_key) in (0..6).flat_map(|seed| [(seed, true), (seed, false)]) {
        let till = Arc::new(Till::crowded(seed));
        till.open(0).await;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..50 {
            let till = till.clone();
            let key = if same_key { "key".to_owned() } else { format!("key-{number}") };
            asked.spawn(async move {
                let answer = till.pay(&key, "tok_ok").await;
                (answer.status(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
            });
        }
        let answers = asked.join_all().await;
        let refusals = if same_key { ["request_in_progress", "request_in_progress"] } else { ["payment_in_progress", "already_paid"] };
        let allowed = |(status, code): &(u64, String)| *status == 201 || *status == 409 && refusals.contains(&code.as_str());
        assert!(answers.iter().all(allowed), "{answers:?}");
        let completed = answers.iter().filter(|(status, _)| *status == 201).count();
        assert!(completed == 1 || same_key && completed > 1, "{answers:?}");
        assert_eq!((till.books(), till.unsettled()), ((1, 0), 0));
        let attempts = till.payments.store().head_and_attempts(order()).await.unwrap().1;
        assert_eq!(attempts.len(), 1);
    }
}

#[tokio::test]
async fn whoever_meets_whom_the_order_that_gave_up_keeps_no_money() {
    let tokens = ["tok_ok", "tok_declined", "tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"];
    for seed in 0..60 {
        let till = Arc::new(Till::crowded(seed * 1000));
        let token = tokens[usize::try_from(seed).unwrap() % tokens.len()];
        let mut crowd = tokio::task::JoinSet::new();
        for round in 0..2_u64 {
            for role in 0..9_u64 {
                let till = till.clone();
                crowd.spawn(async move {
                    for _ in 0..(seed * 7 + role * 5 + round * 23) % 41 {
                        tokio::task::yield_now().await;
                    }
                    match role {
                        0 | 1 => drop(till.charge(token, round).await),
                        2 => drop(till.cancel(round).await),
                        3 => drop(till.refund(round).await),
                        4 => drop(till.reconcile_after(7).await),
                        5 => drop(till.reconcile_after(40).await),
                        6 => drop(till.pay("a key", "tok_ok").await),
                        7 => drop(till.pay(&format!("key {round}"), token).await),
                        _ => drop(till.open(round).await),
                    }
                });
            }
        }
        crowd.join_all().await;
        for drive in 2..6 {
            till.cancel(drive).await;
            till.reconcile_after(300).await;
            till.refund(drive).await;
            till.reconcile_after(300).await;
        }
        let (charges, refunded) = till.books();
        let head = till.head().await;
        let charged = i64::try_from(charges).unwrap() * PRICE;
        assert!(charges <= 1, "{token}, seed {seed}: {charges} charges");
        assert_eq!(
            (refunded, head.captured_total, head.refunded_total, till.unsettled()),
            (charged, charged, charged, 0),
            "{token}, seed {seed}"
        );
        assert_eq!(head.state, if charges == 1 { HeadState::Captured } else { HeadState::Closed }, "{token}, seed {seed}");
    }
}

#[tokio::test]
async fn what_follows_from_an_old_reading_is_refused_whole() {
    let till = Till::with_open_order().await;
    let store = till.payments.store();
    let read = till.head().await;
    assert!(till.open(1).await, "somebody else answers meanwhile");
    let now = till.clock.now();
    let stale = read.fence(None, 2, now, &read.traceparent);
    let Stored::Refused(standing) = store.write(&stale, None).await.unwrap() else { panic!("a stale write is refused") };
    assert_eq!(standing.head, Some(till.head().await), "what stands there comes back");
    assert_eq!(till.head().await.state, HeadState::Open);

    assert_eq!(till.pay("key", "tok_ok").await.status(), 201);
    let (head, attempts) = store.head_and_attempts(order()).await.unwrap();
    let (head, attempt) = (head.unwrap(), &attempts[0]);
    let outdated =
        Change { head: Some(Head { version: head.version + 1, ..head.clone() }), attempt: Some(attempt.clone()), ..Change::default() };
    assert!(matches!(store.write(&outdated, None).await.unwrap(), Stored::Refused(_)), "an old attempt holds back its head");
    assert_eq!(till.head().await, head);
}

/// Whatever became of the first delivery: messages that come again, nudges and the schedule bring the order to its end.
async fn until_settled(till: &mut Till, token: &str) {
    till.aws.heal();
    for _ in 0..4 {
        till.clock.advance(Duration::from_secs(70));
        till.drive += 1;
        till.charge(token, till.drive).await;
        till.reconcile_after(1).await;
    }
}

#[tokio::test]
async fn a_charge_that_dies_anywhere_charges_once_in_the_end() {
    for token in ["tok_ok", "tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"] {
        for calls in 0..CALLS {
            let mut till = Till::new();
            till.die_after(calls);
            till.charge(token, 0).await;
            assert!(till.books().0 <= 1);
            until_settled(&mut till, token).await;
            assert_eq!(
                (till.head().await.state, till.books(), till.unsettled()),
                (HeadState::Captured, (1, 0), 0),
                "{token} died after {calls}"
            );
        }
    }
}

#[tokio::test]
async fn a_charge_survives_each_fault_and_each_pair_of_faults() {
    for token in ["tok_ok", "tok_timeout_before_charge"] {
        for first in 0..USUAL_CALLS {
            for second in first + 1..=USUAL_CALLS {
                for (fault, other) in FAULTS.iter().flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other))) {
                    let mut till = Till::new();
                    till.aws.fail(first, fault);
                    till.aws.fail(second, other);
                    till.charge(token, 0).await;
                    until_settled(&mut till, token).await;
                    let end = (HeadState::Captured, (1, 0), 0);
                    assert_eq!(
                        (till.head().await.state, till.books(), till.unsettled()),
                        end,
                        "{token}: {fault:?} at {first}, {other:?} at {second}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_post_survives_each_fault_and_its_repetition_tells_the_truth() {
    for call in 0..CALLS {
        for fault in FAULTS {
            let till = Till::with_open_order().await;
            till.aws.fail(call, fault);
            let first = till.pay("key", "tok_ok").await;
            assert!([201, 202, 409, 503].contains(&first.status()), "{fault:?} at {call}: {:?}", first.answer);
            till.aws.heal();
            till.clock.advance(Duration::from_secs(31));
            till.pay("key", "tok_ok").await;
            till.reconcile_after(60).await;
            assert_eq!(till.pay("key", "tok_ok").await.status(), 201, "{fault:?} at {call}");
            assert_eq!((till.head().await.state, till.books(), till.unsettled()), (HeadState::Captured, (1, 0), 0), "{fault:?} at {call}");
        }
    }
}

#[tokio::test]
async fn an_attempt_that_was_never_sent_is_given_up_and_the_order_can_be_paid_again() {
    let till = Till::with_open_order().await;
    till.die_after(2);
    assert_eq!(till.pay("key", "tok_ok").await.status(), 503);
    till.aws.heal();
    assert_eq!(till.pay("key", "tok_ok").await.json()["code"], "request_in_progress");
    till.reconcile_after(100).await;
    assert_eq!(till.head().await.state, HeadState::Busy, "its sender may still come");
    till.reconcile_after(100).await;
    assert_eq!(till.head().await.state, HeadState::Open);
    assert_eq!(till.pay("key", "tok_ok").await.status(), 402);
    assert_eq!(till.pay("another", "tok_ok").await.status(), 201);
    assert_eq!(till.books().0, 1);
}

#[tokio::test]
async fn the_fence_stops_what_was_not_sent_and_what_comes_late() {
    let till = Till::new();
    assert!(till.cancel(0).await);
    assert_eq!(till.head().await.state, HeadState::Closed, "a tombstone");
    assert!(till.charge("tok_ok", 1).await && till.open(2).await);
    assert_eq!(till.books(), (0, 0));

    let till = Till::new();
    till.die_after(2);
    till.charge("tok_ok", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::New);
    assert!(till.cancel(0).await);
    assert_eq!((till.head().await.state, till.attempt_state().await), (HeadState::Closed, AttemptState::Abandoned));
    till.clock.advance(Duration::from_secs(60));
    assert!(till.charge("tok_ok", 1).await);
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn money_that_is_captured_after_a_cancel_goes_back() {
    for token in ["tok_timeout_after_charge", "tok_timeout_before_charge", "tok_5xx_then_ok"] {
        let till = Till::new();
        let mut pump = till.publisher();
        assert!(till.charge(token, 0).await);
        assert_eq!(till.told(&mut pump).await, ["payment_started", "payment_unknown"]);
        assert!(till.cancel(1).await);
        assert_eq!(till.head().await.state, HeadState::Closing);
        assert_eq!(till.told(&mut pump).await, ["payment_unknown"]);
        till.reconcile_after(61).await;
        assert_eq!(till.told(&mut pump).await, ["payment_succeeded"]);
        assert!(till.cancel(2).await, "the fence on a captured head answers again");
        assert_eq!(till.told(&mut pump).await, ["payment_succeeded"]);
        assert!(till.refund(3).await);
        assert_eq!(till.told(&mut pump).await.last().unwrap(), "payment_refunded");
        assert!(till.refund(3).await && till.refund(4).await, "again");
        assert_eq!(till.told(&mut pump).await, ["payment_refunded"]);
        assert_eq!((till.books(), till.unsettled()), ((1, PRICE), 0), "{token}");
        assert!(till.aws.queues().take("publish-payment-dead-letter", 10).is_empty());
    }
}

#[tokio::test]
async fn a_declined_attempt_under_a_cancelled_order_closes_it() {
    let till = Till::new();
    let mut pump = till.publisher();
    // Dies between marking the attempt as sent and asking the provider.
    till.die_after(3);
    till.charge("tok_declined", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::Sent);
    assert!(till.cancel(1).await);
    till.reconcile_after(61).await;
    assert_eq!(till.told(&mut pump).await, ["payment_started", "payment_started", "payment_closed"]);
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn a_refund_that_dies_anywhere_refunds_once_in_the_end() {
    for calls in 0..CALLS {
        let mut till = Till::new();
        assert!(till.charge("tok_ok", 0).await);
        till.die_after(calls);
        till.refund(1).await;
        till.aws.heal();
        for _ in 0..3 {
            till.drive += 1;
            till.clock.advance(Duration::from_secs(65));
            till.refund(1 + till.drive).await;
            till.reconcile_after(1).await;
        }
        let head = till.head().await;
        assert_eq!((head.refunded_total, head.refundable, till.books(), till.unsettled()), (PRICE, 0, (1, PRICE), 0), "died after {calls}");
    }
}

#[tokio::test]
async fn a_refund_survives_each_pair_of_faults() {
    for first in 0..USUAL_CALLS {
        for second in first + 1..=USUAL_CALLS {
            for (fault, other) in FAULTS.iter().flat_map(|fault| LATER_FAULTS.iter().map(move |other| (*fault, *other))) {
                let till = Till::new();
                assert!(till.charge("tok_ok", 0).await);
                till.aws.fail(first, fault);
                till.aws.fail(second, other);
                till.refund(1).await;
                till.aws.heal();
                for drive in 2..5 {
                    till.clock.advance(Duration::from_secs(65));
                    till.refund(drive).await;
                    till.reconcile_after(1).await;
                }
                assert_eq!(
                    (till.head().await.refunded_total, till.books(), till.unsettled()),
                    (PRICE, (1, PRICE), 0),
                    "{fault:?} at {first}, {other:?} at {second}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refund_that_fails_is_told_and_the_next_one_has_another_id() {
    let till = Till::new();
    let mut pump = till.publisher();
    assert!(till.charge("tok_ok", 0).await);
    let books = till.aws.table("payment-simulator");
    let charge = format!("CHARGE#ch_{}", PaymentId::automatic(order()).attempt().simple());
    let set = |amount: i64| {
        let change = Expression::new("SET #refundable = :amount").value("amount", amount);
        books.update(Key::new(&charge), change, Expression::present())
    };
    assert_eq!(set(0).await.unwrap(), Outcome::Written);
    till.told(&mut pump).await;
    assert!(till.refund(1).await);
    assert_eq!(till.told(&mut pump).await.last().unwrap(), "payment_refund_failed");
    let head = till.head().await;
    assert_eq!((head.refundable, head.refunded_total, till.unsettled()), (PRICE, 0, 0));

    assert_eq!(set(PRICE).await.unwrap(), Outcome::Written);
    assert!(till.refund(2).await);
    assert_eq!(till.told(&mut pump).await.last().unwrap(), "payment_refunded");
    assert_eq!(till.books(), (1, PRICE));
}

#[tokio::test]
async fn what_was_asked_before_is_answered_again_once_for_each_drive() {
    let till = Till::new();
    let mut pump = till.publisher();
    assert!(till.charge("tok_ok", 0).await);
    assert_eq!(till.told(&mut pump).await, ["payment_started", "payment_succeeded"]);
    for _ in 0..3 {
        assert!(till.charge("tok_ok", 1).await);
    }
    assert_eq!(till.told(&mut pump).await, ["payment_succeeded"]);
    assert!(till.charge("tok_ok", 0).await);
    assert!(till.told(&mut pump).await.is_empty());

    let till = Till::with_open_order().await;
    let mut pump = till.publisher();
    assert!(till.open(1).await);
    assert!(till.told(&mut pump).await.is_empty(), "an open head has nothing to tell");
    assert!(till.cancel(2).await && till.cancel(3).await && till.open(4).await);
    assert_eq!(till.told(&mut pump).await, ["payment_closed", "payment_closed", "payment_closed"]);
}

#[tokio::test]
async fn a_charge_that_comes_after_its_time_charges_nobody() {
    let till = Till::new();
    let mut pump = till.publisher();
    till.clock.advance(Duration::from_secs(1800));
    assert!(till.charge("tok_ok", 0).await);
    assert_eq!(till.told(&mut pump).await, ["payment_closed"]);
    assert_eq!(till.books(), (0, 0));
}

#[tokio::test]
async fn payments_are_shown_to_their_payer_and_to_the_shop_alone() {
    let till = Till::with_open_order().await;
    till.pay("one", "tok_declined").await;
    till.clock.advance(Duration::from_secs(1));
    let paid = till.pay("two", "tok_ok").await.json();
    let id = paid["id"].as_str().unwrap();
    let get = http::lambda(till.payments.clone(), get_payment);
    let read = |id: &str, reader: &str| {
        let event = events::get(&format!("/payments/{id}")).path_parameter("payment_id", id).caller(reader).event();
        let (aws, get) = (till.aws.clone(), get.clone());
        async move { aws.call(&get, event).await }
    };
    let mine = read(id, USER).await;
    assert_eq!((mine.status(), mine.json(), mine.operations()), (200, paid.clone(), vec!["GetItem"]));
    assert_eq!(read(id, ADMIN).await.status(), 200);
    let unknown = format!("pay_{}_{}", &ORDER[4..], &ORDER[4..]);
    assert_eq!(read(id, STRANGER).await.json(), read(&unknown, USER).await.json());
    for odd in ["pay_x", ORDER, &id.to_uppercase(), &format!("{id}/"), &"9".repeat(10_000)] {
        let answer = read(odd, USER).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str(), answer.calls.len()), (404, Some("payment_not_found"), 0), "{odd}");
    }

    let list = http::lambda(till.payments.clone(), list_payments);
    let page = |query: &str, reader: &str| {
        let event = events::get(&format!("/payments?{query}")).caller(reader).event();
        let (aws, list) = (till.aws.clone(), list.clone());
        async move { aws.call(&list, event).await }
    };
    let all = page(&format!("order_id={ORDER}"), USER).await;
    let statuses = |answer: &Called| {
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((statuses(&all), all.operations()), (vec!["failed".to_owned(), "completed".to_owned()], vec!["Query"]));
    let first = page(&format!("order_id={ORDER}&limit=1"), ADMIN).await.json();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), ADMIN).await;
    assert_eq!((statuses(&second), second.json()["next_cursor"].clone()), (vec!["completed".to_owned()], Value::Null));
    assert_eq!(page(&format!("order_id={ORDER}&limit=1&cursor={cursor}"), USER).await.json()["code"], "invalid_cursor");
    assert_eq!(page("limit=1", USER).await.json()["errors"][0]["pointer"], "?order_id");
    assert_eq!(page(&format!("order_id={ORDER}"), STRANGER).await.json()["code"], "order_not_found");
    assert_eq!(page("order_id=ord_x", USER).await.json()["code"], "order_not_found");
}

#[tokio::test]
async fn the_samples_fit_together() {
    let till = Till::new();
    // The samples speak of a fixed time: the till's clock stands within it.
    let call = |lambda: Lambda, operation: &'static str| {
        let aws = till.aws.clone();
        async move { aws.call(&lambda, events::sample(operation)).await }
    };
    let done = json!({ "batchItemFailures": [] });
    let payments = || till.payments.clone();
    let queue = |name: &str| Queue::new(sqs::url(name));
    assert_eq!(*call(queue::lambda(payments(), open_payment, queue("open-payment")), "open-payment").await.ok(), done);
    assert_eq!(call(http::lambda(payments(), create_payment), "create-payment").await.status(), 201);
    assert_eq!(call(http::lambda(payments(), list_payments), "list-payments").await.json()["items"][0]["status"], "completed");
    assert_eq!(call(http::lambda(payments(), get_payment), "get-payment").await.json()["code"], "payment_not_found");
    assert_eq!(*call(queue::lambda(payments(), charge_payment, queue("charge-payment")), "charge-payment").await.ok(), done);
    assert_eq!(*call(queue::lambda(payments(), cancel_payment, queue("cancel-payment")), "cancel-payment").await.ok(), done);
    assert_eq!(*call(queue::lambda(payments(), refund_payment, queue("refund-payment")), "refund-payment").await.ok(), done);
    assert_eq!(till.books(), (1, PRICE));
    let sender = till.aws.sender(QUEUES, "publish-payment-dead-letter");
    let publisher = stream::lambda("publish-payment-events", PUBLISHED, publish::messages, sender);
    assert!(call(publisher, "publish-payment-events").await.answer.is_ok());
    let told = till.aws.queues().take("order-events", 10);
    assert_eq!(told.iter().map(|message| message.json()["type"].clone()).collect::<Vec<_>>(), ["payment_succeeded.v1"]);
}

#[tokio::test]
async fn a_key_that_the_provider_may_have_forgotten_is_never_sent_again() {
    let till = Till::new();
    // Dies between marking the attempt as sent and asking the provider, and the books stay out of reach until the key is old.
    till.die_after(3);
    till.charge("tok_ok", 0).await;
    till.aws.heal();
    assert_eq!(till.attempt_state().await, AttemptState::Sent);
    let hours = |hours: u64| hours * 3600;
    till.reconcile_after(hours(23) + 60).await;
    assert_eq!((till.attempt_state().await, till.books().0), (AttemptState::OutcomeUnknown, 0), "too old to repeat, too young to give up");
    till.reconcile_after(hours(1)).await;
    assert_eq!((till.attempt_state().await, till.head().await.state), (AttemptState::Abandoned, HeadState::Closed));
    assert!(till.charge("tok_ok", 1).await);
    assert_eq!((till.books(), till.unsettled()), ((0, 0), 0));
}

#[tokio::test]
async fn an_answer_that_is_lost_and_asked_for_again_by_the_sdk_changes_nothing() {
    for call in 0..5 {
        let aws = Aws::new();
        let retry = aws_config::retry::RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1));
        let till = Till::over(aws.clone(), &aws.sdk_config().to_builder().retry_config(retry).build());
        till.open(0).await;
        aws.fail(call, Fault::LoseResponse);
        assert_eq!(till.pay("key", "tok_ok").await.status(), 201, "the answer to call {call} was lost");
        assert_eq!((till.head().await.state, till.books(), till.unsettled()), (HeadState::Captured, (1, 0), 0));
    }
}
