//! Sales: the ledger entries of a confirmed order, and their reversal when money is returned.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{events, harness::Harness, shop::Shop};

use super::{
    after_checkout::{cancel_order, payment_of, refund_payment, statuses},
    assert_settled, shop, time_passes,
};

/// A shop with an order of two teapots in the market `gb`, which adds shipping and tax.
async fn ordered(token: &str) -> (Shop, Harness, String) {
    let (shop, product) = shop().await;
    let pricing = events::pricing();
    let replicated = shop.call("replicate-pricing", events::pricing_changed(&pricing)).await;
    assert!(replicated.is_done());
    let mut request = events::order_request(&product, 2, Some(token));
    request["market"] = pricing["market"].clone();
    request["shipping_method"] = pricing["document"]["shipping_methods"][0]["id"].clone();
    let placed = shop.call("create-order", events::new_order("order", &request)).await;
    assert_eq!(placed.status(), 201, "{:?}", placed.answer);
    let order = placed.json()["id"].as_str().unwrap().to_owned();
    let mut harness = shop.harness();
    harness.drain_queues().await;
    (shop, harness, order)
}

fn entries(shop: &Shop) -> Vec<Value> {
    let mut entries = shop.aws.items("ledger");
    entries.retain(|item| item["lines"]["M"]["USD"]["M"].is_object());
    entries
}

/// The balances of money that are not 0, in minor units.
pub fn balances(shop: &Shop) -> BTreeMap<String, i64> {
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for entry in entries(shop) {
        for (account, amount) in entry["lines"]["M"]["USD"]["M"].as_object().unwrap() {
            let amount: i64 = amount["N"].as_str().unwrap().parse().unwrap();
            assert_ne!(amount, 0, "{entry}");
            *balances.entry(account.clone()).or_default() += amount;
        }
    }
    balances.retain(|_, balance| *balance != 0);
    balances
}

/// The number of entries of each kind that orders publishes.
fn sales(shop: &Shop) -> BTreeMap<String, u32> {
    let mut kinds = BTreeMap::new();
    for entry in entries(shop) {
        let kind = entry["kind"]["S"].as_str().unwrap();
        if kind.starts_with("sale") {
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    kinds
}

pub fn named<T: Copy>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[tokio::test]
async fn revenue_and_tax_in_the_ledger_are_those_of_the_price() {
    let (shop, _, order) = ordered("tok_ok").await;
    let read = shop.read_order(&order).await;
    assert_eq!(statuses(&read), ("confirmed", "paid"), "{read}");
    let (price, total) = (&read["price"], read["totals"]["total"]["amount"].as_i64().unwrap());
    let amount = |value: &Value| value.as_i64().unwrap();
    let lines = price["lines"].as_array().unwrap().iter();
    let goods: i64 = lines.map(|line| amount(&line["net"])).sum();
    let (shipping, tax) =
        (amount(&price["shipping"]["net"]), amount(&price["tax_summary"][0]["amount"]));
    assert!(goods > 0 && shipping > 0 && tax > 0, "{price}");
    let expected = [
        ("provider_clearing", total),
        ("revenue:goods", -goods),
        ("revenue:shipping", -shipping),
        ("tax:GB", -tax),
    ];
    assert_eq!(balances(&shop), named(&expected));
    assert_eq!(sales(&shop), named(&[("sale", 1)]));
    assert_settled(&shop).await;
}

#[tokio::test]
async fn refunds_in_parts_reverse_the_whole_sale() {
    let (shop, mut harness, order) = ordered("tok_ok").await;
    let total = balances(&shop)["provider_clearing"];
    let payment = payment_of(&shop, &order).await;
    for (key, cents, left) in
        [("one", Some(1), total - 1), ("two", Some(1000), total - 1001), ("three", None, 0)]
    {
        assert_eq!(refund_payment(&shop, key, &payment, cents).await.0, 201);
        harness.drain_queues().await;
        let balances = balances(&shop);
        assert_eq!(balances.get("provider_clearing").copied().unwrap_or_default(), left);
        assert_eq!(balances.get("customer_funds"), None, "{balances:?}");
        assert!(left > 0 || balances.is_empty(), "{balances:?}");
        assert_settled(&shop).await;
    }
    assert_eq!(sales(&shop), named(&[("sale", 1), ("sale_reversal", 3)]));
}

#[tokio::test]
async fn cancellation_after_confirmation_is_reversed_by_its_refund() {
    let (shop, mut harness, order) = ordered("tok_ok").await;
    let read = cancel_order(&shop, &mut harness, &order).await;
    assert_eq!(statuses(&read), ("cancelled", "refunded"), "{read}");
    assert_eq!(sales(&shop), named(&[("sale", 1), ("sale_reversal", 1)]));
    assert_eq!(balances(&shop), BTreeMap::new());
    assert_settled(&shop).await;
}

#[tokio::test]
async fn order_that_is_paid_after_its_cancellation_has_no_sale() {
    let (shop, mut harness, order) = ordered("tok_timeout_after_charge").await;
    cancel_order(&shop, &mut harness, &order).await;
    for _ in 0..4 {
        time_passes(&shop, &mut harness, 600).await;
    }
    let read = shop.read_order(&order).await;
    assert_eq!(statuses(&read), ("cancelled", "refunded"), "{read}");
    let kinds = entries(&shop).iter().map(|it| it["kind"]["S"].clone()).collect::<Vec<_>>();
    assert!(kinds.contains(&json!("capture")) && kinds.contains(&json!("refund")), "{kinds:?}");
    assert_eq!((sales(&shop), balances(&shop)), (BTreeMap::new(), BTreeMap::new()));
    assert_settled(&shop).await;
}
