//! The order and its parts: what was placed, its buyer, its progress and its next check.

use shared::{clock::Timestamp, telemetry::Trace};

use super::{
    buyer::{Buyer, Customer},
    cart::{CartContent, CartQuote},
    order_request::{OrderOfCart, OrderOfItems},
    placement::{PlacedOrder, Placement, PlacementError, PricedGoods},
    pricing::Pricing,
    product::Product,
    progress::Progress,
    schedule::{Schedule, Timing},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub placed: PlacedOrder,
    /// The personal data of the buyer, redacted when their account is deleted.
    pub customer: Customer,
    pub progress: Progress,
    /// When the order is checked next, and which commands have no answer.
    pub schedule: Schedule,
    /// The time of the last change that the buyer can see.
    pub updated_at: Timestamp,
    /// Incremented by every write.
    pub version: u64,
    /// The trace of the request or message that last changed the progress. A scheduled check keeps
    /// it, so a command that is sent again continues the trace of the first one.
    pub traceparent: Trace,
}

impl Order {
    /// Prices the requested items and places an order of them. `rules` has the rules of the
    /// request's market for the countries of its addresses, if the market has any.
    ///
    /// # Errors
    /// If a product is unknown or its quantity exceeds its limit, the goods cannot be ordered in
    /// the market, or the total is too large or not the one that the buyer expected.
    pub fn place(
        placement: Placement,
        of_items: OrderOfItems,
        products: &[Product],
        rules: &[Pricing],
    ) -> Result<Self, PlacementError> {
        let goods = PricedGoods::of_items(&placement, &of_items, products, rules)?;
        let goods = goods.check(of_items.expected_total)?;
        let placed = PlacedOrder::new(&placement, goods);
        let customer = Customer {
            buyer: Buyer::Known(placement.buyer),
            buyer_change: None,
            shipping_address: of_items.shipping_address,
            billing_address: of_items.billing_address,
            tax_id: of_items.tax_id,
            locale: of_items.locale,
            note: of_items.note,
            attributes: of_items.attributes,
            payment_method: of_items.payment_method,
            fingerprint: placement.fingerprint,
            network: placement.network,
        };
        Ok(Self::begin(placed, customer, placement.trace, placement.timing))
    }

    /// Places an order of a cart, with the lines and the total that the cart shows. `quote` has its
    /// prices at the time of the placement.
    ///
    /// # Errors
    /// If the cart cannot be ordered, or its total is not the one that the buyer has seen.
    pub fn place_cart(
        placement: Placement,
        content: CartContent,
        quote: CartQuote,
        of_cart: OrderOfCart,
    ) -> Result<Self, PlacementError> {
        let goods = PricedGoods::of_cart(quote).map_err(PlacementError::Cart)?;
        let goods = goods.check(Some(of_cart.expected_total))?;
        let placed = PlacedOrder::new(&placement, goods);
        let customer = Customer {
            buyer: Buyer::Known(placement.buyer),
            buyer_change: None,
            shipping_address: content.shipping_address,
            billing_address: content.billing_address,
            tax_id: of_cart.tax_id.or(content.tax_id),
            locale: content.locale,
            note: content.note,
            attributes: content.attributes,
            payment_method: of_cart.payment_method,
            fingerprint: placement.fingerprint,
            network: placement.network,
        };
        Ok(Self::begin(placed, customer, placement.trace, placement.timing))
    }

    /// The order as it was placed, which is the response to a repeated request. Only the personal
    /// data is current, because earlier or redacted data is not kept for replays.
    pub fn as_placed(&self, timing: Timing) -> Self {
        Self::begin(self.placed.clone(), self.customer.clone(), self.traceparent.clone(), timing)
    }

    fn begin(
        placed: PlacedOrder,
        mut customer: Customer,
        traceparent: Trace,
        timing: Timing,
    ) -> Self {
        // Nothing charges the method of a free order, so it is not kept.
        if placed.is_free() {
            customer.payment_method = None;
        }
        let now = placed.created_at;
        Self {
            progress: Progress::begin(now),
            schedule: Schedule::begin(now, placed.expires_at, timing),
            placed,
            customer,
            updated_at: now,
            version: 1,
            traceparent,
        }
    }
}
