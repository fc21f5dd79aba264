//! The faults that fire the alarms. The comment of a scenario says what fails.

use std::{sync::Arc, time::Duration};

use orders::{Orders, domain::unpaid::Limits};
use provider::{
    ProviderError,
    statement::{Statement, StatementError, StatementQuery, StatementReader},
};
use serde_json::{Value, json};
use shared::BoxFuture;
use tests::{
    aws::Aws,
    bank,
    events::{self, ADMIN, USER},
    provider::Network,
    ses,
    shop::{self, accounts::ADA},
};

use super::run::Run;

const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";

/// The tables of a service do not answer during five invocations.
pub async fn tables_do_not_answer(run: Run) {
    let (operation, event) = match run.service.as_str() {
        "users" => ("list-users", events::get("/users").caller(ADMIN).event()),
        "catalog" => ("list-products", events::get("/products").event()),
        "pricing" => ("list-markets", events::get("/markets").caller(ADMIN).event()),
        "inventory" => {
            let request = events::get("/inventory").path_parameter("product_id", &run.product);
            ("get-stock", request.caller(ADMIN).event())
        }
        "orders" => ("list-orders", events::get("/orders").caller(USER).event()),
        "payments" => {
            let path = format!("/payments?order_id={ORDER}");
            ("list-payments", events::get(&path).caller(USER).event())
        }
        "notifications" => {
            ("list-notifications", events::get("/notifications").caller(USER).event())
        }
        "ledger" => ("reconcile-ledger", json!({})),
        "platform" => {
            run.shop.call("check-health", json!({})).await.ok();
            ("get-health", events::get("/health").event())
        }
        other => panic!("which operation of {other} reads a table?"),
    };
    for _ in 0..5 {
        run.lose_requests();
        run.shop.call(operation, event.clone()).await;
        run.shop.aws.heal();
    }
}

/// A message that was sent more than an hour ago fails again, because the tables do not answer.
pub async fn old_message_fails(run: Run) {
    let consumer = match run.service.as_str() {
        "pricing" => "compile-market",
        "inventory" => "reserve-stock",
        "orders" => "replicate-product",
        "payments" => "open-payment",
        "notifications" => "send-notification",
        "ledger" => "record-entry",
        other => panic!("which operation of {other} consumes messages?"),
    };
    let mut message = events::sample(consumer);
    // Consumers compare it with the time of the machine.
    message["Records"][0]["attributes"]["SentTimestamp"] = json!("1000");
    run.lose_requests();
    run.shop.call(consumer, message).await.ok();
}

/// A record that a sweep has to process is unreadable.
pub async fn due_record_is_unreadable(run: Run) {
    let due = |pk: &str, shard: &str| {
        json!({
            "pk": { "S": pk },
            "check_shard": { "S": shard },
            "next_check_at": { "S": "2026-11-01T00:00:00.000Z" },
        })
    };
    let (sweep, table, record) = match run.service.as_str() {
        "catalog" => {
            let listed = json!({
                "pk": { "S": "PRODUCT#unreadable" },
                "active_shard": { "S": "active#0" },
                "name_sort": { "S": "!" },
            });
            ("resync-products", "products", listed)
        }
        "pricing" => {
            let listed = json!({
                "pk": { "S": "MARKET#unreadable" },
                "sk": { "S": "HEAD" },
                "list": { "S": "market" },
                "list_sort": { "S": "!" },
            });
            ("resync-pricing", "pricing", listed)
        }
        "inventory" => {
            ("check-reservations", "stock", due(&format!("RESERVATION#{ORDER}"), "held#0"))
        }
        "orders" => ("resume-orders", "orders", due(&format!("ORDER#{ORDER}"), "due#0")),
        "payments" => {
            let mut attempt = due(&format!("ORDER#{ORDER}"), "due#0");
            attempt["sk"] = json!({ "S": "ATTEMPT#unreadable" });
            ("reconcile-payments", "payments", attempt)
        }
        other => panic!("which sweep does {other} have?"),
    };
    if run.has_fault {
        run.shop.aws.put(table, &record);
    }
    run.shop.call(sweep, json!({})).await.ok();
}

/// After an order has reserved its stock, the consumers of inventory stop for two days. The order
/// is not paid in time, so its stock has to be released.
pub async fn consumers_of_inventory_stop(mut run: Run) {
    run.order("unpaid", None).await;
    if run.has_fault {
        for queue in ["reserve-stock", "release-stock", "commit-stock"] {
            run.harness.stop(queue);
        }
    }
    for hours in [1, 1, 1, 46] {
        run.pass(hours * 3600).await;
    }
    run.shop.call("check-reservations", json!({})).await.ok();
}

/// The storefront of a production shop places an order that names no market.
pub async fn storefront_names_no_market(run: Run) {
    let service = shop::orders(&run.shop.aws, &run.shop.clock);
    let limits = Limits { requires_market: run.has_fault, ..service.limits };
    let service = Arc::new(Orders { limits, ..service });
    let shop = run.shop.with(|shop| shop.orders = service);
    let placed = shop.order("k", &run.product, 1, None).await;
    let expected = if run.has_fault { 503 } else { 201 };
    assert_eq!(placed.status(), expected, "{:?}", placed.answer);
}

/// No request about a charge reaches the provider for half a day.
pub async fn charge_has_no_outcome(mut run: Run) {
    if run.has_fault {
        run.shop.provider.set_network(Network::RequestsLost);
    }
    run.order("paid", Some("tok_ok")).await;
    for _ in 0..12 {
        run.pass(3600).await;
    }
}

/// The provider does not answer five charges in a row.
pub async fn five_charges_time_out(mut run: Run) {
    if run.has_fault {
        run.shop.provider.set_network(Network::RequestsLost);
    }
    for number in 0..5 {
        run.order(&format!("order-{number}"), Some("tok_ok")).await;
    }
}

/// The provider rejects the API key.
pub async fn provider_rejects_the_key(mut run: Run) {
    if run.has_fault {
        run.shop.provider.set_network(Network::Unauthorized);
    }
    run.order("paid", Some("tok_ok")).await;
}

/// An attempt whose response was lost is recorded as abandoned, although the provider has captured
/// it. The buyer pays again, and then the provider reports the first capture.
pub async fn abandoned_charge_captures(mut run: Run) {
    let order = run.order("unpaid", None).await;
    let first = run.pay(&order, "first", "tok_timeout_after_charge").await;
    if run.has_fault {
        abandon_attempts(&run.shop.aws);
    }
    run.pay(&order, "second", "tok_ok").await;
    let first = first["id"].as_str().expect("the first attempt has an id");
    let object = json!({ "object": "payment_intent", "id": charge_of(first), "metadata": { "payment_id": first } });
    run.deliver_webhook("payment_intent.succeeded", &object).await;
}

/// Records every attempt as abandoned, and lets its order be paid again.
fn abandon_attempts(aws: &Aws) {
    for mut item in aws.items("payments") {
        let sort_key = item["sk"]["S"].as_str().unwrap_or_default().to_owned();
        let attributes = item.as_object_mut().expect("an item has attributes");
        if sort_key == "INTENT" {
            attributes.remove("active_attempt");
            attributes.insert("state".to_owned(), json!({ "S": "open" }));
        } else if sort_key.starts_with("ATTEMPT#") {
            attributes.remove("check_shard");
            attributes.remove("next_check_at");
            attributes.insert("state".to_owned(), json!({ "S": "abandoned" }));
        } else {
            continue;
        }
        aws.put("payments", &item);
    }
}

/// A buyer disputes a charge at their bank.
pub async fn buyer_disputes_the_charge(mut run: Run) {
    let order = run.order("paid", Some("tok_ok")).await;
    if run.has_fault {
        let charge = charge_of(&run.payment_of(&order).await);
        bank::dispute(&run.shop.aws, "dp_1", &charge, "open");
        let object = json!({ "object": "dispute", "id": "dp_1", "payment_intent": charge });
        run.deliver_webhook("charge.dispute.created", &object).await;
    }
}

/// A refund fails after it was completed: the provider holds the money again.
pub async fn completed_refund_fails(mut run: Run) {
    let order = run.order("paid", Some("tok_ok")).await;
    let payment = run.payment_of(&order).await;
    let refund = run.refund(&payment).await;
    if run.has_fault {
        bank::fail_refund(&run.shop.aws, &refund);
        let at_provider = format!("re_{}", refund.trim_start_matches("ref_").replace('-', ""));
        let metadata = json!({ "payment_id": payment, "refund_id": refund });
        let object = json!({ "object": "refund", "id": at_provider, "metadata": metadata });
        run.deliver_webhook("refund.failed", &object).await;
    }
}

/// The simulated provider's id of a payment's charge.
fn charge_of(payment: &str) -> String {
    format!("ch_{}", payment.rsplit('_').next().unwrap_or_default().replace('-', ""))
}

/// The message with the ledger entry of a capture is lost.
pub async fn ledger_entry_is_lost(mut run: Run) {
    run.harness.stop("record-entry");
    run.order("paid", Some("tok_ok")).await;
    let mut captures = 0;
    for message in run.shop.aws.queues().take("record-entry", 100) {
        let is_capture = message.json()["data"]["kind"] == "capture";
        captures += u32::from(is_capture);
        if !(is_capture && run.has_fault) {
            let event = events::sqs("record-entry", &[message]);
            assert!(run.shop.call("record-entry", event).await.is_done());
        }
    }
    assert_eq!(captures, 1);
    run.shop.clock.advance(ledger::GRACE * 2);
    run.shop.call("reconcile-ledger", json!({})).await.ok();
}

/// Two messages have the id of one ledger entry and different contents.
pub async fn ledger_entry_is_contradicted(run: Run) {
    let first = events::sample("record-entry").to_string();
    let amount = if run.has_fault { "5999" } else { "5998" };
    for message in [first.clone(), first.replace("5998", amount)] {
        run.shop.call("record-entry", event(&message)).await.ok();
    }
}

/// The provider does not answer during the daily run of the reconciliation.
pub async fn provider_statement_does_not_answer(mut run: Run) {
    run.order("paid", Some("tok_ok")).await;
    run.shop.clock.advance(ledger::GRACE * 2);
    let shop = match run.has_fault {
        true => run.shop.with_statement(Some(Arc::new(SilentStatement))),
        false => run.shop,
    };
    for _ in 0..2 {
        shop.call("reconcile-ledger", json!({ "source": "aws.events" })).await.ok();
        shop.clock.advance(Duration::from_secs(900));
    }
}

/// The statement of a provider that does not answer.
struct SilentStatement;

impl StatementReader for SilentStatement {
    fn name(&self) -> &'static str {
        "a provider that does not answer"
    }

    fn read<'a>(
        &'a self,
        _: &'a StatementQuery,
    ) -> BoxFuture<'a, Result<Statement, StatementError>> {
        let timeout = ProviderError::Indeterminate("timed out".to_owned());
        Box::pin(std::future::ready(Err(StatementError::Provider(timeout))))
    }
}

/// SES rejects the mails to 21 buyers.
pub async fn ses_rejects_mails(run: Run) {
    if run.has_fault {
        run.shop.aws.mails().refuse("MessageRejected");
    }
    let message = events::sample("send-notification").to_string();
    for number in 0..21 {
        let message = message.replace("0000000000e1", &format!("{number:012}"));
        run.shop.call("send-notification", event(&message)).await.ok();
    }
}

/// The mails to 21 buyers bounce: permanently with the fault, otherwise for the time being.
pub async fn mails_bounce(run: Run) {
    let kind = if run.has_fault { "Permanent" } else { "Transient" };
    for number in 0..21 {
        let bounce = ses::bounced(&format!("buyer-{number}@example.com"), kind);
        report_mail(&run, "mail_bounced.v1", &bounce).await;
    }
}

/// Three buyers report a mail as spam. Without the fault they withdraw such a report.
pub async fn recipients_complain(run: Run) {
    let kind = if run.has_fault { "abuse" } else { "not-spam" };
    for number in 0..3 {
        let complaint = ses::complained(&format!("buyer-{number}@example.com"), Some(kind));
        report_mail(&run, "mail_complained.v1", &complaint).await;
    }
}

/// Delivers a report of SES.
async fn report_mail(run: &Run, kind: &str, report: &Value) {
    let message = events::message("record-mail-feedback", kind, report);
    assert!(run.shop.call("record-mail-feedback", message).await.is_done());
}

/// A second party uses a refresh token that its owner has already used.
pub async fn refresh_token_is_used_twice(run: Run) {
    let user = run.shop.enrol(ADA).await;
    let session = run.shop.enter(user.id).await;
    assert_eq!(run.shop.refresh(&session.refresh_token).await.status(), 200);
    run.shop.clock.advance(users::domain::ROTATION_GRACE * 2);
    if run.has_fault {
        assert_eq!(run.shop.refresh(&session.refresh_token).await.status(), 401);
    }
}

fn event(text: &str) -> Value {
    serde_json::from_str(text).expect("a changed sample is still JSON")
}
