//! The reconciliation of orders, payments, stock, provider and ledger: all records agree, and one
//! changed figure is found.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::shop::{Person, Shop, shop_alone_with, until};

impl Shop {
    /// Runs the reconciliation over recent orders. Returns every mismatch and every unsettled
    /// record.
    async fn audit(&self) -> Vec<Value> {
        let (mut rows, mut event) = (Vec::new(), json!({}));
        loop {
            let report = self.invoke("reconcile-ledger", &event).await;
            for name in ["unsettled", "unbalanced", "products"] {
                rows.extend(report[name].as_array().unwrap().iter().cloned());
            }
            assert_eq!(report["not_checked"], json!([]));
            match report.get("continuation") {
                Some(continuation) => event = json!({ "continuation": continuation }),
                None => return rows,
            }
        }
    }

    /// Waits until the records of this order reconcile.
    pub async fn balances(&self, order: &str) {
        let event = json!({ "order_id": order });
        let read = || self.invoke("reconcile-ledger", &event);
        until(&format!("the records of {order} reconcile"), read, |report| report["balanced"] == 1)
            .await;
    }

    /// Backdates an order: the reconciliation skips recent changes.
    async fn age(&self, order: &str) {
        for (table, pk) in
            [("orders", format!("ORDER#{order}")), ("stock", format!("RESERVATION#{order}"))]
        {
            self.set(table, &[("pk", &pk)], "updated_at", S(LONG_AGO.to_owned())).await;
        }
        for item in self
            .scan("payments")
            .await
            .iter()
            .filter(|item| item["pk"].as_s().unwrap() == &format!("ORDER#{order}"))
        {
            let (pk, sk) = (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap());
            self.set("payments", &[("pk", pk), ("sk", sk)], "updated_at", S(LONG_AGO.to_owned()))
                .await;
        }
    }

    /// Writes a wrong figure into a record.
    async fn set(&self, table: &str, key: &[(&str, &str)], name: &str, value: AttributeValue) {
        let mut change = self.dynamodb.update_item().table_name(self.table(table));
        for (part, value) in key {
            change = change.key(*part, S((*value).to_owned()));
        }
        let change = change
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name);
        change.expression_attribute_values(":value", value).send().await.unwrap();
    }
}

const LONG_AGO: &str = "2026-01-01T00:00:00.000Z";

/// One order for each final state.
async fn one_of_each(shop: &Shop, admin: &Person, buyer: &Person, product: &str) -> Vec<String> {
    let cancel = |order: String| async move {
        buyer.post(&format!("/orders/{order}/cancel"), &json!({})).await.expect(202);
        buyer.order_with_status(&order, "cancelled").await;
        order
    };
    let paid = buyer.order(product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&paid, "confirmed").await;
    let refunded = buyer.order(product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&refunded, "confirmed").await;
    admin.refund(&buyer.payment_of(&refunded).await, 300).await.expect(201);
    let unpaid = buyer.order(product, 1, None).await;
    buyer.order_at_step(&unpaid, "awaiting_payment").await;
    let unpaid = cancel(unpaid).await;
    let cancelled = buyer.order(product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&cancelled, "confirmed").await;
    let cancelled = cancel(cancelled).await;
    let failed = buyer.order(product, 20, Some("tok_ok")).await;
    buyer.order_with_status(&failed, "failed").await;
    let lost = buyer.order(product, 1, Some("tok_timeout_after_charge")).await;
    let read = || async {
        shop.sweep().await;
        buyer.read_order(&lost).await
    };
    until("the charge is found", read, |order| order["status"] == "confirmed").await;
    vec![paid, refunded, unpaid, cancelled, failed, lost]
}

#[tokio::test]
async fn reconciliation_finds_every_changed_figure() {
    let shop = shop_alone_with!(Tables);
    let began = Clock::System.now().to_string();
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(1000, 15).await);
    let orders = one_of_each(&shop, &admin, &buyer, &product).await;
    for order in &orders {
        shop.balances(order).await;
    }
    let (status, said) = shop.operate("reconcile.py", &["--since", &began]).await;
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(" 0 unbalanced."), "{said}");

    let paid = &orders[0];
    shop.age(paid).await;
    let arguments = ["--order", paid.as_str()];
    let reconcile = &|| shop.operate("reconcile.py", &arguments);
    let order_key = format!("ORDER#{paid}");
    let charges = shop.scan("payment-simulator").await;
    let is_its_charge = |item: &&HashMap<String, AttributeValue>| {
        item["pk"].as_s().unwrap().starts_with("CHARGE#")
            && item["order_id"].as_s().unwrap() == paid
    };
    let charge = charges.iter().find(is_its_charge).unwrap()["pk"].as_s().unwrap();
    let is_named = |check: &'static str| async move {
        let (status, said) = reconcile().await;
        assert!(
            status == 1 && said.contains(paid.as_str()) && said.contains(check),
            "{status}: {said}"
        );
    };
    let balances = || async {
        let (status, said) = reconcile().await;
        assert!(status == 0 && said.contains("1 balance"), "{status}: {said}");
    };
    balances().await;
    for (table, pk, name, right, wrong, check) in [
        ("orders", &order_key, "captured_total", "1000", "1001", "captured_by_order"),
        ("orders", &order_key, "refunded_total", "0", "1", "refunded_by_order"),
        ("payment-simulator", charge, "amount", "1000", "999", "charge_at_provider"),
        ("payment-simulator", charge, "refundable", "1000", "999", "refundable_at_provider"),
    ] {
        shop.set(table, &[("pk", pk)], name, N(wrong.to_owned())).await;
        is_named(check).await;
        shop.set(table, &[("pk", pk)], name, N(right.to_owned())).await;
        balances().await;
    }
    let entries = shop.scan("ledger").await;
    let is_its_capture = |item: &&HashMap<String, AttributeValue>| {
        item["pk"].as_s().unwrap() == &order_key
            && item["kind"].as_s().is_ok_and(|kind| kind == "capture")
    };
    let capture = entries.iter().find(is_its_capture).unwrap().clone();
    let key = ["pk", "sk"].map(|part| (part.to_owned(), capture[part].clone()));
    shop.dynamodb
        .delete_item()
        .table_name(shop.table("ledger"))
        .set_key(Some(key.into()))
        .send()
        .await
        .unwrap();
    is_named("captured_by_ledger").await;
    shop.dynamodb
        .put_item()
        .table_name(shop.table("ledger"))
        .set_item(Some(capture))
        .send()
        .await
        .unwrap();
    balances().await;

    let stock_key = format!("STOCK#{product}");
    let available = shop.stock(&product).await.1;
    shop.set("stock", &[("pk", &stock_key)], "updated_at", S(LONG_AGO.to_owned())).await;
    shop.set("stock", &[("pk", &stock_key)], "available", N((available - 1).to_string())).await;
    let (status, said) = shop.operate("reconcile.py", &["--since", &began]).await;
    assert!(
        status == 1 && said.contains(&product) && said.contains("held_for_orders"),
        "{status}: {said}"
    );
    shop.set("stock", &[("pk", &stock_key)], "available", N(available.to_string())).await;
    let (status, said) = shop.operate("reconcile.py", &["--since", &began]).await;
    assert_eq!(status, 0, "{said}");
}

#[tokio::test]
async fn records_of_all_tests_reconcile_once_settled() {
    let shop = Shop::alone().await;
    // Orders in flight are allowed: an order can wait half an hour for its payment.
    let contradicts =
        |row: &Value| row["findings"].as_array().is_some_and(|findings| !findings.is_empty());
    let read = || async {
        shop.sweep().await;
        shop.audit().await.into_iter().filter(contradicts).collect::<Vec<_>>()
    };
    until("all records reconcile", read, Vec::is_empty).await;
    let (status, said) = shop.operate("reconcile.py", &[]).await;
    assert_eq!(status, 0, "{said}");
}
