//! The audit reads Stripe's statement when Stripe is the provider.

use std::sync::Arc;

use super::{fixture::*, *};

#[tokio::test]
async fn stripe_statement_is_read_with_stripe() {
    let fixture = LedgerFixture::past_grace().await;
    // The statement contains the simulated provider's records, as if Stripe had been the provider.
    let text_of = |item: &Value, name: &str| text(&item[name]["S"]);
    let charges: Vec<Value> = fixture
        .aws
        .items("payment-simulator")
        .into_iter()
        .filter(|item| text_of(item, "pk").starts_with("CHARGE#"))
        .collect();
    let refunds: Vec<Value> = fixture
        .aws
        .items("payment-simulator")
        .into_iter()
        .filter(|item| text_of(item, "pk").starts_with("REFUND#"))
        .collect();
    let number =
        |item: &Value, name: &str| item[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
    let intents: Vec<Value> = charges
        .iter()
        .map(|charge| {
            let metadata = json!({ "order_id": text_of(charge, "order_id"), "payment_id": text_of(charge, "payment_id") });
            json!({ "id": text_of(charge, "charge_id"), "status": "succeeded", "amount_received": number(charge, "amount"), "currency": "usd", "metadata": metadata })
        })
        .collect();
    let stripe_refunds: Vec<Value> = refunds
        .iter()
        .map(|refund| {
            let metadata = json!({ "refund_id": text_of(refund, "pk").trim_start_matches("REFUND#") });
            json!({ "id": "re_1", "status": "succeeded", "amount": number(refund, "amount"), "payment_intent": text_of(refund, "charge_id"), "metadata": metadata })
        })
        .collect();
    assert!(intents.len() == 2 && stripe_refunds.len() == 1);
    for attempt in fixture
        .aws
        .items("payments")
        .into_iter()
        .filter(|item| text_of(item, "sk").starts_with("ATTEMPT#"))
    {
        let mut at_stripe = attempt.clone();
        at_stripe["provider"] = json!({ "S": "stripe" });
        fixture.aws.put("payments", &at_stripe);
    }
    fixture.aws.secrets_manager().set("stripe-key", "sk_test_key");
    let audit = async |intents: &[Value], refunds: &[Value]| {
        let stripe = stripe::Double::open(intents.to_vec(), refunds.to_vec());
        let secrets = fixture.aws.secrets_at(fixture.clock.clone());
        let statement = provider::StripeStatement::new(stripe.url(), secrets);
        fixture
            .shop
            .clone()
            .with_statement(Some(Arc::new(statement)))
            .call("reconcile-ledger", json!({}))
            .await
            .ok()
            .clone()
    };
    let clean = audit(&intents, &stripe_refunds).await;
    assert_eq!(
        (unbalanced(&clean), &clean["provider"], &clean["not_checked"]),
        (BTreeSet::new(), &json!("Stripe"), &json!([])),
        "{clean:#}"
    );
    let changed = |list: &[Value], id: &str, pointer: &str, value: Value| {
        let mut list = list.to_vec();
        let one =
            list.iter_mut().find(|one| one["metadata"]["order_id"] == id || id.is_empty()).unwrap();
        *one.pointer_mut(pointer).unwrap() = value;
        list
    };
    let disputed = |list: &[Value], id: &str| {
        let mut list = list.to_vec();
        let one = list.iter_mut().find(|one| one["metadata"]["order_id"] == id).unwrap();
        one["latest_charge"] = json!({ "disputed": true });
        one["dispute"] = json!({ "id": "dp_1", "status": "lost", "amount": 7000 });
        list
    };
    for (name, intents, refunds, named, check) in [
        (
            "less",
            changed(&intents, &fixture.confirmed, "/amount_received", json!(1)),
            stripe_refunds.clone(),
            &fixture.confirmed,
            "charge_at_provider",
        ),
        (
            "euros",
            changed(&intents, &fixture.confirmed, "/currency", json!("eur")),
            stripe_refunds.clone(),
            &fixture.confirmed,
            "charge_at_provider",
        ),
        (
            "nothing",
            changed(&intents, &fixture.confirmed, "/status", json!("canceled")),
            stripe_refunds.clone(),
            &fixture.confirmed,
            "charge_at_provider",
        ),
        (
            "stranger",
            changed(&intents, &fixture.confirmed, "/metadata/order_id", json!("")),
            stripe_refunds.clone(),
            &fixture.confirmed,
            "order_at_provider",
        ),
        ("not refunded", intents.clone(), vec![], &fixture.refunded, "refund_at_provider"),
        (
            "by hand",
            intents.clone(),
            changed(&stripe_refunds, "", "/metadata", json!({})),
            &fixture.refunded,
            "refund_at_provider",
        ),
        (
            "a lost dispute that payments does not know",
            disputed(&intents, &fixture.confirmed),
            stripe_refunds.clone(),
            &fixture.confirmed,
            "dispute_at_provider",
        ),
    ] {
        let report = audit(&intents, &refunds).await;
        assert_eq!(unbalanced(&report), BTreeSet::from([named.clone()]), "{name}: {report:#}");
        assert!(checks(&report, named).contains(check), "{name}: {:?}", checks(&report, named));
    }
    // An unavailable Stripe is not a ledger mismatch.
    let statement = provider::StripeStatement::new(
        "http://127.0.0.1:9",
        fixture.aws.secrets_at(fixture.clock.clone()),
    );
    let silent = fixture.with_statement(Some(Arc::new(statement))).report(json!({})).await;
    assert_eq!(
        (unbalanced(&silent).len(), silent["not_checked"].as_array().unwrap().len()),
        (0, 3),
        "{silent:#}"
    );
}
