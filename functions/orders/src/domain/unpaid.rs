//! Unpaid orders hold stock. Their number is limited per buyer and per network, and each one
//! expires.
//!
//! A buyer's unpaid orders are listed in one item with the deadline of each ([`UnpaidOrders`]). An
//! entry past its deadline does not count. The write that settles an order removes its entry; where
//! that removal is lost, the deadline ends it.

use std::{collections::BTreeMap, time::Duration};

use shared::{clock::Timestamp, ids::OrderId, throttle::Limit};

use super::{
    order::Order,
    placement::{PlacementError, Terms},
    state::{Goal, PaymentState, Status},
};

/// How long the call of a payment may be in flight: longer than a function of payments lives. After
/// that its order waits for the shop.
const MAX_CALL_TIME: Duration = Duration::from_secs(30);

/// How many unpaid orders one buyer may have at once, and for how long each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuyerLimit {
    /// How many.
    pub orders: u32,
    /// For how long each.
    pub pay_within: Duration,
}

/// The limits of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For an account whose e-mail address is verified.
    pub verified: BuyerLimit,
    /// For an account whose address is not: registering one costs nothing.
    pub unverified: BuyerLimit,
    /// For all orders from one network that nobody has paid yet.
    pub network: Limit,
    /// The most pieces of a product in one order, unless the product says otherwise.
    pub max_per_order: u32,
}

impl Limits {
    /// The limit on the unpaid orders of an account, by whether its address is verified.
    pub fn buyer_limit(&self, email_verified: bool) -> BuyerLimit {
        if email_verified { self.verified } else { self.unverified }
    }

    /// What the shop grants this buyer for one order.
    pub fn terms(&self, email_verified: bool) -> Terms {
        Terms {
            pay_within: self.buyer_limit(email_verified).pay_within,
            max_per_order: self.max_per_order,
        }
    }

    /// Checks that the buyer and their network may have one more unpaid order.
    ///
    /// # Errors
    /// When either has as many as it may have.
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

/// What a new order is judged by, as it was read last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitUsage {
    /// The buyer's unpaid orders.
    pub unpaid: UnpaidOrders,
    /// How far the network's limit is used up; `None` where no order came from there of late.
    pub network: Option<Timestamp>,
}

/// The unpaid orders of one buyer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnpaidOrders {
    /// Grows with every new order; `None` where the buyer has no list yet.
    pub version: Option<u64>,
    /// When each has to be paid.
    pub deadlines: BTreeMap<OrderId, Timestamp>,
}

impl UnpaidOrders {
    /// How many count at `now`.
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

    /// The list without these orders.
    #[must_use]
    pub fn without(&self, orders: &[OrderId]) -> Self {
        let mut rest = self.clone();
        rest.deadlines.retain(|order_id, _| !orders.contains(order_id));
        rest
    }

    /// Those that count no more.
    pub fn expired_at(&self, now: Timestamp) -> impl Iterator<Item = OrderId> {
        self.deadlines
            .iter()
            .filter(move |(_, deadline)| **deadline <= now)
            .map(|(order_id, _)| *order_id)
    }
}

/// What a change of an order frees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleasedLimits {
    /// The order no longer counts against its buyer.
    pub buyer: bool,
    /// The network that the order was charged to, now that it is paid. An order that is given up
    /// stays charged: otherwise a script could place and cancel orders without an end.
    pub network: Option<String>,
}

impl Order {
    /// Whether its buyer's list of unpaid orders has it: until it is paid, cancelled or failed.
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

    /// Whether it counts against its buyer. It does not while it waits for the shop: the outcome of
    /// a payment is unknown, or its call is in flight for longer than a function lives. A payment
    /// that waits for the buyer's bank counts.
    pub fn counts_as_unpaid(&self, now: Timestamp) -> bool {
        let is_lost = |since: Timestamp| now.since(since) >= MAX_CALL_TIME;
        let waits_for_shop = match self.progress.payment {
            PaymentState::Unknown => true,
            PaymentState::Processing => self.progress.payment_in_flight_since.is_some_and(is_lost),
            _ => false,
        };
        self.is_unpaid() && !waits_for_shop
    }

    /// What the change from this order to `next` frees.
    pub fn released_limits(&self, next: &Self) -> ReleasedLimits {
        let is_paid =
            next.progress.goal == Goal::Fulfil && next.progress.payment == PaymentState::Paid;
        ReleasedLimits {
            buyer: self.is_unpaid() && !next.is_unpaid(),
            network: self
                .customer
                .network
                .clone()
                .filter(|_| is_paid && next.customer.network.is_none()),
        }
    }

    /// Forgets the network of an order that is paid or given up.
    pub(super) fn forget_network(&mut self) {
        if self.progress.goal != Goal::Fulfil
            || matches!(self.progress.payment, PaymentState::Paid | PaymentState::Refunded)
        {
            self.customer.network = None;
        }
    }
}
