//! The messages that a committed change of an order publishes. This file lists the commands and
//! mails, and `entries` the ledger entries.

mod entries;

use shared::{
    ids::{self, PromotionId},
    money::Money,
    queue::{Message, MessageContext},
    stream::UnknownState,
};

use crate::{
    domain::{
        MAX_PAYMENT_ATTEMPTS, Order, PaymentState, Status,
        buyer::{Buyer, Contact},
        command::PendingCommand,
        history::{HistoryEntry, SHIPPING_ADDRESS_CHANGED},
        number::order_number,
        pricing::{
            Price,
            breakdown::{Basis, TaxRow},
        },
    },
    messages::{
        CancelPayment, MailAmount, MailData, MailItem, MailTax, OpenPayment, OrderCommand,
        ReserveStock, SendNotification, StockLine,
    },
};

/// Returns the messages for a change from `old` to `new`. `old` is `None` for a new order.
///
/// # Errors
/// If a later release wrote the state of `new`: its messages are unknown.
pub fn messages(old: Option<&Order>, new: &Order) -> Result<Vec<Message>, UnknownState> {
    if let Some((attribute, state)) = new.progress.unknown_state() {
        return Err(UnknownState { attribute, state: state.to_owned() });
    }
    let context = MessageContext {
        service: "orders",
        id: new.placed.order_id.to_string(),
        version: new.version,
        time: new.updated_at,
        trace: new.traceparent.clone(),
    };
    let mut messages: Vec<Message> = newly_pending(old, new)
        .into_iter()
        .map(|pending| command(pending, new, &context))
        .collect();
    if let Some(old) = old {
        messages.extend(entries::entries(old, new, &context));
        messages.extend(mails(old, new).into_iter().map(|mail| {
            let mut message =
                Message::new("send-notification", "send_notification.v1", &context, &mail);
            // One change can send two mails. The template name gives each its own id.
            message.id = ids::derive_uuid(&[&message.id, mail.template]).to_string();
            message
        }));
    }
    Ok(messages)
}

/// The commands that became pending with this change, or all pending commands if a new attempt
/// sends them again.
fn newly_pending(old: Option<&Order>, new: &Order) -> Vec<PendingCommand> {
    let sent = old.filter(|old| old.schedule.attempt == new.schedule.attempt);
    let sent = sent.map(|old| old.progress.pending_commands()).unwrap_or_default();
    let mut pending: Vec<PendingCommand> = new
        .progress
        .pending_commands()
        .into_iter()
        .filter(|command| !sent.contains(command))
        .collect();
    // Payments also closes an order that ends before its payment was opened. Payments then rejects
    // a later attempt to pay it as closed.
    if old.is_some_and(|old| old.progress.payment == PaymentState::None)
        && new.progress.payment == PaymentState::Closed
    {
        pending.push(PendingCommand::CancelPayment);
    }
    pending
}

fn command(pending: PendingCommand, order: &Order, context: &MessageContext) -> Message {
    let (order_id, user_id, attempt, amount) = (
        order.placed.order_id,
        order.placed.user_id,
        order.schedule.attempt,
        order.placed.totals.total,
    );
    let plain =
        |queue, kind| Message::new(queue, kind, context, &OrderCommand { order_id, attempt });
    match pending {
        PendingCommand::ReserveStock => {
            let lines = order
                .placed
                .lines
                .iter()
                .map(|line| StockLine { product_id: line.product_id, quantity: line.quantity })
                .collect();
            Message::new(
                "reserve-stock",
                "reserve_stock.v1",
                context,
                &ReserveStock { order_id, attempt, lines },
            )
        }
        PendingCommand::CommitStock => plain("commit-stock", "commit_stock.v1"),
        PendingCommand::ReleaseStock => plain("release-stock", "release_stock.v1"),
        PendingCommand::OpenPayment => {
            let payment_method = order.customer.payment_method.clone();
            let (queue, kind) = match payment_method {
                Some(_) => ("charge-payment", "charge_payment.v1"),
                None => ("open-payment", "open_payment.v1"),
            };
            let data = OpenPayment {
                order_id,
                user_id,
                amount,
                expires_at: order.placed.expires_at,
                tries: MAX_PAYMENT_ATTEMPTS,
                payment_method,
                attempt,
            };
            Message::new(queue, kind, context, &data)
        }
        PendingCommand::CancelPayment => Message::new(
            "cancel-payment",
            "cancel_payment.v1",
            context,
            &CancelPayment { order_id, user_id, amount, attempt },
        ),
        PendingCommand::RefundPayment => plain("refund-payment", "refund_payment.v1"),
    }
}

/// Returns the mails for changes of the status, declines, refunds and changes of the shipping
/// address. Their recipient is the buyer before the change, because the change that settles an
/// order may redact the buyer. A buyer who was redacted earlier gets no mail.
fn mails(old: &Order, new: &Order) -> Vec<SendNotification> {
    let Buyer::Known(buyer) = &old.customer.buyer else { return Vec::new() };
    let template = match new.progress.status {
        Status::Confirmed => Some("order_confirmed"),
        Status::Failed => Some("order_failed"),
        Status::Cancelled => Some("order_cancelled"),
        Status::Shipped => Some("order_shipped"),
        Status::Delivered => Some("order_delivered"),
        _ => None,
    };
    let of_status =
        template.filter(|_| old.progress.status != new.progress.status).map(|template| {
            let entry =
                new.progress.history.iter().find(|entry| entry.status == new.progress.status);
            mail(buyer, template, "0", new.progress.reason.clone(), entry, new)
        });
    let (declined_before, declined) = (declines(old).count(), declines(new).count());
    let of_decline = (declined > declined_before).then(|| {
        let last = declines(new).next_back();
        mail(
            buyer,
            "payment_declined",
            &declined.to_string(),
            last.and_then(|entry| entry.detail.clone()),
            last,
            new,
        )
    });
    // The mail does not contain the address. A buyer who has not paid yet sees it when they pay.
    let changes = new.progress.address_changes();
    let is_confirmed = old.progress.status == Status::Confirmed;
    let of_address = (is_confirmed && changes > old.progress.address_changes()).then(|| {
        let last = new.progress.history.iter().rfind(|e| e.event == SHIPPING_ADDRESS_CHANGED);
        mail(buyer, "shipping_address_changed", &changes.to_string(), None, last, new)
    });
    of_status
        .into_iter()
        .chain(of_decline)
        .chain(refund_mail(buyer, old, new))
        .chain(of_address)
        .collect()
}

/// Returns the mail about a refund. Each refunded amount is mailed once, even if its event arrives
/// several times. A refund that failed before the order received its event is not mailed.
fn refund_mail(buyer: &Contact, old: &Order, new: &Order) -> Option<SendNotification> {
    let (before, refunded) = (old.progress.refunded_net(), new.progress.refunded_net());
    if refunded <= before {
        return None;
    }
    let last = new.progress.history.iter().rfind(|entry| entry.event == "payment_refunded");
    let occurrence = new.progress.refunded_total.to_string();
    let mail = mail(buyer, "order_refunded", &occurrence, None, last, new);
    let money = |amount| Some(Money::new(amount, new.placed.totals.total.currency));
    let (refund, refunded) = (money(refunded - before), money(refunded));
    Some(SendNotification { data: MailData { refund, refunded, ..mail.data }, ..mail })
}

fn declines(order: &Order) -> impl DoubleEndedIterator<Item = &HistoryEntry> {
    order.progress.history.iter().filter(|entry| entry.event == "payment_declined")
}

/// Builds a mail to `buyer` about the history entry `moment`. The entry never changes, so building
/// the mail again results in the same message.
fn mail(
    buyer: &Contact,
    template: &'static str,
    occurrence: &str,
    reason: Option<String>,
    moment: Option<&HistoryEntry>,
    order: &Order,
) -> SendNotification {
    let item = |line: &crate::domain::OrderLine| MailItem {
        name: line.name.clone(),
        quantity: line.quantity,
        line_total: line.line_total,
    };
    let price = order.placed.price.as_ref();
    let unavailable = reason
        .as_deref()
        .filter(|reason| *reason == "out_of_stock")
        .and_then(|_| unavailable(order));
    SendNotification {
        notification_id: ids::derive(&[&order.placed.order_id.to_string(), template, occurrence]),
        user_id: order.placed.user_id,
        email: buyer.email.clone(),
        name: buyer.name.clone(),
        template,
        occurred_at: moment.map_or(order.updated_at, |entry| entry.at),
        data: MailData {
            order_id: order.placed.order_id,
            number: order_number(order.placed.order_id),
            discounts: price.map(discounts).unwrap_or_default(),
            requires_shipping: (!order.placed.requires_shipping()).then_some(false),
            shipping: price.and_then(shipping),
            taxes: price.map(taxes).unwrap_or_default(),
            tax_included: price.map(|price| price.basis == Basis::Gross),
            total: order.placed.totals.total,
            items: order.placed.lines.iter().map(item).collect(),
            reason,
            carrier: order
                .progress
                .shipment
                .as_ref()
                .map(|shipment| shipment.carrier.clone().into()),
            tracking: order
                .progress
                .shipment
                .as_ref()
                .map(|shipment| shipment.tracking.clone().into()),
            refund: None,
            refunded: None,
            unavailable,
        },
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

#[cfg(test)]
mod tests;
