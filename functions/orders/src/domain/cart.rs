//! The cart: the products that a visitor or a user wants to order. It reserves no stock, and it
//! stores no prices: each read computes them.
//!
//! - `values`: texts of a cart. [`token`]: the secret of a guest's cart.
//! - [`access`]: which clients may read and change a cart.
//! - [`change`]: the requests that create and change a cart. [`merge`]: adds the lines of another
//!   cart or of an order.
//! - [`quote`]: the prices of a cart, and why it cannot be ordered.

use std::{collections::BTreeMap, time::Duration};

use shared::{
    address::{Address, AddressLine, CountryCode},
    clock::Timestamp,
    email::Email,
    ids::{CartId, LineId, OrderId, ProductId, ShippingMethodId, UserId, Uuid},
    market::MarketId,
    money::Money,
};

use super::{
    destination::{destination_address, possible_countries},
    order_request::TaxId,
    pricing::{Destination, line_id},
    product::Product,
    quote::destination,
};

pub mod access;
pub mod change;
pub mod merge;
pub mod quote;
pub mod token;
mod values;

pub use self::{
    access::Credentials,
    change::{CartChange, CreateCart},
    merge::{Merge, Merged},
    quote::{CartQuote, CartRefusal, Warning, WarningCode},
    token::CartToken,
    values::{Attribute, Attributes, Locale, MutationId, Note},
};

/// Maximum number of lines. An order has at most as many.
pub const MAX_LINES: usize = super::order_request::MAX_LINES;
/// Maximum number of mutation ids that a cart stores. It drops the oldest.
pub const KEPT_MUTATIONS: usize = 16;
/// Lifetime of a cart after its last change, if it never had a line.
pub const EMPTY_LIFETIME: Duration = Duration::from_secs(2 * 24 * 3600);
/// Lifetime of a cart after its last change, once it had a line.
pub const LIFETIME: Duration = Duration::from_secs(60 * 24 * 3600);

#[derive(Clone, Debug, PartialEq)]
pub struct Cart {
    pub cart_id: CartId,
    /// Incremented by every write.
    pub version: u64,
    /// The id of the write of this version. It distinguishes the result of a write from an equal
    /// change by a concurrent request.
    pub write_id: Uuid,
    pub owner: CartOwner,
    pub state: CartState,
    pub content: CartContent,
    /// The ids of the last mutations, oldest first.
    pub mutations: Vec<MutationId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// From this time on, the cart is treated as absent.
    pub expires_at: Timestamp,
}

/// The owner of a cart: the only client that may read and change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartOwner {
    /// The user with this id, identified by an access token.
    User(UserId),
    /// The client whose secret has this SHA-256, in hexadecimal.
    Guest { secret_hash: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CartState {
    Open,
    /// Its lines are in the cart of a user.
    Merged {
        into: CartId,
    },
    /// It became this order.
    Ordered {
        order_id: OrderId,
    },
}

/// The lines and fields of a cart. A merged or ordered cart has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CartContent {
    /// One line per product, sorted by it.
    pub lines: Vec<CartLine>,
    /// Without a market the goods have the prices of the catalogue.
    pub market: Option<MarketId>,
    /// The destination while there is no shipping address.
    pub country: Option<CountryCode>,
    pub region: Option<AddressLine>,
    pub shipping_address: Option<Address>,
    pub billing_address: Option<Address>,
    pub tax_id: Option<TaxId>,
    pub shipping_method: Option<ShippingMethodId>,
    pub email: Option<Email>,
    pub locale: Option<Locale>,
    pub note: Option<Note>,
    pub attributes: Option<Attributes>,
}

/// A quantity of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct CartLine {
    pub product_id: ProductId,
    pub quantity: u32,
    /// The unit price when the line was last changed. Only the warning `price_changed` uses it.
    pub seen_price: Option<Money>,
}

/// When and by which request a cart is written.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub now: Timestamp,
    /// Different for every request.
    pub write_id: Uuid,
}

/// The limits on the quantities of products.
#[derive(Clone, Copy, Debug)]
pub struct QuantityLimits<'a> {
    pub products: &'a [Product],
    /// The limit of products that set none.
    pub max_per_order: u32,
}

/// Why a request on a cart fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CartError {
    /// The cart does not exist, or the client has no access to it.
    #[error("cart not found")]
    NotFound,
    #[error("cart became the order {order_id}")]
    Ordered { order_id: OrderId },
    /// A concurrent write came first at every attempt.
    #[error("another write of the cart came first at every attempt")]
    Busy,
    #[error("cart is larger than its item may be")]
    TooLarge,
    #[error("cart would have more than {MAX_LINES} lines")]
    TooManyLines,
    #[error("request changes nothing")]
    NothingToChange,
    /// A request names one product several times.
    #[error("{list} {position} names a product again")]
    RepeatedProduct {
        /// The list of the request: `set` or `add`.
        list: &'static str,
        /// Index in the list, from 0.
        position: usize,
    },
    #[error("{list} {position} is not a product on sale")]
    UnknownProduct { list: &'static str, position: usize },
    #[error("{list} {position} exceeds the limit of {maximum} per product")]
    TooManyOfProduct { list: &'static str, position: usize, maximum: u32 },
}

impl Cart {
    /// A new open cart.
    pub fn create(cart_id: CartId, owner: CartOwner, content: CartContent, stamp: Stamp) -> Self {
        let lifetime = if content.lines.is_empty() { EMPTY_LIFETIME } else { LIFETIME };
        Self {
            cart_id,
            version: 1,
            write_id: stamp.write_id,
            owner,
            state: CartState::Open,
            content,
            mutations: Vec::new(),
            created_at: stamp.now,
            updated_at: stamp.now,
            expires_at: stamp.now.plus(lifetime),
        }
    }

    /// The cart with this content, as its next version.
    pub(super) fn with_content(&self, content: CartContent, stamp: Stamp) -> Self {
        let had_line = self.expires_at.since(self.updated_at) > EMPTY_LIFETIME;
        let lifetime =
            if had_line || !content.lines.is_empty() { LIFETIME } else { EMPTY_LIFETIME };
        Self {
            version: self.version + 1,
            write_id: stamp.write_id,
            content,
            updated_at: stamp.now,
            expires_at: stamp.now.plus(lifetime),
            ..self.clone()
        }
    }

    /// The cart after it was merged or ordered: without its content, which may contain personal
    /// data.
    pub fn closed(&self, state: CartState, stamp: Stamp) -> Self {
        Self {
            version: self.version + 1,
            write_id: stamp.write_id,
            state,
            content: CartContent::default(),
            mutations: Vec::new(),
            updated_at: stamp.now,
            expires_at: stamp.now.plus(LIFETIME),
            ..self.clone()
        }
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The id of a product's line in this cart.
    pub fn line_id(&self, product_id: ProductId) -> LineId {
        line_id(&self.cart_id.to_string(), product_id)
    }
}

impl CartContent {
    pub fn products(&self) -> Vec<ProductId> {
        self.lines.iter().map(|line| line.product_id).collect()
    }

    /// The total quantity of all lines.
    pub fn item_count(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// The market, and each country whose rules may price the cart. Which one does may depend on
    /// the products.
    pub fn rules(&self) -> Vec<(&MarketId, &CountryCode)> {
        let Some(market) = &self.market else { return Vec::new() };
        let (shipping, billing) = (self.shipping_address.as_ref(), self.billing_address.as_ref());
        let mut countries = possible_countries(shipping, billing);
        let chosen = self.country.as_ref().filter(|_| shipping.is_none());
        if let Some(country) = chosen.filter(|country| !countries.contains(country)) {
            countries.push(country);
        }
        countries.into_iter().map(|country| (market, country)).collect()
    }

    /// Where the goods are taxed: at the destination of an order of this cart. Without an address,
    /// in the chosen country.
    pub fn destination(&self, requires_shipping: bool) -> Option<Destination> {
        let of_country = || {
            let region = self.region.as_ref().map(ToString::to_string);
            Some(Destination { country: self.country.clone()?, region })
        };
        self.destination_address(requires_shipping).map(destination).or_else(of_country)
    }

    /// The address at which the goods are taxed; `None` if the cart does not have it.
    pub fn destination_address(&self, requires_shipping: bool) -> Option<&Address> {
        let (shipping, billing) = (self.shipping_address.as_ref(), self.billing_address.as_ref());
        let found = destination_address(requires_shipping, shipping, billing);
        found.ok().map(|(_, address)| address)
    }

    fn lines_by_product(&self) -> BTreeMap<ProductId, CartLine> {
        self.lines.iter().map(|line| (line.product_id, line.clone())).collect()
    }
}

impl QuantityLimits<'_> {
    /// The product, if it is on sale.
    fn on_sale(&self, product_id: ProductId) -> Option<&Product> {
        self.products.iter().find(|product| product.product_id == product_id && product.active)
    }

    /// The maximum quantity of a product in one order.
    fn maximum(&self, product_id: ProductId) -> u32 {
        let mut products = self.products.iter();
        let product = products.find(|product| product.product_id == product_id);
        product.and_then(|product| product.max_per_order).unwrap_or(self.max_per_order)
    }
}

#[cfg(test)]
mod tests;
