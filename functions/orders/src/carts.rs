//! The parts that the cart operations share: the client's credentials, the prices of a cart, and
//! the attempts to write it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use shared::{
    clock::Timestamp,
    http::Request,
    ids::{CartId, ProductId, Uuid},
    problem::Problem,
    retry::full_jitter,
};

use crate::{
    Orders,
    domain::{
        Product,
        cart::{
            Cart, CartContent, CartError, CartQuote, CartRefusal, CartToken, Credentials,
            QuantityLimits, Stamp,
        },
        pricing::Pricing,
    },
    error::OrderError,
    store::pricing::PriceInputs,
};

/// The header with the token of a guest's cart.
pub const CART_TOKEN: &str = "x-cart-token";

/// Maximum number of attempts to write a cart. An attempt fails only if another write of the same
/// cart came first.
pub const MAX_CART_ATTEMPTS: u32 = 12;

/// Waits before another attempt to write a cart.
pub async fn backoff(attempt: u32) {
    let wait = full_jitter(attempt, Duration::from_millis(10), Duration::from_millis(200));
    tokio::time::sleep(wait).await;
}

/// Returns the credentials of a request. A malformed cart token counts as absent.
///
/// # Errors
/// 401 for an expired access token, even beside a cart token.
pub fn credentials(request: &Request) -> Result<Credentials, Problem> {
    let user_id = request.optional_caller()?.map(|caller| caller.user_id);
    Ok(Credentials { user_id, token: cart_token(request) })
}

/// Returns the token of a guest's cart. A malformed one counts as absent.
pub fn cart_token(request: &Request) -> Option<CartToken> {
    request.header(CART_TOKEN).and_then(CartToken::parse)
}

/// The products and rules that price a cart.
pub struct CartPrices {
    /// The products that were read, whether they exist or not.
    requested_products: BTreeSet<ProductId>,
    products: Vec<Product>,
    /// The market and the country of the rules that were read, whether they exist or not.
    requested_rules: Vec<(String, String)>,
    rules: Vec<Arc<Pricing>>,
    max_per_order: u32,
    requires_market: bool,
    now: Timestamp,
}

impl Orders {
    /// The time and the id of a new write.
    pub fn stamp(&self) -> Stamp {
        Stamp { now: self.clock.now(), write_id: Uuid::new_v8(self.ids.bytes()) }
    }

    /// Reads a cart for a client.
    ///
    /// # Errors
    /// If the table fails, or the client may not read the cart.
    pub async fn find_cart_for(
        &self,
        credentials: &Credentials,
        cart_id: CartId,
    ) -> Result<Cart, OrderError> {
        let cart = self.store.find_cart(cart_id).await?.ok_or(CartError::NotFound)?;
        Ok(cart.authorize(credentials, self.clock.now())?)
    }

    /// Reads the rules and products that price a cart, and further products, in one eventually
    /// consistent call. Cached rules are not read.
    ///
    /// # Errors
    /// If the table fails.
    pub async fn read_cart_prices(
        &self,
        content: &CartContent,
        further: impl IntoIterator<Item = ProductId>,
    ) -> Result<CartPrices, OrderError> {
        let now = self.clock.now();
        let requested_products: BTreeSet<ProductId> =
            content.products().into_iter().chain(further).collect();
        let wanted = content.rules();
        let cached = |(market, country)| self.pricing_cache.get(market, country, now);
        let mut rules: Vec<Arc<Pricing>> = wanted.iter().copied().filter_map(cached).collect();
        let mut missing = wanted.clone();
        missing.retain(|rule| cached(*rule).is_none());
        let products: Vec<ProductId> = requested_products.iter().copied().collect();
        let inputs = self.store.read_for_estimate(&missing, &products).await?;
        let PriceInputs { rules: found, products } = inputs;
        rules.extend(found.into_iter().map(|pricing| self.pricing_cache.insert(pricing, now)));
        let requested_rules =
            wanted.iter().map(|(market, country)| rules_key(market, country)).collect();
        let (max_per_order, requires_market) =
            (self.limits.max_per_order, self.limits.requires_market);
        Ok(CartPrices {
            requested_products,
            products,
            requested_rules,
            rules,
            max_per_order,
            requires_market,
            now,
        })
    }

    /// Reads the rules and products that price a cart, and prices it.
    ///
    /// # Errors
    /// If the table fails.
    pub async fn quote_cart(&self, cart: &Cart) -> Result<CartQuote, OrderError> {
        Ok(self.read_cart_prices(&cart.content, []).await?.quote(cart))
    }

    /// Prices a cart with the products and rules that its order depends on.
    pub fn quote_for_order(&self, cart: &Cart, goods: PriceInputs, now: Timestamp) -> CartQuote {
        let PriceInputs { rules, products } = goods;
        let rules: Vec<Arc<Pricing>> = rules.into_iter().map(Arc::new).collect();
        let max_per_order = self.limits.max_per_order;
        let limits = QuantityLimits { products: &products, max_per_order };
        quote(cart, limits, &rules, self.limits.requires_market, now)
    }
}

impl CartPrices {
    /// Whether all rules and products that price this content were read.
    pub fn covers(&self, content: &CartContent) -> bool {
        content.products().iter().all(|product| self.requested_products.contains(product))
            && content
                .rules()
                .iter()
                .all(|(market, country)| self.requested_rules.contains(&rules_key(market, country)))
    }

    pub fn limits(&self) -> QuantityLimits<'_> {
        QuantityLimits { products: &self.products, max_per_order: self.max_per_order }
    }

    pub fn quote(&self, cart: &Cart) -> CartQuote {
        quote(cart, self.limits(), &self.rules, self.requires_market, self.now)
    }
}

/// Prices a cart. If the shop requires a market, a cart without one has a refusal.
fn quote(
    cart: &Cart,
    limits: QuantityLimits<'_>,
    rules: &[Arc<Pricing>],
    requires_market: bool,
    now: Timestamp,
) -> CartQuote {
    let mut quote = cart.quote(limits, rules, now);
    if requires_market && cart.content.market.is_none() {
        quote.refusals.push(CartRefusal::NoMarket);
    }
    quote
}

fn rules_key(market: &impl ToString, country: &impl ToString) -> (String, String) {
    (market.to_string(), country.to_string())
}
