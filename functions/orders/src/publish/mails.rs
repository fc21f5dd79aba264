//! The mails about an order: changes of its status, declines, refunds and changes of the shipping
//! address.

use shared::{
    ids::{self, PromotionId},
    money::Money,
};

use crate::{
    domain::{
        Order, OrderLine, Status,
        buyer::{Buyer, Contact},
        history::{HistoryEntry, SHIPPING_ADDRESS_CHANGED},
        number::order_number,
        pricing::{
            Price,
            breakdown::{Basis, TaxRow},
        },
    },
    messages::{MailAmount, MailData, MailItem, MailTax, SendNotification},
};

/// Returns the mails for a change from `old` to `new`. Their recipient is the buyer before the
/// change, because the change that settles an order may redact the buyer. A buyer who was redacted
/// earlier gets no mail.
pub(super) fn mails(old: &Order, new: &Order) -> Vec<SendNotification> {
    let Buyer::Known(buyer) = &old.customer.buyer else { return Vec::new() };
    [
        status_mail(buyer, old, new),
        decline_mail(buyer, old, new),
        refund_mail(buyer, old, new),
        address_mail(buyer, old, new),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the mail about a new status.
fn status_mail(buyer: &Contact, old: &Order, new: &Order) -> Option<SendNotification> {
    let status = &new.progress.status;
    if old.progress.status == *status {
        return None;
    }
    let template = match status {
        Status::Confirmed => "order_confirmed",
        Status::Failed => "order_failed",
        Status::Cancelled => "order_cancelled",
        Status::Shipped => "order_shipped",
        Status::Delivered => "order_delivered",
        _ => return None,
    };
    let mail = Mail {
        template,
        // An order has each of these statuses once.
        occurrence: "0".to_owned(),
        entry: new.progress.history.iter().find(|entry| entry.status == *status),
        reason: new.progress.reason.clone(),
    };
    Some(mail.to(buyer, new))
}

/// Returns the mail about a declined payment attempt.
fn decline_mail(buyer: &Contact, old: &Order, new: &Order) -> Option<SendNotification> {
    let declined = declines(new).count();
    if declined <= declines(old).count() {
        return None;
    }
    let last = declines(new).next_back();
    let mail = Mail {
        template: "payment_declined",
        occurrence: declined.to_string(),
        entry: last,
        reason: last.and_then(|entry| entry.detail.clone()),
    };
    Some(mail.to(buyer, new))
}

fn declines(order: &Order) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
    order.progress.history.iter().filter(|entry| entry.event == "payment_declined")
}

/// Returns the mail about a refund. Each refunded amount is mailed once, even if its event arrives
/// several times. A refund that failed before the order received its event is not mailed.
fn refund_mail(buyer: &Contact, old: &Order, new: &Order) -> Option<SendNotification> {
    let (before, refunded) = (old.progress.refunded_net(), new.progress.refunded_net());
    if refunded <= before {
        return None;
    }
    let mail = Mail {
        template: "order_refunded",
        occurrence: new.progress.refunded_total.to_string(),
        entry: new.progress.history.iter().rfind(|entry| entry.event == "payment_refunded"),
        reason: None,
    };
    let mail = mail.to(buyer, new);
    let money = |amount| Some(Money::new(amount, new.placed.totals.total.currency));
    let (refund, refunded) = (money(refunded - before), money(refunded));
    Some(SendNotification { data: MailData { refund, refunded, ..mail.data }, ..mail })
}

/// Returns the mail about a new shipping address. It does not contain the address. A buyer whose
/// order is not confirmed yet gets no mail: they see the address when they pay.
fn address_mail(buyer: &Contact, old: &Order, new: &Order) -> Option<SendNotification> {
    let changes = new.progress.address_changes();
    if old.progress.status != Status::Confirmed || changes <= old.progress.address_changes() {
        return None;
    }
    let history = &new.progress.history;
    let mail = Mail {
        template: "shipping_address_changed",
        occurrence: changes.to_string(),
        entry: history.iter().rfind(|entry| entry.event == SHIPPING_ADDRESS_CHANGED),
        reason: None,
    };
    Some(mail.to(buyer, new))
}

/// One mail about an order.
struct Mail<'a> {
    template: &'static str,
    /// Distinguishes the mails about one order that have the same template.
    occurrence: String,
    /// The history entry that the mail is about. It never changes, so building the mail again
    /// results in the same message.
    entry: Option<&'a HistoryEntry>,
    /// Why the order ended, or why the payment was declined.
    reason: Option<String>,
}

impl Mail<'_> {
    /// Addresses the mail to `buyer`, with the data of the order.
    fn to(self, buyer: &Contact, order: &Order) -> SendNotification {
        let Self { template, occurrence, entry, reason } = self;
        let item = |line: &OrderLine| MailItem {
            name: line.name.clone(),
            quantity: line.quantity,
            line_total: line.line_total,
        };
        let order_id = order.placed.order_id;
        let price = order.placed.price.as_ref();
        let shipment = order.progress.shipment.as_ref();
        let is_out_of_stock = reason.as_deref() == Some("out_of_stock");
        SendNotification {
            notification_id: ids::derive(&[&order_id.to_string(), template, &occurrence]),
            user_id: order.placed.user_id,
            email: buyer.email.clone(),
            name: buyer.name.clone(),
            template,
            occurred_at: entry.map_or(order.updated_at, |entry| entry.at),
            data: MailData {
                order_id,
                number: order_number(order_id),
                discounts: price.map(discounts).unwrap_or_default(),
                requires_shipping: (!order.placed.requires_shipping()).then_some(false),
                shipping: price.and_then(shipping),
                taxes: price.map(taxes).unwrap_or_default(),
                tax_included: price.map(|price| price.basis == Basis::Gross),
                total: order.placed.totals.total,
                items: order.placed.lines.iter().map(item).collect(),
                reason,
                carrier: shipment.map(|shipment| shipment.carrier.clone().into()),
                tracking: shipment.map(|shipment| shipment.tracking.clone().into()),
                refund: None,
                refunded: None,
                unavailable: if is_out_of_stock { unavailable(order) } else { None },
            },
        }
    }
}

/// The discounts of a price, one per promotion.
fn discounts(price: &Price) -> Vec<MailAmount> {
    let of_lines = price.lines.iter().flat_map(|line| &line.discounts);
    let of_shipping = price.shipping.iter().flat_map(|shipping| &shipping.discounts);
    let mut sums: Vec<(PromotionId, &str, i64)> = Vec::new();
    for discount in of_lines.chain(of_shipping) {
        match sums.iter_mut().find(|(promotion, ..)| *promotion == discount.promotion_id) {
            Some((.., sum)) => *sum = sum.saturating_add(discount.amount),
            None => sums.push((discount.promotion_id, &discount.name, discount.amount)),
        }
    }
    let amount =
        |(_, name, amount): (PromotionId, &str, i64)| MailAmount { name: name.to_owned(), amount };
    sums.into_iter().map(amount).collect()
}

fn shipping(price: &Price) -> Option<MailAmount> {
    let shipping = price.shipping.as_ref()?;
    Some(MailAmount { name: shipping.name.clone(), amount: shipping.base })
}

fn taxes(price: &Price) -> Vec<MailTax> {
    let tax = |row: &TaxRow| MailTax {
        name: row.name.clone(),
        jurisdiction: row.jurisdiction.clone(),
        ppm: row.ppm,
        amount: row.amount,
    };
    price.tax_summary.iter().map(tax).collect()
}

/// The name of the product that inventory could not reserve.
fn unavailable(order: &Order) -> Option<String> {
    let rejected = order.progress.history.iter().find(|entry| entry.event == "stock_rejected")?;
    let line = order
        .placed
        .lines
        .iter()
        .find(|line| rejected.detail.as_deref() == Some(&line.product_id.to_string()))?;
    Some(line.name.clone())
}
