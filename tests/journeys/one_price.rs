//! The same goods cost the same everywhere: in the preview, in the cart, in the order, at the
//! provider, in the mail and in the ledger.

use serde_json::{Value, json};
use tests::{
    events::{self, Http},
    shop::Shop,
};

use super::{
    assert_settled,
    sales::{balances, named},
    shop,
};

const MARKET: &str = "gb";
const COUNTRY: &str = "GB";

fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// A shop whose market has VAT, a shipping method and a promotion: two products and the method.
async fn shop_with_market(prices_include_tax: bool) -> (Shop, [String; 2], Value) {
    let (shop, teapot) = shop().await;
    let cup = shop.product("cup", 1234, 10).await;
    let admin = |path: &str, body: Value| {
        let request = events::post(path, &body).caller(events::ADMIN);
        request.header("idempotency-key", path).path_parameter("market", MARKET)
    };
    let market = json!({
        "id": MARKET, "name": "United Kingdom", "currency": "USD", "prices_include_tax": prices_include_tax,
        "minimum_charge": 50, "countries": [COUNTRY],
    });
    let vat = json!({
        "country": COUNTRY, "tax_class": "standard", "treatment": "standard",
        "rates": [{ "name": "VAT", "ppm": 200_000 }], "valid_from": "2021-01-01T00:00:00Z",
    });
    let parcel = json!({ "name": "Parcel", "price": usd(495) });
    let sale = json!({
        "name": "Spring sale", "markets": [MARKET], "target": "order", "percent_bp": 1250,
    });
    created(&shop, "create-market", admin("/markets", market)).await;
    created(&shop, "create-tax-rate", admin("/markets/gb/tax-rates", vat)).await;
    let methods = admin("/markets/gb/shipping-methods", parcel);
    let method = created(&shop, "create-shipping-method", methods).await;
    created(&shop, "create-promotion", admin("/promotions", sale)).await;
    shop.harness().drain_queues().await;
    (shop, [teapot, cup], method["id"].clone())
}

async fn created(shop: &Shop, operation: &str, request: Http) -> Value {
    let called = shop.call(operation, request.event()).await;
    assert_eq!(called.status(), 201, "{operation}: {:?}", called.answer);
    called.json()
}

/// The goods in a cart of Ada, with the address and the shipping method.
async fn filled_cart(shop: &Shop, lines: &Value, method: &Value) -> Value {
    let request = events::post("/carts", &json!({ "market": MARKET, "country": COUNTRY }));
    let cart = created(shop, "create-cart", request.caller(events::USER)).await;
    let address = json!({
        "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH",
        "country": COUNTRY,
    });
    let change = json!({ "add": lines, "shipping_address": address, "shipping_method": method });
    let path = format!("/carts/{}/changes", cart["id"].as_str().unwrap());
    let request = events::post(&path, &change).caller(events::USER);
    let request = request.path_parameter("cart_id", cart["id"].as_str().unwrap());
    let called = shop.call("change-cart", request.event()).await;
    assert_eq!(called.status(), 200, "{:?}", called.answer);
    called.json()
}

/// A price without the ids of its lines: each cart and each preview has its own.
fn without_line_ids(price: &Value) -> Value {
    let mut price = price.clone();
    for line in price["lines"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("line_id");
    }
    price
}

/// Asserts that the ledger has the money, the revenue and the tax of the price.
fn assert_recorded(shop: &Shop, order: &Value) {
    let (price, total) = (&order["price"], order["totals"]["total"]["amount"].as_i64().unwrap());
    let lines = price["lines"].as_array().unwrap().iter();
    let goods: i64 = lines.map(|line| line["net"].as_i64().unwrap()).sum();
    let expected = [
        ("provider_clearing", total),
        ("revenue:goods", -goods),
        ("revenue:shipping", -price["shipping"]["net"].as_i64().unwrap()),
        ("tax:GB", -order["totals"]["tax"]["amount"].as_i64().unwrap()),
    ];
    assert_eq!(balances(shop), named(&expected));
}

/// An amount as the mails show it.
fn shown(cents: &Value) -> String {
    let cents = cents.as_i64().unwrap();
    format!("{}.{:02} USD", cents / 100, cents % 100)
}

async fn same_price_everywhere(prices_include_tax: bool) {
    let (shop, [teapot, cup], method) = shop_with_market(prices_include_tax).await;
    let lines = json!([
        { "product_id": teapot, "quantity": 3 },
        { "product_id": cup, "quantity": 1 },
    ]);
    let preview = json!({
        "market": MARKET, "country": COUNTRY, "lines": lines, "shipping_method": method,
    });
    let preview = shop.call("preview-prices", events::post("/prices/preview", &preview).event());
    let preview = preview.await.json();
    let cart = filled_cart(&shop, &lines, &method).await;
    let total = &cart["totals"]["total"];
    let body = json!({
        "cart_id": cart["id"], "cart_version": cart["version"], "expected_total": total,
        "payment_method": { "type": "card", "token": "tok_ok" },
    });
    let placed = created(&shop, "create-order", events::order("order", &body)).await;
    shop.harness().drain_queues().await;
    let order = shop.read_order(placed["id"].as_str().unwrap()).await;
    assert_eq!(order["status"], "confirmed", "{order}");

    assert!(cart["price"]["discount_total"].as_i64() > Some(0), "{cart}");
    assert!(cart["totals"]["shipping"]["amount"].as_i64() > Some(0), "{cart}");
    for (named, other) in [("preview", &preview), ("placed", &placed), ("order", &order)] {
        assert_eq!(other["totals"], cart["totals"], "{named}");
        assert_eq!(without_line_ids(&other["price"]), without_line_ids(&cart["price"]), "{named}");
    }
    assert_eq!(order["price"], placed["price"]);

    let charges = shop.aws.items("payment-simulator");
    let charge = charges
        .iter()
        .find(|item| item["pk"]["S"].as_str().is_some_and(|key| key.starts_with("CHARGE#")));
    let cents = total["amount"].as_i64().unwrap();
    assert_eq!(charge.unwrap()["amount"]["N"], cents.to_string());
    assert_recorded(&shop, &order);
    assert_mailed(&shop, &order);
    assert_settled(&shop).await;
}

/// Asserts that the mail about the order shows each of its amounts.
fn assert_mailed(shop: &Shop, order: &Value) {
    let mails = shop.aws.mails().mails();
    let [mail] = mails.as_slice() else { panic!("one mail is expected: {mails:?}") };
    let (totals, price) = (&order["totals"], &order["price"]);
    for amount in [
        format!("Total: {}", shown(&totals["total"]["amount"])),
        format!("-{}", shown(&price["discount_total"])),
        format!("Shipping, Parcel: {}", shown(&totals["shipping"]["amount"])),
        shown(&totals["tax"]["amount"]),
    ] {
        assert!(mail.text.contains(&amount), "{amount} is missing: {}", mail.text);
    }
}

#[tokio::test]
async fn price_is_the_same_everywhere_if_it_includes_tax() {
    same_price_everywhere(true).await;
}

#[tokio::test]
async fn price_is_the_same_everywhere_if_tax_is_added() {
    same_price_everywhere(false).await;
}
