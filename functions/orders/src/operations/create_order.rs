//! `POST /orders`: places an order.
//!
//! An order of items (`order_items`):
//!
//! 1. One batch read loads everything that placement depends on: the order of an earlier request
//!    with the same `Idempotency-Key`, the products, the rules of the market, and the unpaid orders
//!    of the buyer and of their network.
//! 2. A repeated request returns the first response again.
//! 3. [`Order::place`] prices the order and checks the rules of placement: by the rules of the
//!    market, or without one at the prices of the catalogue.
//! 4. One transaction writes the order and counts it against both limits on unpaid orders.
//!
//! An order of a cart (`order_cart`) reads twice, because the cart names the products: first the
//! order of an earlier request for the cart, the cart, and the unpaid orders; then the products and
//! the rules. Its transaction also changes the cart to ordered, on condition of the version that
//! the buyer has seen, so a cart becomes at most one order.
//!
//! The request calls no other service. The table's stream publishes the commands of the new order:
//! inventory reserves the stock, then payments opens the payment. If the request has a payment
//! method, payments charges it at once.
//!
//! An unpaid order holds stock, so a buyer and a network may have only a limited number of them.
//! The batch read loads both counts and the transaction updates them, so the limits are exact. A
//! rejected or repeated request does not count.

use std::sync::Arc;

use shared::{
    auth::Caller,
    clock::Timestamp,
    http::{self, Request, Response},
    ids::{self, OrderId},
    problem::Problem,
    throttle,
};

use super::{cart_view::CartView, view::OrderView};
use crate::{
    Orders,
    domain::{
        Order, Placement,
        buyer::Contact,
        cart::{Cart, CartError, Credentials},
        order_request::{OrderOfCart, OrderOfItems, OrderRequest},
        ordered_cart::{OrderedCart, Repetition, RequestIdentity, order_id_of_cart},
        placement::PlacementError,
        unpaid::{LimitUsage, Uncounted},
    },
    error::{self, OrderError},
    store::placement::{PlaceOutcome, PlacementWrite},
};

/// The name of this operation in ids.
const OPERATION: &str = "create-order";

/// Maximum number of attempts of the transaction. An attempt fails only if another order of the
/// buyer was written first, or if the network reached its limit. `MaxUnpaidOrders` is at most 20,
/// which bounds the orders that one buyer can write first.
const MAX_PLACE_ATTEMPTS: u32 = 24;

/// Places an order and returns `201` with it. A repeated `Idempotency-Key` returns the first
/// response again. The buyer must pay the order before `expires_at`; an order of total 0 is
/// confirmed without a payment. An account with an unverified e-mail address has less time to pay
/// and may have fewer unpaid orders at once.
///
/// With a market, its rules decide prices, shipping and tax. If nothing is shipped, the order needs
/// no shipping address and no shipping method, and is taxed at its billing address.
/// `expected_total` protects the buyer from a change of the price: if it differs, nothing is
/// ordered, and the problem has the new price.
///
/// An order of a cart names the caller's own cart, the version and the total that the buyer has
/// seen. A cart that has changed is returned in the problem, and nothing is ordered. A cart becomes
/// at most one order: a request with another `Idempotency-Key` is `409` with the id of that order.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/orders",
    params(http::IdempotencyKey),
    request_body = OrderRequest,
    responses((status = 201, description = "The order.", body = OrderView)),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!([
            "price_changed", "unknown_product", "too_many_of_product", "too_many_unpaid_orders", "currency_mismatch", "amount_too_large",
            "unknown_market", "shipping_address_required", "billing_address_required", "not_sold_here", "not_delivered_there",
            "unknown_region", "shipping_method_required", "shipping_unavailable", "below_minimum", "no_market",
            "cart_not_found", "cart_changed", "409 cart_ordered", "cart_empty", "market_required", "duplicate_value",
        ])),
    ),
))]
pub async fn create_order(orders: Arc<Orders>, request: Request) -> Result<Response, Problem> {
    let buyer = request.caller()?;
    let key = request.idempotency_key()?;
    let order_request: OrderRequest = request.json()?;
    let placement_request = PlacementRequest {
        orders: &orders,
        request: &request,
        buyer: &buyer,
        identity: RequestIdentity {
            user_id: buyer.user_id,
            request_id: key.derive_id(&buyer, OPERATION),
            fingerprint: ids::fingerprint(&order_request),
        },
        network: network_name(&orders, request.source_ip()).await?,
        now: orders.clock.now(),
    };
    match order_request {
        OrderRequest::Items(of_items) => {
            // A request with the same key derives the same id, and finds the order.
            let order_id = key.derive_id(&buyer, OPERATION);
            placement_request.order_items(order_id, of_items).await
        }
        OrderRequest::Cart(of_cart) => placement_request.order_cart(of_cart).await,
    }
}

/// One request to place an order, with everything that both forms of it use.
struct PlacementRequest<'a> {
    orders: &'a Orders,
    request: &'a Request,
    buyer: &'a Caller,
    identity: RequestIdentity,
    /// The name of the client's network.
    network: String,
    now: Timestamp,
}

impl PlacementRequest<'_> {
    async fn order_items(
        &self,
        order_id: OrderId,
        of_items: OrderOfItems,
    ) -> Result<Response, Problem> {
        let (rules, products) = (of_items.rules(), of_items.products());
        let (snapshot, goods) = self
            .orders
            .store
            .read_for_placement(order_id, self.buyer.user_id, &self.network, &rules, &products)
            .await?;
        if let Some(order) = snapshot.existing {
            return self.replay(&order);
        }
        let placement = self.placement(order_id, None, &snapshot.usage);
        let order = Order::place(placement, of_items, &goods.products, &goods.rules)
            .map_err(OrderError::rejected)?;
        self.write(&order, None, snapshot.usage).await
    }

    async fn order_cart(&self, of_cart: OrderOfCart) -> Result<Response, Problem> {
        let (store, cart_id) = (&self.orders.store, of_cart.cart_id);
        let order_id = order_id_of_cart(cart_id);
        let (snapshot, cart) = store
            .read_cart_for_placement(order_id, self.buyer.user_id, &self.network, cart_id)
            .await?;
        if let Some(order) = snapshot.existing {
            return self.replay(&order);
        }
        // The batch read is not a snapshot: the cart may be ordered after the read of its order.
        let cart = match self.authorize(cart) {
            Ok(cart) => cart,
            Err(rejected) => return self.reject_cart(rejected).await,
        };
        if cart.version != of_cart.cart_version {
            return Err(self.cart_changed(&cart).await);
        }
        let goods = store.read_goods(&cart.content.rules(), &cart.content.products()).await?;
        let quote = self.orders.quote_for_order(&cart, goods, self.now);
        let ordered = OrderedCart { cart_id, request_id: self.identity.request_id };
        let placement = self.placement(order_id, Some(ordered), &snapshot.usage);
        let order = Order::place_cart(placement, cart.content.clone(), quote, of_cart)
            .map_err(OrderError::rejected)?;
        self.write(&order, Some(&cart), snapshot.usage).await
    }

    /// The inputs of [`Order::place`] and [`Order::place_cart`] besides the goods.
    fn placement(
        &self,
        order_id: OrderId,
        cart: Option<OrderedCart>,
        usage: &LimitUsage,
    ) -> Placement {
        let (orders, buyer) = (self.orders, self.buyer);
        Placement {
            order_id,
            user_id: buyer.user_id,
            cart,
            buyer: Contact { name: buyer.name.clone(), email: buyer.email.clone(), version: 0 },
            fingerprint: self.identity.fingerprint.clone(),
            terms: orders.limits.terms(buyer.email_verified),
            network: orders.limits.refunded_network(&self.network, usage, self.now),
            trace: self.request.trace().clone(),
            now: self.now,
            timing: orders.timing,
        }
    }

    /// Checks the limits on unpaid orders, and writes the order. If another order was written since
    /// `usage` was read, this repeats both.
    async fn write(
        &self,
        order: &Order,
        cart: Option<&Cart>,
        mut usage: LimitUsage,
    ) -> Result<Response, Problem> {
        for _ in 0..MAX_PLACE_ATTEMPTS {
            let ended = self.check_limits(&usage).await?;
            let write = PlacementWrite {
                order,
                cart,
                network: &self.network,
                network_limit: self.orders.limits.network,
                usage: &usage,
                ended: &ended,
                now: self.now,
            };
            match self.orders.store.place(write).await? {
                PlaceOutcome::Written => return Ok(self.created(order)),
                PlaceOutcome::AlreadyPlaced(order) => return self.replay(&order),
                // A transaction becomes visible item by item: the cart may be ordered before the
                // order that it became conflicts.
                PlaceOutcome::CartChanged(cart) => {
                    return match self.authorize(cart.map(|cart| *cart)) {
                        Ok(cart) => Err(self.cart_changed(&cart).await),
                        Err(rejected) => self.reject_cart(rejected).await,
                    };
                }
                PlaceOutcome::VersionConflict(current) => usage = current,
            }
        }
        Err(OrderError::Contended.into())
    }

    /// Checks that the buyer and the network may have another unpaid order. If the buyer's list is
    /// full, this reads its orders: those that are paid, cancelled or failed, and those that wait
    /// for the shop, do not count. Returns the listed orders that are paid, cancelled or failed.
    async fn check_limits(&self, usage: &LimitUsage) -> Result<Vec<OrderId>, OrderError> {
        let (limits, is_verified) = (&self.orders.limits, self.buyer.email_verified);
        let buyer_limit_reached = match limits.check(is_verified, usage, self.now) {
            Ok(()) => return Ok(Vec::new()),
            Err(reached @ PlacementError::TooManyUnpaid { .. }) => reached,
            Err(network_limit_reached) => return Err(network_limit_reached.into()),
        };
        let uncounted = self.orders.store.uncounted(&usage.unpaid, self.now).await?;
        if uncounted == Uncounted::default() {
            return Err(buyer_limit_reached.into());
        }
        let counted = LimitUsage { unpaid: usage.unpaid.without(&uncounted), ..usage.clone() };
        limits.check(is_verified, &counted, self.now)?;
        Ok(uncounted.ended)
    }

    /// The cart, if it is the buyer's own and can be ordered.
    fn authorize(&self, cart: Option<Cart>) -> Result<Cart, CartError> {
        let credentials = Credentials { user_id: Some(self.buyer.user_id), token: None };
        cart.ok_or(CartError::NotFound)?.authorize(&credentials, self.now)
    }

    /// Rejects a cart that the buyer cannot order. If it was ordered while it was read, replays its
    /// order.
    async fn reject_cart(&self, rejected: CartError) -> Result<Response, Problem> {
        let CartError::Ordered { order_id } = rejected else {
            return Err(OrderError::from(rejected).into());
        };
        match self.orders.store.find_many(&[order_id]).await?.pop() {
            Some((_, found)) => self.replay(&found?.order),
            None => Err(OrderError::CartOrdered { order_id }.into()),
        }
    }

    /// The problem of a cart that changed since its buyer saw it.
    async fn cart_changed(&self, cart: &Cart) -> Problem {
        match self.orders.quote_cart(cart).await {
            Ok(quote) => error::cart_changed(&CartView::new(cart, &quote)),
            Err(error) => error.into(),
        }
    }

    /// Returns the first response again, with the buyer's current personal data (see
    /// [`Order::as_placed`]). Rejects another request with the same key or for the same cart.
    fn replay(&self, order: &Order) -> Result<Response, Problem> {
        let order_id = order.placed.order_id;
        match order.repetition(&self.identity) {
            Repetition::Same => Ok(http::replayed(self.created(order))),
            Repetition::KeyReused => Err(OrderError::KeyReused.into()),
            Repetition::CartOrdered => Err(OrderError::CartOrdered { order_id }.into()),
            Repetition::OtherBuyer => Err(OrderError::from(CartError::NotFound).into()),
        }
    }

    fn created(&self, order: &Order) -> Response {
        let location = self.request.location(&format!("/orders/{}", order.placed.order_id));
        let as_placed = order.as_placed(self.orders.timing);
        http::created(&location, &OrderView::new(&as_placed, order.placed.created_at))
    }
}

/// Returns the name of the client's network. It is a MAC, so the table does not store IP addresses.
async fn network_name(orders: &Orders, source_ip: &str) -> Result<String, OrderError> {
    let keys = orders.secrets.keys("orders-key").await?.derive("network");
    Ok(throttle::network_name(*keys.active(), source_ip))
}
