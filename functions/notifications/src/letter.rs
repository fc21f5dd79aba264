//! The texts of mails: one HTML and one text file for each template, in `templates/`.
//!
//! Askama checks them when the crate is compiled, and escapes every value in the HTML ones. Links are made from the shop's own address
//! and an id; nothing that a person typed is part of one.

use serde::{Deserialize, Serialize};
use shared::{ids::OrderId, money::Money};

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// An order is paid and its goods are held.
    OrderConfirmed,
    /// An order came to nothing.
    OrderFailed,
    /// An order was given up.
    OrderCancelled,
    /// A payment was refused.
    PaymentDeclined,
    /// The goods have left.
    OrderShipped,
    /// The goods have arrived.
    OrderDelivered,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OrderConfirmed, Self::OrderFailed, Self::OrderCancelled, Self::PaymentDeclined, Self::OrderShipped, Self::OrderDelivered];

    /// The name that messages and records use.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderFailed => "order_failed",
            Self::OrderCancelled => "order_cancelled",
            Self::PaymentDeclined => "payment_declined",
            Self::OrderShipped => "order_shipped",
            Self::OrderDelivered => "order_delivered",
        }
    }

    /// The subject. Nothing from outside stands in it.
    pub fn subject(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "Your order is confirmed",
            Self::OrderFailed => "Your order could not be completed",
            Self::OrderCancelled => "Your order is cancelled",
            Self::PaymentDeclined => "Your payment was declined",
            Self::OrderShipped => "Your order is on its way",
            Self::OrderDelivered => "Your order was delivered",
        }
    }
}

/// What a mail about an order speaks of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct About {
    /// The order.
    pub order_id: OrderId,
    /// What it costs.
    pub total: Money,
    /// What was bought.
    pub items: Vec<Item>,
    /// Why, as a stable name: `out_of_stock`.
    pub reason: Option<String>,
    /// Who carries the goods.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Item {
    /// The product's name.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// What they cost together.
    pub line_total: Money,
}

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its subject.
    pub subject: &'static str,
    /// For mail programs that show HTML.
    pub html: String,
    /// For all others.
    pub text: String,
    /// The text without salutation and footer: what the shop's pages show.
    pub body: String,
}

/// The mail from `template` to somebody called `name`.
///
/// # Errors
/// When a template fails: none of ours can.
pub fn render(template: Template, name: &str, about: &About, store_url: &str) -> Result<Rendered, askama::Error> {
    let letter = Letter {
        subject: template.subject(),
        name,
        order_id: about.order_id,
        order_url: format!("{store_url}/orders/{}", about.order_id),
        items: &about.items,
        total: about.total,
        reason: about.reason.as_deref().map_or("", explanation),
        carrier: about.carrier.as_deref(),
        tracking: about.tracking.as_deref(),
    };
    let (html, text, body) = match template {
        Template::OrderConfirmed => order_confirmed::render(&letter),
        Template::OrderFailed => order_failed::render(&letter),
        Template::OrderCancelled => order_cancelled::render(&letter),
        Template::PaymentDeclined => payment_declined::render(&letter),
        Template::OrderShipped => order_shipped::render(&letter),
        Template::OrderDelivered => order_delivered::render(&letter),
    }?;
    Ok(Rendered { subject: template.subject(), html, text, body })
}

/// What the templates see.
struct Letter<'a> {
    subject: &'a str,
    name: &'a str,
    order_id: OrderId,
    order_url: String,
    items: &'a [Item],
    total: Money,
    reason: &'a str,
    carrier: Option<&'a str>,
    tracking: Option<&'a str>,
}

/// A reason in words. One that we do not know says nothing: it was made for programs.
fn explanation(reason: &str) -> &'static str {
    match reason {
        "out_of_stock" => "Something that you ordered is no longer in stock.",
        "payment_failed" => "It was not paid for.",
        "not_paid_in_time" => "It was not paid for in time.",
        "insufficient_funds" => "The account does not cover the amount.",
        "card_declined" => "The card's bank refused it.",
        _ => "",
    }
}

/// One module for each template, with its two files.
macro_rules! templates {
    ($($name:ident: $html:literal, $text:literal;)*) => {$(
        mod $name {
            use super::Letter;
            use askama::Template;

            #[derive(Template)]
            #[template(path = $html)]
            struct Html<'a> {
                letter: &'a Letter<'a>,
            }

            #[derive(Template)]
            #[template(path = $text)]
            struct Text<'a> {
                letter: &'a Letter<'a>,
            }

            #[derive(Template)]
            #[template(path = $text, block = "content")]
            struct Body<'a> {
                letter: &'a Letter<'a>,
            }

            pub(super) fn render(letter: &Letter<'_>) -> Result<(String, String, String), askama::Error> {
                Ok((Html { letter }.render()?, Text { letter }.render()?, Body { letter }.render()?))
            }
        }
    )*};
}

templates! {
    order_confirmed: "order_confirmed.html", "order_confirmed.txt";
    order_failed: "order_failed.html", "order_failed.txt";
    order_cancelled: "order_cancelled.html", "order_cancelled.txt";
    payment_declined: "payment_declined.html", "payment_declined.txt";
    order_shipped: "order_shipped.html", "order_shipped.txt";
    order_delivered: "order_delivered.html", "order_delivered.txt";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STORE_URL: &str = "https://shop.example.com";

    fn about(reason: &str) -> About {
        let about = json!({
            "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1",
            "total": { "amount": 5998, "currency": "USD" },
            "items": [{ "name": "Teapot & lid", "quantity": 2, "line_total": { "amount": 5998, "currency": "USD" } }],
            "reason": reason,
            "carrier": "Parcel & Co",
            "tracking": "PC-1",
        });
        serde_json::from_value(about).unwrap()
    }

    #[test]
    fn every_template_says_the_same_in_html_and_text() {
        for template in Template::ALL {
            let reason = match template {
                Template::OrderFailed => "out_of_stock",
                Template::OrderCancelled => "not_paid_in_time",
                Template::PaymentDeclined => "insufficient_funds",
                _ => "unknown_reason",
            };
            let mail = render(template, "Ada Lovelace", &about(reason), STORE_URL).unwrap();
            assert_eq!(serde_json::to_value(template).unwrap(), template.name());
            insta::assert_snapshot!(
                template.name(),
                format!("{}\n\n--- text\n{}\n--- body\n{}\n--- html\n{}", mail.subject, mail.text, mail.body, mail.html)
            );
        }
    }

    #[test]
    fn what_people_typed_is_text_in_every_html_mail() {
        let evil = "<script>alert('x')</script>";
        let mut about = about("<script>");
        about.items[0].name = evil.to_owned();
        about.carrier = Some(evil.to_owned());
        about.tracking = Some("\"><img src=x onerror=alert(1)>".to_owned());
        for template in Template::ALL {
            let mail = render(template, evil, &about, STORE_URL).unwrap();
            assert!(!mail.html.contains("<script"), "{}", mail.html);
            assert!(!mail.html.contains("<img"), "{}", mail.html);
            assert!(mail.html.contains("Hello &#60;script&#62;"), "{}", mail.html);
            assert!(mail.text.contains(evil));
        }
    }

    #[test]
    fn links_lead_to_the_shop_alone() {
        for template in Template::ALL {
            let mail = render(template, "see http://evil.example", &about("x"), STORE_URL).unwrap();
            let links: Vec<&str> = mail.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert_eq!(links, ["https://shop.example.com/orders/ord_0199c2a8-0000-7000-8000-0000000000f1"]);
        }
    }
}
