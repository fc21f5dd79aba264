//! The messages that a committed change of an order publishes. This file lists the commands,
//! `mails` the mails, and `entries` the ledger entries.

mod entries;
mod mails;

use shared::{
    ids,
    queue::{Message, MessageContext},
    stream::UnknownState,
};

use crate::{
    domain::{MAX_PAYMENT_ATTEMPTS, Order, PaymentState, command::PendingCommand},
    messages::{CancelPayment, OpenPayment, OrderCommand, ReserveStock, StockLine},
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
        messages.extend(mails::mails(old, new).into_iter().map(|mail| {
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

#[cfg(test)]
mod tests;
