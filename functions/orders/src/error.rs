//! What can go wrong with an order, in the words of the trade; at the end, as problems.

use serde_json::json;
use shared::{
    http::IdempotencyKey, problem::Problem, queue::Retryable, secret::SecretError,
    table::TableError, validation::Violation,
};

use crate::domain::{placement::PlacementError, saga::Rejection};

/// What can go wrong with an order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The order breaks a rule of placing.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The key that names networks could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key was used for another request.
    #[error("the idempotency key was used for another order")]
    KeyReused,
    /// There is no such order: not yet, if a message speaks of it.
    #[error("there is no such order")]
    NotFound,
    /// The order does not take this step.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Others changed the order each time.
    #[error("the order kept changing")]
    Contended,
    /// A user has more orders than could be brought up to date in one go.
    #[error("the user has more orders than could be brought up to date in one go")]
    OutOfTime,
    /// Some orders of a user could not be brought up to date.
    #[error("{failed} orders of the user could not be brought up to date")]
    NotAllUpdated {
        /// How many.
        failed: usize,
    },
    /// The table failed.
    #[error("the table of orders failed")]
    Table(#[from] TableError),
}

/// Each may pass: the order is written a moment later, a newer release runs everywhere, the rest is
/// done by the next try.
impl Retryable for OrderError {}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Placement(error) => placement_problem(error),
            unread @ OrderError::Secret(_) => Self::unavailable().caused_by(&unread),
            OrderError::KeyReused => IdempotencyKey::reused(),
            OrderError::NotFound => Self::not_found("order"),
            OrderError::Rejected(Rejection::InvalidTransition { current, allowed }) => {
                Self::conflict("invalid_transition", "The order does not take this step now")
                    .detail("What the order takes now stands in `allowed`.")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            // The document's own `status` is that of HTTP: the order's goes by the name that it has
            // in the others.
            OrderError::Rejected(Rejection::NotCancellable { current, allowed }) => {
                Self::conflict("not_cancellable", "The order cannot be cancelled any more")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            OrderError::Rejected(Rejection::NoShippingAddress { current, allowed }) => {
                Self::conflict("no_shipping_address", "There is no address to send the goods to")
                    .detail("The order was placed without one: cancel it, and have it placed again with an address.")
                    .with("current", current)
                    .with("allowed", json!(allowed))
            }
            OrderError::Rejected(rejection @ Rejection::UnknownState) => Self::unavailable().caused_by(&rejection),
            OrderError::Contended => Self::unavailable(),
            unfinished @ (OrderError::OutOfTime | OrderError::NotAllUpdated { .. }) => Self::unavailable().caused_by(&unfinished),
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
        PlacementError::UnknownProduct { position } => {
            let violation = Violation::new(
                "unknown_product",
                "There is no such product, or it is no longer sold.",
            );
            Problem::invalid_field(&format!("/items/{position}/product_id"), &violation)
        }
        PlacementError::TooManyOfProduct { position, maximum } => {
            let allowed =
                format!("An order has at most {maximum} of this product, all its lines together.");
            let violation = Violation::new("too_many_of_product", allowed);
            Problem::invalid_field(&format!("/items/{position}/quantity"), &violation)
                .with("maximum", maximum)
        }
        PlacementError::TooManyUnpaid { maximum, if_verified } => {
            let verify = if_verified
                .map(|more| format!(" Or verify your e-mail address: up to {more} orders may wait for their payment then."))
                .unwrap_or_default();
            Problem::conflict("too_many_open_orders", "Too many orders wait for their payment")
                .detail(&format!(
                    "Pay one of them or cancel it, and send the same request again.{verify}"
                ))
                .with("maximum", maximum)
        }
        PlacementError::NetworkLimitReached { retry_after } => {
            // Rounded up: a client that comes back then is not too early.
            Problem::too_many_requests(
                retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0),
            )
        }
        PlacementError::CurrencyMismatch => {
            Problem::unprocessable("currency_mismatch", "The currencies differ")
                .detail("Order products of one currency at a time.")
        }
        PlacementError::AmountTooLarge => {
            Problem::unprocessable("amount_too_large", "The amount is too large")
                .detail("Divide the order into several.")
        }
        PlacementError::PriceChanged { total } => Problem::conflict(
            "price_changed",
            "The price has changed",
        )
        .detail(
            "Show the buyer the new total, and order again with it under a new Idempotency-Key.",
        )
        .with("total", json!(total)),
    }
}
