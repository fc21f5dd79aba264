//! Errors of orders, and the problem responses for them.

use serde_json::json;
use shared::{
    http::IdempotencyKey, problem::Problem, queue::Retryable, secret::SecretError,
    table::TableError, validation::Violation,
};

use crate::domain::{placement::PlacementError, saga::Rejection};

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
    #[error("a request to a table of orders failed")]
    Table(#[from] TableError),
}

/// Every error can be transient: the order becomes visible, a newer release replaces this one, or
/// the next attempt updates the remaining orders.
impl Retryable for OrderError {}

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
                "Choose an address in the same country, or cancel the order and place it again.",
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
                "The product does not exist or is no longer sold.",
            );
            Problem::invalid_field(&format!("/items/{position}/product_id"), &violation)
        }
        PlacementError::TooManyOfProduct { position, maximum } => {
            let allowed =
                format!("An order has at most {maximum} of this product, in all lines together.");
            let violation = Violation::new("too_many_of_product", allowed);
            Problem::invalid_field(&format!("/items/{position}/quantity"), &violation)
                .with("maximum", maximum)
        }
        PlacementError::TooManyUnpaid { maximum, if_verified } => {
            let verify = if_verified
                .map(|more| format!(" Or verify your e-mail address to have up to {more} unpaid orders."))
                .unwrap_or_default();
            Problem::conflict("too_many_open_orders", "Too many unpaid orders")
                .detail(&format!(
                    "Pay or cancel one of them, then repeat the request.{verify}"
                ))
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
        PlacementError::PriceChanged { total } => Problem::conflict(
            "price_changed",
            "Price changed",
        )
        .detail(
            "Show the buyer the new total. To accept it, order again with it and a new Idempotency-Key.",
        )
        .with("total", json!(total)),
    }
}
