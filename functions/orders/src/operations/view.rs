//! The representation of an order in the API.

use serde::Serialize;
use shared::{
    address::Address,
    clock::Timestamp,
    ids::{CartId, OrderId, UserId},
    money::Money,
};

use crate::{
    domain::{
        Goal, Order, OrderLine, PaymentState, StockState, Totals,
        actions::{Actor, Cancellation, Shipment},
        buyer::{Buyer, Contact},
        cart::{Attributes, Locale, Note},
        command::PendingCommand,
        history::HistoryEntry,
        number::order_number,
        order_request::TaxId,
        pricing::Price,
        progress::Progress,
    },
    store::OrderSummary,
};

/// An order with its lines, its buyer and its history.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderView<'a> {
    id: OrderId,
    /// The order number, as shown to the buyer. It gives no access.
    #[cfg_attr(feature = "api-document", schema(example = "7K3M-Q8ZT-0V2R"))]
    number: String,
    user_id: UserId,
    /// The cart that became the order. Null for an order of items.
    cart_id: Option<CartId>,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Status))]
    status: &'a str,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Step>))]
    step: Option<&'static str>,
    #[cfg_attr(feature = "api-document", schema(value_type = OrderPaymentStatus))]
    payment_status: &'static str,
    /// Whether `POST /payments` can pay the order now.
    payable: bool,
    /// Why the order failed, was cancelled or is being cancelled. Null otherwise.
    reason: Option<&'a str>,
    /// Who cancelled the order. Null if no person cancelled it.
    cancellation: Option<&'a Cancellation>,
    /// Why an operator has to review the order. Null if no review is needed.
    needs_review: Option<&'a str>,
    /// The ordered products, at the prices when the order was placed.
    items: &'a [OrderLine],
    totals: Totals,
    /// How the totals were computed when the order was placed. Null for an order without a market,
    /// whose tax is not calculated.
    price: Option<&'a Price>,
    buyer: Option<BuyerView<'a>>,
    shipping_address: Option<&'a Address>,
    /// The address on the invoice. Null if it is the shipping address.
    billing_address: Option<&'a Address>,
    /// The tax number of the buyer. Null if the buyer sent none.
    tax_id: Option<&'a TaxId>,
    /// The language of the buyer. Null if it is unknown.
    locale: Option<&'a Locale>,
    /// A note from the buyer to the shop.
    note: Option<&'a Note>,
    /// Values of the storefront. Null if it sent none.
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Vec<crate::domain::cart::Attribute>>))]
    attributes: Option<&'a Attributes>,
    shipment: Option<&'a Shipment>,
    /// The payment that captured the money. Null before the capture.
    payment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    waiting_for: Option<WaitingForView>,
    /// The events of the order, oldest first.
    history: Vec<HistoryEntryView<'a>>,
    /// The number of entries removed from the middle of the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    history_omitted: Option<u32>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// The payment deadline: an order that is unpaid at this time is cancelled.
    expires_at: Timestamp,
}

impl<'a> OrderView<'a> {
    pub fn new(order: &'a Order, now: Timestamp) -> Self {
        Self {
            id: order.placed.order_id,
            number: order_number(order.placed.order_id),
            user_id: order.placed.user_id,
            cart_id: order.placed.cart.map(|cart| cart.cart_id),
            status: order.progress.status.name(),
            step: step(order),
            payment_status: order.progress.payment_status(),
            payable: order.is_payable(now),
            reason: order.progress.reason.as_deref(),
            cancellation: order.progress.cancellation.as_ref(),
            needs_review: order.progress.needs_review.as_deref(),
            items: &order.placed.lines,
            totals: order.placed.totals,
            price: order.placed.price.as_ref(),
            buyer: BuyerView::of(&order.customer.buyer),
            shipping_address: order.customer.shipping_address.as_ref(),
            billing_address: order.customer.billing_address.as_ref(),
            tax_id: order.customer.tax_id.as_ref(),
            locale: order.customer.locale.as_ref(),
            note: order.customer.note.as_ref(),
            attributes: order.customer.attributes.as_ref(),
            shipment: order.progress.shipment.as_ref(),
            payment_id: order.progress.payment_id.as_deref(),
            waiting_for: WaitingForView::of(order),
            history: order
                .progress
                .history
                .iter()
                .map(|entry| HistoryEntryView::new(entry, order))
                .collect(),
            history_omitted: Some(order.progress.history_omitted).filter(|omitted| *omitted > 0),
            created_at: order.placed.created_at,
            updated_at: order.updated_at,
            expires_at: order.placed.expires_at,
        }
    }
}

/// The entity tag of the view of an order at `now`. `payable` depends on the time, which does not
/// change the version, so the tag covers both.
pub(super) fn entity_tag(order: &Order, now: Timestamp) -> u64 {
    order.version * 2 + u64::from(order.is_payable(now))
}

/// The commands that have no answer. Present if a service did not answer by the second scheduled
/// check. The commands are sent again until it answers; the buyer need not act.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct WaitingForView {
    /// The commands without an answer.
    #[cfg_attr(feature = "api-document", schema(value_type = Vec<Command>))]
    commands: Vec<&'static str>,
    /// When the command became pending, or was last answered.
    since: Timestamp,
    /// When the commands are sent again.
    next_check_at: Timestamp,
}

impl WaitingForView {
    fn of(order: &Order) -> Option<Self> {
        let overdue: Vec<(PendingCommand, Timestamp)> = order.overdue_commands().collect();
        let since = overdue.iter().map(|(_, since)| *since).min()?;
        let commands = overdue
            .iter()
            .map(|(command, _)| command.name(order.customer.payment_method.is_some()))
            .collect();
        Some(Self { commands, since, next_check_at: order.schedule.next_check_at? })
    }
}

/// An event in the history of an order.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub(super) struct HistoryEntryView<'a> {
    at: Timestamp,
    /// The event: `placed`, `stock_reserved`, `payment_declined`, … The event `waiting` means that
    /// a service has not answered a command. There is one entry per wait.
    event: &'a str,
    /// The status after the event.
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Status))]
    status: &'a str,
    /// The reason, or other details.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    detail: Option<&'a str>,
    /// Who requested the event: the buyer or an admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    by: Option<&'a Actor>,
    /// The payment that the event is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    payment_id: Option<&'a str>,
    /// The amount that moved, or that a started refund will move.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    amount: Option<Money>,
    /// The command without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false, value_type = Option<Command>))]
    pending_command: Option<&'a str>,
    /// When the command became pending, or was last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    since: Option<Timestamp>,
    /// When the command is sent again. Absent once it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    next_check_at: Option<Timestamp>,
    /// When the command was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    answered_at: Option<Timestamp>,
}

impl<'a> HistoryEntryView<'a> {
    pub(super) fn new(entry: &'a HistoryEntry, order: &Order) -> Self {
        Self {
            at: entry.at,
            event: &entry.event,
            status: entry.status.name(),
            detail: entry.detail.as_deref(),
            by: entry.by.as_ref(),
            payment_id: entry.payment_id.as_deref(),
            amount: entry
                .amount
                .map(|amount| Money::new(amount, order.placed.totals.total.currency)),
            pending_command: entry.pending_command.as_deref(),
            since: entry.since,
            next_check_at: order.schedule.next_check_at.filter(|_| entry.is_open_wait()),
            answered_at: entry.answered_at,
        }
    }
}

/// The name and e-mail address of the buyer. Null once their account is deleted.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct BuyerView<'a> {
    name: &'a str,
    email: &'a str,
}

impl<'a> BuyerView<'a> {
    fn of(buyer: &'a Buyer) -> Option<Self> {
        match buyer {
            Buyer::Known(Contact { name, email, .. }) => Some(Self { name, email }),
            Buyer::Redacted => None,
        }
    }
}

/// An order in a list. `GET /orders/{order_id}` returns all of it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct OrderSummaryView {
    id: OrderId,
    /// The order number, as shown to the buyer. It gives no access.
    #[cfg_attr(feature = "api-document", schema(example = "7K3M-Q8ZT-0V2R"))]
    number: String,
    user_id: UserId,
    #[cfg_attr(feature = "api-document", schema(value_type = crate::domain::Status))]
    status: String,
    #[cfg_attr(feature = "api-document", schema(value_type = OrderPaymentStatus))]
    payment_status: String,
    /// Why an operator has to review the order. Null if no review is needed.
    needs_review: Option<String>,
    /// The total quantity of all lines.
    item_count: u32,
    totals: Totals,
    created_at: Timestamp,
}

impl From<OrderSummary> for OrderSummaryView {
    fn from(order: OrderSummary) -> Self {
        Self {
            id: order.order_id,
            number: order_number(order.order_id),
            user_id: order.user_id,
            status: order.status.name().to_owned(),
            payment_status: order.payment_status,
            needs_review: order.needs_review,
            item_count: order.item_count,
            totals: order.totals,
            created_at: order.created_at,
        }
    }
}

/// Returns what the order waits for, as its buyer sees it. `None` if it waits only for internal
/// work, such as the commit of its stock, or for an operator.
fn step(order: &Order) -> Option<&'static str> {
    let Progress { goal, stock, payment, .. } = &order.progress;
    match (goal, stock, payment) {
        (Goal::Fulfil, StockState::Reserving, _) => Some("reserving"),
        _ if order.is_charged_automatically() => Some("paying"),
        (Goal::Fulfil, _, PaymentState::Open) => Some("awaiting_payment"),
        (Goal::Fulfil, _, PaymentState::Processing | PaymentState::Unknown) => Some("paying"),
        (Goal::Cancel | Goal::Fail, _, PaymentState::Closing) => Some("cancelling"),
        (Goal::Cancel | Goal::Fail, _, PaymentState::Refunding) => Some("refunding"),
        (Goal::Cancel | Goal::Fail, StockState::Releasing, _) => Some("releasing"),
        _ => None,
    }
}

/// What an order waits for; see [`step`].
#[cfg(feature = "api-document")]
#[derive(utoipa::ToSchema)]
#[schema(as = OrderStep, rename_all = "snake_case", description = "What the order waits for.")]
#[expect(dead_code, reason = "the views use the names")]
enum Step {
    Reserving,
    AwaitingPayment,
    Paying,
    Cancelling,
    Refunding,
    Releasing,
}

/// A command to another service; see [`PendingCommand::name`].
#[cfg(feature = "api-document")]
#[derive(utoipa::ToSchema)]
#[schema(as = PendingCommand, rename_all = "snake_case", description = "A command to another service.")]
#[expect(dead_code, reason = "the views use the names")]
pub(super) enum Command {
    ReserveStock,
    CommitStock,
    ReleaseStock,
    OpenPayment,
    ChargePayment,
    CancelPayment,
    RefundPayment,
}

/// The status of an order's payment; see [`Progress::payment_status`].
#[cfg(feature = "api-document")]
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case", description = "The status of the order's payment.")]
#[expect(dead_code, reason = "the views use the names")]
enum OrderPaymentStatus {
    Unpaid,
    Processing,
    Unknown,
    Paid,
    PartiallyRefunded,
    Refunding,
    Refunded,
    RefundFailed,
}
