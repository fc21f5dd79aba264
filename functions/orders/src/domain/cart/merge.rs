//! Merging: adds the lines of another cart, or of an order, to a cart.

use shared::ids::CartId;

use super::{
    Cart, CartContent, CartLine, CartOwner, CartState, MAX_LINES, QuantityLimits, Stamp, Warning,
    WarningCode,
};
use crate::domain::{Order, order_request::MAX_QUANTITY};

/// The outcome of merging two carts.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// The guest's cart was merged into this cart before.
    Done,
    /// The carts are for different markets, so both stay as they are.
    OtherMarket,
    Merged(Box<Merged>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The user's cart with the lines of both.
    pub cart: Cart,
    /// The guest's cart, closed.
    pub guest: Cart,
    /// The lines whose quantity was reduced to a limit.
    pub warnings: Vec<Warning>,
}

impl Cart {
    /// Merges a guest's cart into this one. Quantities of one product are added up to its limit. A
    /// cart without lines also takes the market, the addresses and the other fields of the guest's.
    pub fn merge(&self, guest: &Self, limits: QuantityLimits<'_>, stamp: Stamp) -> Merge {
        if guest.state == (CartState::Merged { into: self.cart_id }) {
            return Merge::Done;
        }
        let has_lines = |cart: &Self| !cart.content.lines.is_empty();
        let is_other_market = guest.content.market != self.content.market;
        if has_lines(self) && has_lines(guest) && is_other_market {
            return Merge::OtherMarket;
        }
        let (lines, warnings) =
            self.with_lines(&guest.content.lines, |own, other| own.saturating_add(other), limits);
        let content = CartContent { lines, ..self.content_of_merge(guest) };
        Merge::Merged(Box::new(Merged {
            cart: self.with_content(content, stamp),
            guest: guest.closed(CartState::Merged { into: self.cart_id }, stamp),
            warnings,
        }))
    }

    /// The content of this cart after a merge, still with its own lines.
    pub fn content_of_merge(&self, guest: &Self) -> CartContent {
        if guest.state == CartState::Open && self.content.lines.is_empty() {
            self.content.replaced_by(&guest.content)
        } else {
            self.content.clone()
        }
    }

    /// A new cart with the lines of an order, each up to the limit of its product.
    pub fn create_within(
        cart_id: CartId,
        owner: CartOwner,
        content: CartContent,
        limits: QuantityLimits<'_>,
        stamp: Stamp,
    ) -> (Self, Vec<Warning>) {
        let empty = CartContent { lines: Vec::new(), ..content.clone() };
        let empty = Self::create(cart_id, owner.clone(), empty, stamp);
        let (lines, warnings) = empty.with_lines(&content.lines, u32::max, limits);
        (Self::create(cart_id, owner, CartContent { lines, ..content }, stamp), warnings)
    }

    /// The cart with the lines of an order: of each product the larger of both quantities, so a
    /// repetition changes nothing. `None` if nothing changes.
    pub fn with_order(
        &self,
        order: &CartContent,
        limits: QuantityLimits<'_>,
        stamp: Stamp,
    ) -> Option<(Self, Vec<Warning>)> {
        let (lines, warnings) = self.with_lines(&order.lines, u32::max, limits);
        let quantities = |lines: &[CartLine]| {
            lines.iter().map(|line| (line.product_id, line.quantity)).collect::<Vec<_>>()
        };
        if quantities(&lines) == quantities(&self.content.lines) {
            return None;
        }
        let content = CartContent { lines, ..self.content.clone() };
        Some((self.with_content(content, stamp), warnings))
    }

    /// Returns the lines of this cart and others, and a warning for each line that is cut. `sum`
    /// combines the own quantity of a product with the other one. An own quantity never decreases,
    /// even if the limit of its product is lower now.
    pub fn with_lines(
        &self,
        others: &[CartLine],
        sum: fn(u32, u32) -> u32,
        limits: QuantityLimits<'_>,
    ) -> (Vec<CartLine>, Vec<Warning>) {
        let mut lines = self.content.lines_by_product();
        let mut warnings = Vec::new();
        for other in others {
            let product_id = other.product_id;
            let own = lines.get(&product_id).cloned();
            let former = own.as_ref().map_or(0, |line| line.quantity);
            let wanted = sum(former, other.quantity);
            let maximum = limits.maximum(product_id).min(MAX_QUANTITY).max(former);
            let has_room = own.is_some() || lines.len() < MAX_LINES;
            if !has_room || wanted > maximum {
                warnings.push(Warning::of_line(WarningCode::QuantityCut, self.line_id(product_id)));
            }
            if has_room {
                let seen_price = own.map_or(other.seen_price, |line| line.seen_price);
                let quantity = wanted.min(maximum);
                lines.insert(product_id, CartLine { product_id, quantity, seen_price });
            }
        }
        (lines.into_values().collect(), warnings)
    }
}

impl CartContent {
    /// The content that a cart copies from an order. The buyer has seen the prices of the order.
    pub fn of_order(order: &Order) -> Self {
        let line = |line: &crate::domain::OrderLine| CartLine {
            product_id: line.product_id,
            quantity: line.quantity,
            seen_price: Some(line.unit_price),
        };
        let mut lines: Vec<CartLine> = order.placed.lines.iter().map(line).collect();
        lines.sort_by_key(|line| line.product_id);
        let price = order.placed.price.as_ref();
        let shipping = price.and_then(|price| price.shipping.as_ref());
        Self {
            lines,
            market: price.map(|price| price.market.clone()),
            shipping_address: order.customer.shipping_address.clone(),
            billing_address: order.customer.billing_address.clone(),
            tax_id: order.customer.tax_id.clone(),
            shipping_method: shipping.map(|shipping| shipping.method_id),
            ..Self::default()
        }
    }

    /// This content without its lines. The fields that `other` sets replace its own.
    pub fn replaced_by(&self, other: &Self) -> Self {
        let (own, other) = (self.clone(), other.clone());
        Self {
            lines: Vec::new(),
            market: other.market.or(own.market),
            country: other.country.or(own.country),
            region: other.region.or(own.region),
            shipping_address: other.shipping_address.or(own.shipping_address),
            billing_address: other.billing_address.or(own.billing_address),
            tax_id: other.tax_id.or(own.tax_id),
            shipping_method: other.shipping_method.or(own.shipping_method),
            email: other.email.or(own.email),
            locale: other.locale.or(own.locale),
            note: other.note.or(own.note),
            attributes: other.attributes.or(own.attributes),
        }
    }
}
