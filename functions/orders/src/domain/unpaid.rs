//! Unpaid orders. They hold stock, so each one expires, and their number is limited per buyer and
//! per network.
//!
//! One item lists a buyer's orders with the payment deadline of each ([`UnpaidOrders`]). An entry
//! past its deadline does not count. An order that is paid, cancelled or failed keeps its entry
//! until then, so that it costs no write. Only a full list is compared with the orders themselves:
//! those that no longer wait for their payment do not count.

use std::{collections::BTreeMap, time::Duration};

use shared::{clock::Timestamp, ids::OrderId, throttle::Limit};

use super::{
    order::Order,
    placement::{PlacementError, Terms},
    state::{Goal, PaymentState, Status},
};

/// How long the call of a payment may be in flight: longer than a function of payments may run. An
/// order with an older call waits for the shop.
const MAX_CALL_TIME: Duration = Duration::from_secs(30);

/// The limit on the unpaid orders of one buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuyerLimit {
    /// Maximum number of unpaid orders at once.
    pub orders: u32,
    /// How long each order may stay unpaid.
    pub pay_within: Duration,
}

/// The limits of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For accounts with a verified e-mail address.
    pub verified: BuyerLimit,
    /// For accounts with an unverified e-mail address. The limit is low because such an account
    /// costs nothing to register.
    pub unverified: BuyerLimit,
    /// For all unpaid orders from one network.
    pub network: Limit,
    /// Maximum quantity of a product in one order, unless the product sets its own.
    pub max_per_order: u32,
    /// Whether each order has to name a market, whose rules decide its tax.
    pub requires_market: bool,
}

impl Limits {
    /// The limit of an account, by whether its e-mail address is verified.
    pub fn buyer_limit(&self, email_verified: bool) -> BuyerLimit {
        if email_verified { self.verified } else { self.unverified }
    }

    /// The terms for one order of the buyer.
    pub fn terms(&self, email_verified: bool) -> Terms {
        Terms {
            pay_within: self.buyer_limit(email_verified).pay_within,
            max_per_order: self.max_per_order,
            requires_market: self.requires_market,
        }
    }

    /// The network of an order that is placed at `now`, if it refunds its charge once it is paid.
    /// An order that leaves half of the network's limit keeps its charge until the limit recovers.
    pub fn refunded_network(
        &self,
        network: &str,
        usage: &LimitUsage,
        now: Timestamp,
    ) -> Option<String> {
        self.network.is_half_used(usage.network, now).then(|| network.to_owned())
    }

    /// Checks that the buyer and the network may have another unpaid order.
    ///
    /// # Errors
    /// If the buyer or the network has reached its limit.
    pub fn check(
        &self,
        email_verified: bool,
        usage: &LimitUsage,
        now: Timestamp,
    ) -> Result<(), PlacementError> {
        let limit = self.buyer_limit(email_verified);
        if usage.unpaid.count_at(now) >= usize::try_from(limit.orders).unwrap_or(usize::MAX) {
            let if_verified =
                Some(self.verified.orders).filter(|more| !email_verified && *more > limit.orders);
            return Err(PlacementError::TooManyUnpaid { maximum: limit.orders, if_verified });
        }
        match self.network.check(usage.network, now) {
            Ok(_) => Ok(()),
            Err(retry_after) => Err(PlacementError::NetworkLimitReached { retry_after }),
        }
    }
}

/// The usage of the limits, as last read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitUsage {
    pub unpaid: UnpaidOrders,
    /// The usage of the network's limit; `None` if the network has no recent orders.
    pub network: Option<Timestamp>,
}

/// The unpaid orders of one buyer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnpaidOrders {
    /// Incremented by every new order; `None` if the buyer has no list yet.
    pub version: Option<u64>,
    /// The payment deadline of each order.
    pub deadlines: BTreeMap<OrderId, Timestamp>,
}

impl UnpaidOrders {
    /// The number of orders that count at `now`.
    pub fn count_at(&self, now: Timestamp) -> usize {
        self.orders_at(now).count()
    }

    /// The orders that count at `now`.
    pub fn orders_at(&self, now: Timestamp) -> impl Iterator<Item = OrderId> {
        self.deadlines
            .iter()
            .filter(move |(_, deadline)| **deadline > now)
            .map(|(order_id, _)| *order_id)
    }

    /// The list without the orders that do not count.
    #[must_use]
    pub fn without(&self, uncounted: &Uncounted) -> Self {
        let Uncounted { ended, waiting_for_shop } = uncounted;
        let mut rest = self.clone();
        rest.deadlines.retain(|order_id, _| {
            !ended.contains(order_id) && !waiting_for_shop.contains(order_id)
        });
        rest
    }

    /// The orders that no longer count at `now`.
    pub fn expired_at(&self, now: Timestamp) -> impl Iterator<Item = OrderId> {
        self.deadlines
            .iter()
            .filter(move |(_, deadline)| **deadline <= now)
            .map(|(order_id, _)| *order_id)
    }
}

/// The listed orders of a full list that do not count against their buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// They are paid, cancelled or failed, and leave the list.
    pub ended: Vec<OrderId>,
    /// They wait for the shop. They stay in the list, because they count again if their payment is
    /// declined.
    pub waiting_for_shop: Vec<OrderId>,
}

impl Order {
    /// Whether the order is not yet paid, cancelled or failed.
    pub fn is_unpaid(&self) -> bool {
        let can_be_paid = matches!(
            self.progress.payment,
            PaymentState::None
                | PaymentState::Open
                | PaymentState::Processing
                | PaymentState::Unknown
        );
        self.progress.goal == Goal::Fulfil && self.progress.status == Status::Pending && can_be_paid
    }

    /// Whether the order counts against its buyer. It does not count while it waits for the shop:
    /// the outcome of its payment is unknown, or the payment's call has been in flight longer than
    /// a function may run. A payment that waits for the buyer's bank counts.
    pub fn counts_as_unpaid(&self, now: Timestamp) -> bool {
        let is_overdue = |since: Timestamp| now.since(since) >= MAX_CALL_TIME;
        let waits_for_shop = match self.progress.payment {
            PaymentState::Unknown => true,
            PaymentState::Processing => {
                self.progress.payment_in_flight_since.is_some_and(is_overdue)
            }
            _ => false,
        };
        self.is_unpaid() && !waits_for_shop
    }

    /// The network whose limit the change from this order to `next` refunds: the one that the order
    /// is charged to, if it is now paid with money. A cancelled order stays charged, and so does a
    /// free one: otherwise a script could place orders without limit.
    pub fn refunded_network(&self, next: &Self) -> Option<&str> {
        let is_paid = next.progress.goal == Goal::Fulfil
            && next.progress.payment == PaymentState::Paid
            && next.progress.captured_total > 0;
        let network = self.customer.network.as_deref();
        network.filter(|_| is_paid && next.customer.network.is_none())
    }

    /// Removes the network of an order that is paid, cancelled or failed.
    pub(super) fn forget_network(&mut self) {
        if self.progress.goal != Goal::Fulfil
            || matches!(self.progress.payment, PaymentState::Paid | PaymentState::Refunded)
        {
            self.customer.network = None;
        }
    }
}
