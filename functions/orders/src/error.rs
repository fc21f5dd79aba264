//! Errors of orders, and the problem responses for them.

use lambda_http::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::{
    http::IdempotencyKey,
    ids::{OrderId, ProductId},
    money::{Currency, Money},
    problem::Problem,
    queue::Retryable,
    secret::SecretError,
    table::TableError,
    validation::Violation,
};

use crate::{
    domain::{
        cart::{CartError, CartRefusal, MAX_LINES},
        number::order_number,
        placement::PlacementError,
        pricing::{Refusal, minimum_total},
        quote::MarketError,
        saga::Rejection,
    },
    metrics,
};

/// `Retry-After` of a shop without a market, in seconds. An operator has to add the market.
const NO_MARKET_SECONDS: u64 = 60;

/// Why an operation on an order fails.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The request breaks a rule of placement.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The server key, from which network names are derived, could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The idempotency key was used for a different request.
    #[error("the idempotency key was used for a different request")]
    KeyReused,
    /// The order does not exist, or is not visible yet when its event arrives.
    #[error("order not found")]
    NotFound,
    /// The change is based on an outdated version.
    #[error("the order changed since it was read")]
    VersionMismatch {
        /// The entity tag of the present order.
        current: u64,
    },
    /// The order rejects the event.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A concurrent write came first at every attempt.
    #[error("another write of the order came first at every attempt")]
    Contended,
    /// The user has more orders than one invocation can update.
    #[error("the user has more orders than one invocation can update")]
    OutOfTime,
    /// Some orders of the user could not be updated.
    #[error("{failed} orders of the user could not be updated")]
    NotAllUpdated { failed: usize },
    #[error(transparent)]
    Cart(#[from] CartError),
    /// Another request ordered the cart.
    #[error("cart became the order {order_id}")]
    CartOrdered { order_id: OrderId },
    #[error("a request to a table of orders failed")]
    Table(#[from] TableError),
}

/// Every error can be transient: the order becomes visible, a newer release replaces this one, or
/// the next attempt updates the remaining orders.
impl Retryable for OrderError {}

impl OrderError {
    /// The error of a rejected placement. An order without a market in a shop that requires one is
    /// counted, because then no buyer of that storefront can order.
    pub(crate) fn rejected(error: PlacementError) -> Self {
        let no_market = [
            PlacementError::Market(MarketError::NoMarket),
            PlacementError::Cart(CartRefusal::NoMarket),
        ];
        if no_market.contains(&error) {
            tracing::error!("order without a market rejected, the storefront has to name a market");
            metrics::ORDER_WITHOUT_MARKET.increment();
        }
        Self::Placement(error)
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Placement(error) => placement_problem(error),
            unread @ OrderError::Secret(_) => Self::unavailable().caused_by(&unread),
            OrderError::KeyReused => IdempotencyKey::reused(),
            OrderError::NotFound => Self::not_found("order"),
            OrderError::VersionMismatch { current } => Self::precondition_failed(current),
            OrderError::Rejected(Rejection::InvalidTransition { current, allowed }) => {
                Self::conflict("invalid_transition", "Transition not allowed")
                    .detail("Choose one of the transitions in `allowed`.")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            // The member `status` of a problem is the HTTP status, so the status of the order is
            // `current`.
            OrderError::Rejected(Rejection::NotCancellable { current, allowed }) => {
                Self::conflict("not_cancellable", "Order not cancellable")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            OrderError::Rejected(Rejection::NoShippingAddress { current, allowed }) => {
                Self::conflict("no_shipping_address", "Shipping address missing")
                    .detail("Add one with PATCH /orders/{order_id}.")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            OrderError::Rejected(Rejection::PriceWouldChange) => Self::conflict(
                "price_would_change",
                "Price would change",
            )
            .detail(
                "Choose an address in the same country and region, or cancel the order and place it again.",
            ),
            OrderError::Rejected(Rejection::TooManyAddressChanges { maximum }) => {
                Self::conflict("too_many_address_changes", "Address changed too often")
                    .detail("Cancel the order, and place it again.")
                    .with("maximum", maximum)
            }
            OrderError::Rejected(rejection @ Rejection::UnknownState) => {
                Self::unavailable().caused_by(&rejection)
            }
            OrderError::Contended => Self::unavailable(),
            unfinished @ (OrderError::OutOfTime | OrderError::NotAllUpdated { .. }) => {
                Self::unavailable().caused_by(&unfinished)
            }
            OrderError::Cart(error) => cart_problem(error),
            OrderError::CartOrdered { order_id } => {
                ordered(Self::conflict("cart_ordered", "Cart ordered"), order_id)
            }
            OrderError::Table(error) => error.into(),
        }
    }
}

fn placement_problem(error: PlacementError) -> Problem {
    match error {
        PlacementError::NoItems => Problem::invalid_field(
            "/items",
            &Violation::out_of_range("An order has at least one item."),
        ),
        PlacementError::UnknownProduct { position } => unknown_product("items", position),
        PlacementError::TooManyOfProduct { position, maximum } => {
            too_many_of_product("items", position, maximum)
        }
        PlacementError::TooManyUnpaid { maximum, if_verified } => {
            let verify = if_verified
                .map(|more| {
                    format!(" Or verify your e-mail address to have up to {more} unpaid orders.")
                })
                .unwrap_or_default();
            Problem::conflict("too_many_unpaid_orders", "Too many unpaid orders")
                .detail(&format!("Pay or cancel one of them, then repeat the request.{verify}"))
                .with("maximum", maximum)
        }
        PlacementError::NetworkLimitReached { retry_after } => {
            // Rounded up, so a client that waits this long is admitted.
            Problem::too_many_requests(
                retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0),
            )
        }
        PlacementError::CurrencyMismatch => {
            Problem::unprocessable("currency_mismatch", "Currency mismatch")
                .detail("Order products of one currency at a time.")
        }
        PlacementError::AmountTooLarge => {
            Problem::unprocessable("amount_too_large", "Amount too large")
                .detail("Split the order into several orders.")
        }
        PlacementError::PriceChanged(goods) => {
            let problem = Problem::conflict("price_changed", "Price changed")
                .detail("Show the buyer the new total. To accept it, repeat the order with it as `expected_total`.")
                .with("total", json!(goods.totals.total))
                .with("items", json!(goods.lines))
                .with("totals", json!(goods.totals));
            match goods.price {
                Some(price) => problem.with("price", json!(price)),
                None => problem,
            }
        }
        PlacementError::Market(error) => market_problem(&error),
        PlacementError::Cart(refusal) => refused_cart(&refusal),
    }
}

/// Why goods cannot be ordered in a market. The pointers are those of an order request.
fn market_problem(error: &MarketError) -> Problem {
    let invalid = |pointer: &str, violation: Violation| Problem::invalid_field(pointer, &violation);
    match error {
        MarketError::NoMarket => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_market", "No market")
                .detail("The shop sells only in markets. Name one of them in `market`.")
                .retry_after(NO_MARKET_SECONDS)
        }
        MarketError::MarketRequired => invalid(
            "/market",
            Violation::new("required", "`shipping_method` requires `market`. Send both."),
        ),
        MarketError::ShippingAddressRequired => invalid(
            "/shipping_address",
            Violation::new(
                "shipping_address_required",
                "The goods require shipping. Send `shipping_address`, where they are taxed.",
            ),
        ),
        MarketError::BillingAddressRequired => invalid(
            "/billing_address",
            Violation::new(
                "billing_address_required",
                "Nothing is shipped, so the billing address decides the tax. Send `billing_address`.",
            ),
        ),
        MarketError::UnknownMarket => invalid(
            "/market",
            Violation::new(
                "unknown_market",
                "The market does not exist, or has no rules for the country of the destination.",
            ),
        ),
        MarketError::NotSoldHere { position } => invalid(
            &format!("/items/{position}/product_id"),
            Violation::new("not_sold_here", "The product has no price in the market. Remove it."),
        ),
        MarketError::NotDeliveredThere { at } => invalid(
            &format!("/{}/country", at.name()),
            Violation::new(
                "not_delivered_there",
                "The market does not deliver these goods to the country.",
            ),
        ),
        MarketError::UnknownRegion { at } => invalid(
            &format!("/{}/region", at.name()),
            Violation::new(
                "unknown_region",
                "Tax rates in this country differ by region. Send its ISO 3166-2 code, such as CA or US-CA.",
            ),
        ),
        MarketError::ShippingUnavailable => invalid(
            "/shipping_method",
            Violation::new(
                "shipping_unavailable",
                "Choose one of `shipping_options` of POST /prices/preview.",
            ),
        ),
        MarketError::ShippingMethodRequired => invalid(
            "/shipping_method",
            Violation::new(
                "shipping_method_required",
                "The goods are shipped. Choose one of `shipping_options` of POST /prices/preview.",
            ),
        ),
        MarketError::BelowMinimum { minimum } => below_minimum(Some(*minimum)),
    }
}

fn cart_problem(error: CartError) -> Problem {
    match error {
        CartError::NotFound => Problem::not_found("cart"),
        CartError::Ordered { order_id } => {
            ordered(Problem::new(StatusCode::GONE, "cart_ordered", "Cart ordered"), order_id)
        }
        busy @ CartError::Busy => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "cart_busy", "Cart busy")
                .detail("Other requests changed the cart at the same time. Repeat the request, with the same mutation_id.")
                .retry_after(1)
                .caused_by(&busy)
        }
        CartError::TooLarge => Problem::unprocessable("cart_too_large", "Cart too large")
            .detail("Shorten the note, or remove attributes."),
        CartError::TooManyLines => Problem::unprocessable("too_many_lines", "Too many lines")
            .detail("Remove a product before you add another.")
            .with("maximum", MAX_LINES),
        CartError::NothingToChange => {
            let detail = "Send at least one field to change.";
            Problem::invalid_field("", &Violation::new("nothing_to_change", detail))
        }
        CartError::RepeatedProduct { list, position } => {
            let violation =
                Violation::new("duplicate_value", "Name each product once, in `set` or `add`.");
            Problem::invalid_field(&format!("/{list}/{position}/product_id"), &violation)
        }
        CartError::UnknownProduct { list, position } => unknown_product(list, position),
        CartError::TooManyOfProduct { list, position, maximum } => {
            too_many_of_product(list, position, maximum)
        }
    }
}

/// Adds the order that a cart became to a problem.
fn ordered(problem: Problem, order_id: OrderId) -> Problem {
    problem
        .detail("Pay the order in `order_id`. To buy again, create a new cart with POST /carts.")
        .with("order_id", json!(order_id))
        .with("number", order_number(order_id))
}

/// The cart changed since its buyer saw it. `cart` is the view of the current one.
pub fn cart_changed(cart: &impl Serialize) -> Problem {
    Problem::conflict("cart_changed", "Cart changed")
        .detail("Show the buyer the current cart. To accept it, repeat the order with its `version` and total.")
        .with("cart", json!(cart))
}

/// Why a cart cannot be ordered. The cart shows the same code in `refusals`.
fn refused_cart(refusal: &CartRefusal) -> Problem {
    let (violation, product_id) = match refusal {
        CartRefusal::Empty => (Violation::new("cart_empty", "Add a product to the cart."), None),
        CartRefusal::UnknownProduct { product_id } => (
            Violation::new("unknown_product", "Remove the product, which is no longer sold."),
            Some(product_id),
        ),
        CartRefusal::TooManyOfProduct { product_id } => (
            Violation::new("too_many_of_product", "Lower the quantity of the product."),
            Some(product_id),
        ),
        CartRefusal::MarketRequired => (
            Violation::new("market_required", "Choose a market, or remove the shipping method."),
            None,
        ),
        CartRefusal::AddressRequired => (
            Violation::new(
                "shipping_address_required",
                "The goods require shipping. Add `shipping_address`, where they are taxed.",
            ),
            None,
        ),
        CartRefusal::BillingAddressRequired => (
            Violation::new(
                "billing_address_required",
                "Nothing is shipped, so the billing address decides the tax. Add `billing_address`.",
            ),
            None,
        ),
        CartRefusal::NoMarket => return market_problem(&MarketError::NoMarket),
        CartRefusal::UnknownMarket => (
            Violation::new(
                "unknown_market",
                "The market does not exist, or has no rules for the country of the destination.",
            ),
            None,
        ),
        CartRefusal::Price { refusal, currency } => return refused_price(refusal, *currency),
    };
    at_cart(&violation, product_id.copied())
}

/// Why the goods of a cart cannot be ordered at a price. `currency` is that of the market.
fn refused_price(refusal: &Refusal, currency: Option<Currency>) -> Problem {
    let options = "Choose one of GET /carts/{cart_id}/shipping-options.";
    let violation = match refusal {
        Refusal::NotSoldHere { product_id } => {
            let detail = "Remove the product, which has no price in the market.";
            return at_cart(&Violation::new("not_sold_here", detail), Some(*product_id));
        }
        Refusal::NotDeliveredThere => Violation::new(
            "not_delivered_there",
            "The market does not deliver these goods to the country.",
        ),
        Refusal::UnknownRegion => Violation::new(
            "unknown_region",
            "Tax rates in this country differ by region. Set its ISO 3166-2 code, such as CA or US-CA.",
        ),
        Refusal::ShippingUnavailable => Violation::new("shipping_unavailable", options),
        Refusal::ShippingMethodRequired => Violation::new("shipping_method_required", options),
        Refusal::BelowMinimum { minimum } => {
            return below_minimum(currency.map(|currency| minimum_total(*minimum, currency)));
        }
        Refusal::AmountTooLarge => return placement_problem(PlacementError::AmountTooLarge),
        Refusal::CurrencyMismatch => return placement_problem(PlacementError::CurrencyMismatch),
    };
    at_cart(&violation, None)
}

/// The problem of a cart whose content breaks a rule. The content is not in the request, so the
/// pointer is that of its id.
fn at_cart(violation: &Violation, product_id: Option<ProductId>) -> Problem {
    let problem = Problem::invalid_field("/cart_id", violation);
    match product_id {
        Some(product_id) => problem.with("product_id", json!(product_id)),
        None => problem,
    }
}

fn below_minimum(minimum: Option<Money>) -> Problem {
    Problem::unprocessable("below_minimum", "Total below the minimum")
        .detail("Add products until the total reaches the minimum.")
        .with("minimum", json!(minimum))
}

/// The problem of a placement error for a request whose list has another name than `items`.
pub fn estimate_problem(error: PlacementError) -> Problem {
    match error {
        PlacementError::UnknownProduct { position } => unknown_product("lines", position),
        PlacementError::TooManyOfProduct { position, maximum } => {
            too_many_of_product("lines", position, maximum)
        }
        other => placement_problem(other),
    }
}

fn unknown_product(list: &str, position: usize) -> Problem {
    let violation =
        Violation::new("unknown_product", "The product does not exist or is no longer sold.");
    Problem::invalid_field(&format!("/{list}/{position}/product_id"), &violation)
}

fn too_many_of_product(list: &str, position: usize, maximum: u32) -> Problem {
    let allowed = format!("An order has at most {maximum} of this product, in all lines together.");
    let violation = Violation::new("too_many_of_product", allowed);
    Problem::invalid_field(&format!("/{list}/{position}/quantity"), &violation)
        .with("maximum", maximum)
}
