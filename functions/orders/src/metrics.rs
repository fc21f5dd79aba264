//! The metrics of orders, and which of them a committed change moves.

use shared::{
    dimension,
    metrics::{self, Measurement, Metric, MetricBy},
};

use crate::domain::{Order, Status, command::PendingCommand};

const SERVICE: &str = "orders";

pub const ORDERS_PLACED: Metric = Metric::count(SERVICE, "OrdersPlaced", "Orders placed");

pub const ORDERS_CONFIRMED: Metric = Metric::count(
    SERVICE,
    "OrdersConfirmed",
    "Orders whose stock is reserved and payment captured",
);

pub const ORDERS_FAILED: MetricBy<EndReason> = MetricBy::count(
    SERVICE,
    "OrdersFailed",
    "Orders that ended as `failed` or `cancelled`, once stock and payment are compensated",
);

pub const SECONDS_TO_CONFIRM: Metric =
    Metric::seconds(SERVICE, "SecondsToConfirm", "Time from placing an order to its confirmation");

pub const COMMANDS_RESENT: MetricBy<Command> =
    MetricBy::count(SERVICE, "CommandsResent", "Commands that a scheduled check sent again");

pub const OLDEST_UNSETTLED_ORDER_SECONDS: Metric = Metric::seconds(
    SERVICE,
    "OldestUnsettledOrderSeconds",
    "Longest time without progress of an order that waits for inventory or payments, among the orders that a run of `resume-orders` checked. Checks of an order are at most an hour apart; 0 if no such order was due",
);

pub const NEEDS_REVIEW: Metric =
    Metric::count(SERVICE, "NeedsReview", "New reasons for an operator to review an order");

pub const RETRIES_EXHAUSTED: Metric = Metric::count(
    SERVICE,
    "RetriesExhausted",
    "Scheduled checks of an order whose command has no answer, or that makes no progress",
);

pub const LIMIT_RELEASE_FAILED: Metric = Metric::count(
    SERVICE,
    "LimitReleaseFailed",
    "Paid orders that still count as unpaid against their network",
);

pub const ORDER_WITHOUT_MARKET: Metric = Metric::count(
    SERVICE,
    "OrderWithoutMarket",
    "Orders that name no market in a production shop, and are rejected",
);

pub const SWEEP_FAILED: Metric = metrics::SWEEP_FAILED.of(SERVICE);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    ORDERS_PLACED,
    ORDERS_CONFIRMED,
    ORDERS_FAILED.metric,
    SECONDS_TO_CONFIRM,
    COMMANDS_RESENT.metric,
    OLDEST_UNSETTLED_ORDER_SECONDS,
    NEEDS_REVIEW,
    RETRIES_EXHAUSTED,
    LIMIT_RELEASE_FAILED,
    ORDER_WITHOUT_MARKET,
    SWEEP_FAILED,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::UNPUBLISHABLE_CHANGE.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

dimension!(
    /// Why an order was not fulfilled: `reason` of the order.
    EndReason as "reason" {
        OutOfStock = "out_of_stock",
        PaymentFailed = "payment_failed",
        NotPaidInTime = "not_paid_in_time",
        /// By the buyer or an admin.
        Cancelled = "cancelled",
        /// Everything was refunded or withdrawn by a bank before the order was confirmed.
        Refunded = "refunded",
        /// `not_reserved_in_time`, or a reason of another release. Each value is billed as a
        /// metric, and inventory is rarely unavailable until a payment deadline.
        Other = "other",
    }
);

impl EndReason {
    fn of(order: &Order) -> Self {
        match order.progress.reason.as_deref() {
            Some("out_of_stock") => Self::OutOfStock,
            Some("payment_failed") => Self::PaymentFailed,
            Some("not_paid_in_time") => Self::NotPaidInTime,
            Some("cancelled") => Self::Cancelled,
            Some("refunded") => Self::Refunded,
            _ => Self::Other,
        }
    }
}

dimension!(
    /// A command, as the order's history names it.
    Command as "command" {
        ReserveStock = "reserve_stock",
        CommitStock = "commit_stock",
        ReleaseStock = "release_stock",
        OpenPayment = "open_payment",
        ChargePayment = "charge_payment",
        CancelPayment = "cancel_payment",
        RefundPayment = "refund_payment",
    }
);

impl Command {
    fn of(pending: PendingCommand, order: &Order) -> Self {
        match pending {
            PendingCommand::ReserveStock => Self::ReserveStock,
            PendingCommand::CommitStock => Self::CommitStock,
            PendingCommand::ReleaseStock => Self::ReleaseStock,
            PendingCommand::OpenPayment if order.customer.payment_method.is_some() => {
                Self::ChargePayment
            }
            PendingCommand::OpenPayment => Self::OpenPayment,
            PendingCommand::CancelPayment => Self::CancelPayment,
            PendingCommand::RefundPayment => Self::RefundPayment,
        }
    }
}

/// Returns the measurements of a change from `old` to `new`. `old` is `None` for a new order.
pub fn measurements(old: Option<&Order>, new: &Order) -> Vec<Measurement> {
    let Some(old) = old else { return vec![ORDERS_PLACED.once()] };
    let mut measurements = Vec::new();
    if old.progress.status != new.progress.status {
        match new.progress.status {
            Status::Confirmed => {
                let duration = new.updated_at.since(new.placed.created_at);
                measurements
                    .extend([ORDERS_CONFIRMED.once(), SECONDS_TO_CONFIRM.lasting(duration)]);
            }
            Status::Cancelled | Status::Failed => {
                measurements.push(ORDERS_FAILED.once(EndReason::of(new)));
            }
            _ => {}
        }
    }
    if new.schedule.attempt > old.schedule.attempt {
        let sent = old.progress.pending_commands();
        let resent =
            new.progress.pending_commands().into_iter().filter(|command| sent.contains(command));
        measurements.extend(resent.map(|command| COMMANDS_RESENT.once(Command::of(command, new))));
    }
    measurements
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::metrics::DimensionValue;

    use super::*;
    use crate::domain::{
        saga::Event,
        tests::{after, events, placed, reachable},
    };

    /// A change of an order, with the metrics that it moves and the values of their dimensions.
    struct Change {
        before: Order,
        event: Event,
        after: Order,
        moved: Vec<(&'static str, Option<&'static str>)>,
    }

    /// Every change from a reachable state.
    fn changes() -> impl Iterator<Item = Change> {
        reachable().values().flat_map(|before| {
            events().into_iter().filter_map(move |event| {
                let after = after(before, &event);
                let moved = measurements(Some(before), &after)
                    .into_iter()
                    .map(|measurement| (measurement.metric.name, measurement.of))
                    .collect();
                (after != *before).then(|| Change { before: before.clone(), event, after, moved })
            })
        })
    }

    #[test]
    fn each_change_of_status_is_counted_once_with_its_reason() {
        let mut reasons = BTreeSet::new();
        let mut confirmed = 0;
        for Change { before, event, after, moved } in changes() {
            let (old, status) = (&before.progress.status, &after.progress.status);
            let count = |name: &str| moved.iter().filter(|(metric, _)| *metric == name).count();
            let became =
                |expected: &[Status]| usize::from(old != status && expected.contains(status));
            assert_eq!(count("OrdersConfirmed"), became(&[Status::Confirmed]), "{event:?}");
            assert_eq!(count("SecondsToConfirm"), count("OrdersConfirmed"));
            assert_eq!(
                count("OrdersFailed"),
                became(&[Status::Cancelled, Status::Failed]),
                "{event:?}"
            );
            confirmed += count("OrdersConfirmed");
            reasons.extend(
                moved
                    .iter()
                    .filter(|(metric, _)| *metric == "OrdersFailed")
                    .map(|(_, reason)| reason.unwrap()),
            );
        }
        // The exploration keeps one order per state, regardless of the reason of its end.
        let expired = after(&placed(), &Event::Deadline);
        reasons.insert(EndReason::of(&expired).name());
        let known: BTreeSet<_> =
            EndReason::DIMENSION.values.iter().copied().filter(|name| *name != "other").collect();
        assert_eq!(reasons, known, "every reason has its own value, and each value occurs");
        assert!(confirmed > 0);
    }

    #[test]
    fn only_scheduled_checks_count_resent_commands() {
        let mut commands = BTreeSet::new();
        for Change { before, event, after, moved } in changes() {
            let resent: Vec<_> = moved
                .iter()
                .filter(|(metric, _)| *metric == "CommandsResent")
                .filter_map(|(_, command)| *command)
                .collect();
            let has_method = after.customer.payment_method.is_some();
            let expected: Vec<_> = if event == Event::Retry {
                before
                    .progress
                    .pending_commands()
                    .into_iter()
                    .map(|command| command.name(has_method))
                    .collect()
            } else {
                Vec::new()
            };
            assert_eq!(resent, expected, "{event:?}");
            commands.extend(resent);
        }
        assert!(commands.len() > 4, "{commands:?}");
    }

    #[test]
    fn new_order_is_placed_and_moves_nothing_else() {
        let order = reachable().values().next().unwrap().clone();
        assert_eq!(measurements(None, &order), [ORDERS_PLACED.once()]);
    }
}
