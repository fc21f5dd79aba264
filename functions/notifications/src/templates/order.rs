//! Mails about an order.

use serde::Deserialize;
use shared::{ids::OrderId, money::Money};

use super::{RenderedEmail, Shop};

/// What a mail about an order says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// An order is paid and its goods are held.
    OrderConfirmed,
    /// An order came to nothing.
    OrderFailed,
    /// An order was cancelled.
    OrderCancelled,
    /// A payment was refused.
    PaymentDeclined,
    /// The goods have left.
    OrderShipped,
    /// The goods have arrived.
    OrderDelivered,
    /// Money is refunded.
    OrderRefunded,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::OrderConfirmed,
        Self::OrderFailed,
        Self::OrderCancelled,
        Self::PaymentDeclined,
        Self::OrderShipped,
        Self::OrderDelivered,
        Self::OrderRefunded,
    ];

    /// The name that messages and records use.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderFailed => "order_failed",
            Self::OrderCancelled => "order_cancelled",
            Self::PaymentDeclined => "payment_declined",
            Self::OrderShipped => "order_shipped",
            Self::OrderDelivered => "order_delivered",
            Self::OrderRefunded => "order_refunded",
        }
    }

    /// The subject. It contains no external text.
    pub fn subject(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "Your order is confirmed",
            Self::OrderFailed => "Your order could not be completed",
            Self::OrderCancelled => "Your order is cancelled",
            Self::PaymentDeclined => "Your payment was declined",
            Self::OrderShipped => "Your order is on its way",
            Self::OrderDelivered => "Your order was delivered",
            Self::OrderRefunded => "Your refund is on its way",
        }
    }
}

/// What a mail about an order speaks of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Context {
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
    /// The refund that a mail about one is about.
    pub refund: Option<Money>,
    /// What is refunded by then, in all. A mail about a refund names it.
    pub refunded: Option<Money>,
    /// The name of the product that was out of stock, where an order failed for that.
    pub unavailable: Option<String>,
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

/// The mail from `template` to a recipient called `name`.
///
/// # Errors
/// When a template fails: none of ours can.
pub fn render(
    template: Template,
    name: &str,
    context: &Context,
    shop: Shop<'_>,
) -> Result<RenderedEmail, askama::Error> {
    let email = EmailTemplate {
        subject: template.subject(),
        shop: shop.name,
        name,
        order_id: context.order_id,
        order_url: format!("{}/orders/{}", shop.url, context.order_id),
        items: &context.items,
        total: context.total,
        reason: context.reason.as_deref().map_or("", explanation),
        carrier: context.carrier.as_deref(),
        tracking: context.tracking.as_deref(),
        refund: context.refund,
        refunded: context.refunded,
        unavailable: context.unavailable.as_deref(),
    };
    let (html, text, body) = match template {
        Template::OrderConfirmed => order_confirmed::render(&email),
        Template::OrderFailed => order_failed::render(&email),
        Template::OrderCancelled => order_cancelled::render(&email),
        Template::PaymentDeclined => payment_declined::render(&email),
        Template::OrderShipped => order_shipped::render(&email),
        Template::OrderDelivered => order_delivered::render(&email),
        Template::OrderRefunded => order_refunded::render(&email),
    }?;
    Ok(RenderedEmail { template: template.name(), subject: template.subject(), html, text, body })
}

/// What the templates see.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    name: &'a str,
    order_id: OrderId,
    order_url: String,
    items: &'a [Item],
    total: Money,
    reason: &'a str,
    carrier: Option<&'a str>,
    tracking: Option<&'a str>,
    refund: Option<Money>,
    refunded: Option<Money>,
    unavailable: Option<&'a str>,
}

/// A reason in words. One that we do not know says nothing: it was made for programs.
fn explanation(reason: &str) -> &'static str {
    match reason {
        "out_of_stock" => "Something that you ordered is no longer in stock.",
        "payment_failed" => "It was not paid for.",
        "not_paid_in_time" => "It was not paid for in time.",
        "insufficient_funds" => "The account does not cover the amount.",
        "not_sent" => "Our payment service was not available. Nothing was charged.",
        "card_declined" => "The card's bank refused it.",
        "refunded" => "Its payment was refunded.",
        _ => "",
    }
}

templates! {
    order_confirmed: "order_confirmed.html", "order_confirmed.txt", body(path = "order_confirmed.txt", block = "content");
    order_failed: "order_failed.html", "order_failed.txt", body(path = "order_failed.txt", block = "content");
    order_cancelled: "order_cancelled.html", "order_cancelled.txt", body(path = "order_cancelled.txt", block = "content");
    payment_declined: "payment_declined.html", "payment_declined.txt", body(path = "payment_declined.txt", block = "content");
    order_shipped: "order_shipped.html", "order_shipped.txt", body(path = "order_shipped.txt", block = "content");
    order_delivered: "order_delivered.html", "order_delivered.txt", body(path = "order_delivered.txt", block = "content");
    order_refunded: "order_refunded.html", "order_refunded.txt", body(path = "order_refunded.txt", block = "content");
}
