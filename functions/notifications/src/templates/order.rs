//! Mails about an order.

use serde::Deserialize;
use shared::{ids::OrderId, money::Money};

use super::{RenderedEmail, Shop};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// The order is paid, and its stock is reserved.
    OrderConfirmed,
    OrderFailed,
    OrderCancelled,
    PaymentDeclined,
    OrderShipped,
    OrderDelivered,
    OrderRefunded,
    /// The shipping address of a confirmed order was changed. The mail does not contain it.
    ShippingAddressChanged,
}

impl Template {
    pub const ALL: [Self; 8] = [
        Self::OrderConfirmed,
        Self::OrderFailed,
        Self::OrderCancelled,
        Self::PaymentDeclined,
        Self::OrderShipped,
        Self::OrderDelivered,
        Self::OrderRefunded,
        Self::ShippingAddressChanged,
    ];

    /// Name of the template in messages and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderFailed => "order_failed",
            Self::OrderCancelled => "order_cancelled",
            Self::PaymentDeclined => "payment_declined",
            Self::OrderShipped => "order_shipped",
            Self::OrderDelivered => "order_delivered",
            Self::OrderRefunded => "order_refunded",
            Self::ShippingAddressChanged => "shipping_address_changed",
        }
    }

    /// Contains no user input.
    pub fn subject(self) -> &'static str {
        match self {
            Self::OrderConfirmed => "Your order is confirmed",
            Self::OrderFailed => "Your order could not be completed",
            Self::OrderCancelled => "Your order is cancelled",
            Self::PaymentDeclined => "Your payment was declined",
            Self::OrderShipped => "Your order is on its way",
            Self::OrderDelivered => "Your order was delivered",
            Self::OrderRefunded => "Your refund is on its way",
            Self::ShippingAddressChanged => "The address of your order was changed",
        }
    }
}

/// The data of an order mail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Context {
    pub order_id: OrderId,
    /// The order number, as shown to the buyer. Absent in messages of earlier releases.
    #[serde(default)]
    pub number: Option<String>,
    /// 0 if the order has no payment.
    pub total: Money,
    pub items: Vec<Item>,
    /// The discounts on goods and shipping.
    #[serde(default)]
    pub discounts: Vec<Amount>,
    /// `false` if nothing is shipped.
    #[serde(default)]
    pub requires_shipping: Option<bool>,
    /// The shipping method and its price before discounts.
    #[serde(default)]
    pub shipping: Option<Amount>,
    #[serde(default)]
    pub taxes: Vec<Tax>,
    /// Whether the other amounts include the tax.
    #[serde(default)]
    pub tax_included: Option<bool>,
    /// Stable code of the reason, such as `out_of_stock`.
    pub reason: Option<String>,
    pub carrier: Option<String>,
    /// The carrier's tracking number.
    pub tracking: Option<String>,
    /// The amount of the refund that the mail reports.
    pub refund: Option<Money>,
    /// The total refunded so far. A refund mail requires it.
    pub refunded: Option<Money>,
    /// Name of the product that was out of stock, if the order failed for that reason.
    pub unavailable: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Item {
    pub name: String,
    pub quantity: u32,
    pub line_total: Money,
}

/// A named amount in minor units, in the currency of the total.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Amount {
    pub name: String,
    pub amount: i64,
}

/// The tax of the order at one rate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Tax {
    pub name: String,
    /// ISO 3166: `DE`, or `US-CA` for a regional rate.
    pub jurisdiction: String,
    /// Parts per million: 190000 is 19 %.
    pub ppm: u32,
    /// Minor units, in the currency of the total.
    pub amount: i64,
}

impl Tax {
    /// The name of the rate and its percentage, such as `VAT 7.7 % (CH)`.
    fn label(&self) -> String {
        let Self { name, jurisdiction, ppm, amount: _ } = self;
        let percentage = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
        let percentage = percentage.trim_end_matches('0').trim_end_matches('.');
        format!("{name} {percentage} % ({jurisdiction})")
    }
}

/// Renders `template` for a recipient called `name`.
///
/// # Errors
/// If a template fails, which ours cannot.
pub fn render(
    template: Template,
    name: &str,
    context: &Context,
    shop: Shop<'_>,
) -> Result<RenderedEmail, askama::Error> {
    let money = |amount| Money::new(amount, context.total.currency);
    let row = |amount: &Amount| Row { label: amount.name.clone(), amount: money(amount.amount) };
    let tax = |tax: &Tax| Row { label: tax.label(), amount: money(tax.amount) };
    let email = EmailTemplate {
        subject: template.subject(),
        shop: shop.name,
        name,
        order_id: context.order_id,
        number: context.number.as_deref(),
        order_url: format!("{}/orders/{}", shop.url, context.order_id),
        items: &context.items,
        discounts: context.discounts.iter().map(row).collect(),
        is_shipped: context.requires_shipping.unwrap_or(true),
        shipping: context.shipping.as_ref().map(row),
        taxes: context.taxes.iter().map(tax).collect(),
        is_tax_included: context.tax_included.unwrap_or_default(),
        total: context.total,
        is_free: context.total.amount == 0,
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
        Template::ShippingAddressChanged => shipping_address_changed::render(&email),
    }?;
    Ok(RenderedEmail { template: template.name(), subject: template.subject(), html, text, body })
}

/// The values of the templates.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    name: &'a str,
    order_id: OrderId,
    number: Option<&'a str>,
    order_url: String,
    items: &'a [Item],
    discounts: Vec<Row>,
    /// Whether the mail announces a shipment.
    is_shipped: bool,
    shipping: Option<Row>,
    taxes: Vec<Row>,
    /// Whether the other amounts include the taxes. Otherwise they are added.
    is_tax_included: bool,
    total: Money,
    /// Whether nothing is paid, so that the mail mentions no payment.
    is_free: bool,
    reason: &'a str,
    carrier: Option<&'a str>,
    tracking: Option<&'a str>,
    refund: Option<Money>,
    refunded: Option<Money>,
    unavailable: Option<&'a str>,
}

/// A labelled amount below the items.
struct Row {
    label: String,
    amount: Money,
}

/// The reason as a sentence. An unknown code adds no text, because codes are for programs.
fn explanation(reason: &str) -> &'static str {
    match reason {
        "out_of_stock" => "Something that you ordered is no longer in stock.",
        "payment_failed" => "It was not paid for.",
        "not_paid_in_time" => "It was not paid for in time.",
        "not_reserved_in_time" => "We could not reserve its items in time.",
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
    shipping_address_changed:
        "shipping_address_changed.html", "shipping_address_changed.txt", body(path = "shipping_address_changed.txt", block = "content");
}
