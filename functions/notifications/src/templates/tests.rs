//! Tests of all mails: snapshots, escaping and links.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::json;
use shared::clock::Timestamp;

use super::{RenderedEmail, Shop, link, notice, order, stock};

const STORE_URL: &str = "https://shop.example.com";
const SHOP: Shop<'_> = Shop { name: "Lamp & Spoon", url: STORE_URL };
const TOKEN: &str = "cmVzZXQ.c2VjcmV0";

fn context(reason: &str) -> order::Context {
    let context = json!({
        "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1",
        "total": { "amount": 5998, "currency": "USD" },
        "items": [{ "name": "Teapot & lid", "quantity": 2, "line_total": { "amount": 5998, "currency": "USD" } }],
        "reason": reason,
        "carrier": "Parcel & Co",
        "tracking": "PC-1",
        "refund": { "amount": 400, "currency": "USD" },
        "refunded": { "amount": 1000, "currency": "USD" },
        "unavailable": "Teapot & lid",
    });
    serde_json::from_value(context).unwrap()
}

fn low(sku: Option<&str>) -> stock::Context {
    let context = json!({ "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "sku": sku, "available": 3, "threshold": 5 });
    serde_json::from_value(context).unwrap()
}

fn order_emails(name: &str) -> Vec<RenderedEmail> {
    let reason = |template| match template {
        order::Template::OrderFailed => "out_of_stock",
        order::Template::OrderCancelled => "not_paid_in_time",
        order::Template::PaymentDeclined => "insufficient_funds",
        _ => "unknown_reason",
    };
    order::Template::ALL
        .iter()
        .map(|template| order::render(*template, name, &context(reason(*template)), SHOP).unwrap())
        .collect()
}

fn stock_emails() -> Vec<RenderedEmail> {
    stock::Template::ALL
        .iter()
        .map(|template| {
            stock::render(*template, "Operator", &low(Some("SPOON & BOWL")), SHOP).unwrap()
        })
        .collect()
}

fn link_emails() -> Vec<RenderedEmail> {
    let expires_at: Timestamp = "2026-11-21T10:48:49.123Z".parse().unwrap();
    link::Template::ALL
        .iter()
        .map(|template| link::render(*template, TOKEN, expires_at, SHOP).unwrap())
        .collect()
}

fn notice_emails() -> Vec<RenderedEmail> {
    notice::Template::ALL.iter().map(|template| notice::render(*template, SHOP).unwrap()).collect()
}

fn all_emails() -> Vec<RenderedEmail> {
    [order_emails("Ada Lovelace"), stock_emails(), link_emails(), notice_emails()].concat()
}

fn links(mail: &RenderedEmail) -> Vec<&str> {
    mail.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn each_template_matches_its_snapshot() {
    for mail in all_emails() {
        insta::assert_snapshot!(
            mail.template,
            format!(
                "{}\n\n--- text\n{}\n--- body\n{}\n--- html\n{}",
                mail.subject, mail.text, mail.body, mail.html
            )
        );
    }
}

#[test]
fn template_names_are_unique_and_parse() {
    fn check<T: DeserializeOwned + PartialEq + Copy>(all: &[T], name: fn(T) -> &'static str) {
        for template in all {
            assert!(
                serde_json::from_value::<T>(json!(name(*template))).unwrap() == *template,
                "{}",
                name(*template)
            );
        }
    }
    check(&order::Template::ALL, order::Template::name);
    check(&stock::Template::ALL, stock::Template::name);
    check(&link::Template::ALL, link::Template::name);
    check(&notice::Template::ALL, notice::Template::name);
    let names: BTreeSet<&str> = all_emails().iter().map(|mail| mail.template).collect();
    assert_eq!(names.len(), all_emails().len());
}

#[test]
fn user_input_is_escaped_in_html() {
    let evil = "<script>alert('x')</script>";
    let mut context = context("<script>");
    context.items[0].name = evil.to_owned();
    context.carrier = Some(evil.to_owned());
    context.tracking = Some("\"><img src=x onerror=alert(1)>".to_owned());
    context.unavailable = Some(evil.to_owned());
    for template in order::Template::ALL {
        let mail = order::render(template, evil, &context, SHOP).unwrap();
        assert!(!mail.html.contains("<script"), "{}", mail.html);
        assert!(!mail.html.contains("<img"), "{}", mail.html);
        assert!(mail.html.contains("Hello &#60;script&#62;"), "{}", mail.html);
        assert!(mail.text.contains(evil));
    }
    for template in stock::Template::ALL {
        let mail = stock::render(template, evil, &low(Some(evil)), SHOP).unwrap();
        assert!(!mail.html.contains("<script"), "{}", mail.html);
        assert_eq!(mail.html.matches("&#60;script&#62;").count(), 2, "{}", mail.html);
        assert!(mail.text.contains(evil) && mail.body.contains(evil));
    }
}

/// An order in a market: prices include tax, or tax is added.
fn priced(tax_included: bool) -> order::Context {
    let mut context = context("unknown_reason");
    context.number = Some("7K3M-Q8ZT-0V2R".to_owned());
    let rows = json!({
        "discounts": [{ "name": "Autumn sale & more", "amount": 600 }],
        "shipping": { "name": "Parcel", "amount": 490 },
        "taxes": [
            { "name": "VAT", "jurisdiction": "CH", "ppm": 77_000, "amount": 421 },
            { "name": "Reduced", "jurisdiction": "CH", "ppm": 200_000, "amount": 8 },
        ],
    });
    context.discounts = serde_json::from_value(rows["discounts"].clone()).unwrap();
    context.shipping = serde_json::from_value(rows["shipping"].clone()).unwrap();
    context.taxes = serde_json::from_value(rows["taxes"].clone()).unwrap();
    context.tax_included = Some(tax_included);
    context
}

#[test]
fn mail_shows_discounts_shipping_and_tax_of_an_order_in_a_market() {
    let render = |tax_included| {
        let confirmed = order::Template::OrderConfirmed;
        order::render(confirmed, "Ada", &priced(tax_included), SHOP).unwrap()
    };
    let (included, added) = (render(true), render(false));
    let rows =
        "2 x Teapot & lid: 59.98 USD\nAutumn sale & more: -6.00 USD\nShipping, Parcel: 4.90 USD\n";
    let tax = ["VAT 7.7 % (CH): 4.21 USD", "Reduced 20 % (CH): 0.08 USD"];
    let expected = format!("{rows}Total: 59.98 USD\nIncludes {}\nIncludes {}", tax[0], tax[1]);
    assert!(included.body.ends_with(&expected), "{}", included.body);
    let expected = format!("{rows}{}\n{}\nTotal: 59.98 USD", tax[0], tax[1]);
    assert!(added.body.ends_with(&expected), "{}", added.body);
    for mail in [included, added] {
        assert!(mail.text.contains("Your order 7K3M-Q8ZT-0V2R: "), "{}", mail.text);
        assert!(mail.html.contains("Order 7K3M-Q8ZT-0V2R."), "{}", mail.html);
        for part in ["Autumn sale &#38; more", "-6.00 USD", "Shipping, Parcel", "VAT 7.7 % (CH)"] {
            assert!(mail.html.contains(part), "{part}: {}", mail.html);
        }
    }
}

#[test]
fn product_without_sku_is_named_by_its_id() {
    let mail = stock::render(stock::Template::LowStock, "Operator", &low(None), SHOP).unwrap();
    assert!(
        mail.body.starts_with("Low stock of prd_0199c2a8-0000-7000-8000-00000000000a: 3 available"),
        "{}",
        mail.body
    );
}

#[test]
fn refund_email_contains_the_refunded_amounts() {
    let mail = order::render(order::Template::OrderRefunded, "Ada", &context(""), SHOP).unwrap();
    for text in [&mail.html, &mail.text, &mail.body] {
        assert!(
            ["4.00 USD", "10.00 USD", "59.98 USD", "Teapot"].iter().all(|part| text.contains(part)),
            "{text}"
        );
    }
    let others = order::Template::ALL
        .into_iter()
        .filter(|template| *template != order::Template::OrderRefunded);
    for mail in others.map(|template| order::render(template, "Ada", &context(""), SHOP).unwrap()) {
        assert!(
            !mail.html.contains("10.00 USD") && !mail.text.contains("10.00 USD"),
            "{}",
            mail.text
        );
    }
}

#[test]
fn mail_about_a_free_order_mentions_no_payment() {
    let free = |reason: &str| {
        let mut context = context(reason);
        context.total.amount = 0;
        context.items[0].line_total.amount = 0;
        context
    };
    let render = |template, reason| order::render(template, "Ada", &free(reason), SHOP).unwrap();
    let confirmed = render(order::Template::OrderConfirmed, "");
    let cancelled = render(order::Template::OrderCancelled, "not_reserved_in_time");
    let failed = render(order::Template::OrderFailed, "out_of_stock");
    for text in [&confirmed.text, &confirmed.body, &confirmed.html] {
        assert!(text.contains("there is nothing to pay, and your order is confirmed."), "{text}");
        assert!(text.contains("0.00 USD"), "{text}");
    }
    for text in [&cancelled.text, &cancelled.body, &cancelled.html] {
        assert!(text.contains("We could not reserve its items in time."), "{text}");
    }
    for mail in [confirmed, cancelled, failed] {
        for text in [&mail.text, &mail.body, &mail.html] {
            assert!(!text.contains("payment") && !text.contains("refund"), "{text}");
        }
    }
}

#[test]
fn mail_about_an_order_that_ships_nothing_announces_no_shipment() {
    let render = |requires_shipping| {
        let context = order::Context { requires_shipping, ..context("") };
        order::render(order::Template::OrderConfirmed, "Ada", &context, SHOP).unwrap()
    };
    for (requires_shipping, announced) in [(None, true), (Some(true), true), (Some(false), false)] {
        let mail = render(requires_shipping);
        for text in [&mail.text, &mail.body, &mail.html] {
            assert!(text.contains("your order is confirmed."), "{text}");
            assert_eq!(text.contains("when it ships"), announced, "{requires_shipping:?}: {text}");
        }
    }
}

#[test]
fn out_of_stock_email_names_the_product() {
    let fail = |unavailable: Option<&str>| {
        let context = order::Context {
            unavailable: unavailable.map(str::to_owned),
            ..context("out_of_stock")
        };
        order::render(order::Template::OrderFailed, "Ada", &context, SHOP).unwrap()
    };
    let mail = fail(Some("Teapot & lid"));
    for text in [&mail.text, &mail.body] {
        assert!(text.contains("We do not have enough of this in stock: Teapot & lid."), "{text}");
    }
    assert!(mail.html.contains("enough of <b>Teapot &#38; lid</b> in stock"), "{}", mail.html);
    assert!(fail(None).text.contains("Something that you ordered is no longer in stock."));
}

#[test]
fn each_email_contains_the_shop_name() {
    for mail in all_emails() {
        assert!(mail.text.contains("Lamp & Spoon"), "{}", mail.text);
        assert!(mail.html.contains("Lamp &#38; Spoon"), "{}", mail.html);
    }
}

#[test]
fn links_point_only_to_the_shop() {
    for mail in order_emails("see http://evil.example") {
        assert_eq!(
            links(&mail),
            ["https://shop.example.com/orders/ord_0199c2a8-0000-7000-8000-0000000000f1"]
        );
    }
    for mail in stock_emails() {
        assert_eq!(
            links(&mail),
            ["https://shop.example.com/products/prd_0199c2a8-0000-7000-8000-00000000000a"]
        );
    }
    for mail in link_emails() {
        let page = match mail.template {
            "password_reset" => "reset-password",
            "email_change_requested" | "email_moved" => "withdraw-email-change",
            _ => "verify-email",
        };
        let expected = format!("{STORE_URL}/{page}#token={TOKEN}");
        assert_eq!(links(&mail), [expected.as_str()]);
        assert!(mail.text.lines().any(|line| line == expected), "{}", mail.text);
    }
    for mail in notice_emails() {
        assert_eq!(links(&mail), [STORE_URL]);
    }
}

#[test]
fn account_notification_body_contains_no_link_or_token() {
    for mail in [link_emails(), notice_emails()].concat() {
        assert!(!mail.body.is_empty());
        for secret in [TOKEN, "token", "http", "shop.example.com", "#", "@"] {
            assert!(!mail.body.contains(secret), "{}: {}", mail.template, mail.body);
        }
    }
}
