//! Every mail as it is sent.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::json;
use shared::clock::Timestamp;

use super::{Rendered, Shop, link, notice, order, stock};

const STORE_URL: &str = "https://shop.example.com";
const SHOP: Shop<'_> = Shop { name: "Lamp & Spoon", url: STORE_URL };
const TOKEN: &str = "cmVzZXQ.c2VjcmV0";

fn about(reason: &str) -> order::About {
    let about = json!({
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
    serde_json::from_value(about).unwrap()
}

fn low(sku: Option<&str>) -> stock::About {
    let about = json!({ "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a", "sku": sku, "available": 3, "threshold": 5 });
    serde_json::from_value(about).unwrap()
}

fn about_orders(name: &str) -> Vec<Rendered> {
    let reason = |template| match template {
        order::Template::OrderFailed => "out_of_stock",
        order::Template::OrderCancelled => "not_paid_in_time",
        order::Template::PaymentDeclined => "insufficient_funds",
        _ => "unknown_reason",
    };
    order::Template::ALL.iter().map(|template| order::render(*template, name, &about(reason(*template)), SHOP).unwrap()).collect()
}

fn about_stock() -> Vec<Rendered> {
    stock::Template::ALL.iter().map(|template| stock::render(*template, "Operator", &low(Some("SPOON & BOWL")), SHOP).unwrap()).collect()
}

fn with_links() -> Vec<Rendered> {
    let expires_at: Timestamp = "2026-11-21T10:48:49.123Z".parse().unwrap();
    link::Template::ALL.iter().map(|template| link::render(*template, TOKEN, expires_at, SHOP).unwrap()).collect()
}

fn notices() -> Vec<Rendered> {
    notice::Template::ALL.iter().map(|template| notice::render(*template, SHOP).unwrap()).collect()
}

fn every_mail() -> Vec<Rendered> {
    [about_orders("Ada Lovelace"), about_stock(), with_links(), notices()].concat()
}

fn links(mail: &Rendered) -> Vec<&str> {
    mail.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_template_says_the_same_in_html_and_text() {
    for mail in every_mail() {
        insta::assert_snapshot!(
            mail.template,
            format!("{}\n\n--- text\n{}\n--- body\n{}\n--- html\n{}", mail.subject, mail.text, mail.body, mail.html)
        );
    }
}

#[test]
fn every_template_is_read_by_its_name_and_no_two_have_the_same() {
    fn check<T: DeserializeOwned + PartialEq + Copy>(all: &[T], name: fn(T) -> &'static str) {
        for template in all {
            assert!(serde_json::from_value::<T>(json!(name(*template))).unwrap() == *template, "{}", name(*template));
        }
    }
    check(&order::Template::ALL, order::Template::name);
    check(&stock::Template::ALL, stock::Template::name);
    check(&link::Template::ALL, link::Template::name);
    check(&notice::Template::ALL, notice::Template::name);
    let names: BTreeSet<&str> = every_mail().iter().map(|mail| mail.template).collect();
    assert_eq!(names.len(), every_mail().len());
}

#[test]
fn what_people_typed_is_text_in_every_html_mail() {
    let evil = "<script>alert('x')</script>";
    let mut about = about("<script>");
    about.items[0].name = evil.to_owned();
    about.carrier = Some(evil.to_owned());
    about.tracking = Some("\"><img src=x onerror=alert(1)>".to_owned());
    about.unavailable = Some(evil.to_owned());
    for template in order::Template::ALL {
        let mail = order::render(template, evil, &about, SHOP).unwrap();
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

#[test]
fn a_product_without_a_number_of_its_own_is_named_by_its_id() {
    let mail = stock::render(stock::Template::LowStock, "Operator", &low(None), SHOP).unwrap();
    assert!(mail.body.starts_with("There is little left of prd_0199c2a8-0000-7000-8000-00000000000a: 3 can"), "{}", mail.body);
}

#[test]
fn a_mail_about_a_refund_says_how_much_went_back() {
    let mail = order::render(order::Template::OrderRefunded, "Ada", &about(""), SHOP).unwrap();
    for text in [&mail.html, &mail.text, &mail.body] {
        assert!(["4.00 USD", "10.00 USD", "59.98 USD", "Teapot"].iter().all(|said| text.contains(said)), "{text}");
    }
    let others = order::Template::ALL.into_iter().filter(|template| *template != order::Template::OrderRefunded);
    for mail in others.map(|template| order::render(template, "Ada", &about(""), SHOP).unwrap()) {
        assert!(!mail.html.contains("10.00 USD") && !mail.text.contains("10.00 USD"), "{}", mail.text);
    }
}

#[test]
fn a_mail_about_missing_stock_names_the_product() {
    let fail = |unavailable: Option<&str>| {
        let about = order::About { unavailable: unavailable.map(str::to_owned), ..about("out_of_stock") };
        order::render(order::Template::OrderFailed, "Ada", &about, SHOP).unwrap()
    };
    let mail = fail(Some("Teapot & lid"));
    for text in [&mail.text, &mail.body] {
        assert!(text.contains("We do not have enough of this in stock: Teapot & lid."), "{text}");
    }
    assert!(mail.html.contains("enough of <b>Teapot &#38; lid</b> in stock"), "{}", mail.html);
    assert!(fail(None).text.contains("Something that you ordered is no longer in stock."));
}

#[test]
fn every_mail_carries_the_name_of_the_shop() {
    for mail in every_mail() {
        assert!(mail.text.contains("Lamp & Spoon"), "{}", mail.text);
        assert!(mail.html.contains("Lamp &#38; Spoon"), "{}", mail.html);
    }
}

#[test]
fn links_lead_to_the_shop_alone() {
    for mail in about_orders("see http://evil.example") {
        assert_eq!(links(&mail), ["https://shop.example.com/orders/ord_0199c2a8-0000-7000-8000-0000000000f1"]);
    }
    for mail in about_stock() {
        assert_eq!(links(&mail), ["https://shop.example.com/products/prd_0199c2a8-0000-7000-8000-00000000000a"]);
    }
    for mail in with_links() {
        let page = match mail.template {
            "password_reset" => "reset-password",
            "email_change_requested" | "email_moved" => "withdraw-email-change",
            _ => "verify-email",
        };
        let expected = format!("{STORE_URL}/{page}#token={TOKEN}");
        assert_eq!(links(&mail), [expected.as_str()]);
        assert!(mail.text.lines().any(|line| line == expected), "{}", mail.text);
    }
    for mail in notices() {
        assert_eq!(links(&mail), [STORE_URL]);
    }
}

#[test]
fn what_the_shops_pages_show_of_a_mail_about_an_account_holds_no_link_and_no_token() {
    for mail in [with_links(), notices()].concat() {
        assert!(!mail.body.is_empty());
        for secret in [TOKEN, "token", "http", "shop.example.com", "#", "@"] {
            assert!(!mail.body.contains(secret), "{}: {}", mail.template, mail.body);
        }
    }
}
