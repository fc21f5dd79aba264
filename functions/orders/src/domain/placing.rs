//! Why an order is not placed.

use std::time::Duration;

use shared::money::Money;

/// A rule that an order broke when it was to be placed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlacementError {
    /// The request has no items.
    #[error("the order has no items")]
    NoItems,
    /// A product is not in the catalogue, or no longer sold.
    #[error("item {position} is not a product on sale")]
    UnknownProduct {
        /// Its index in the request, from 0.
        position: usize,
    },
    /// The order has more of a product than one order may have.
    #[error("item {position} is more than {maximum} of its product")]
    TooManyOfProduct {
        /// Index of the product's first item in the request, from 0.
        position: usize,
        /// How many one order may have.
        maximum: u32,
    },
    /// The products have prices in different currencies.
    #[error("the products are sold in different currencies")]
    CurrencyMismatch,
    /// The total is above the largest amount that can be charged.
    #[error("the total is too large to be charged")]
    AmountTooLarge,
    /// The total differs from the one that the buyer expected.
    #[error("the order costs {total}, which is not what the buyer expected")]
    PriceChanged {
        /// What it costs.
        total: Money,
    },
    /// The buyer has reached the limit of unpaid orders.
    #[error("the buyer has {maximum} unpaid orders")]
    TooManyUnpaid {
        /// The limit.
        maximum: u32,
        /// The limit once the buyer's e-mail address is verified, where it is not.
        if_verified: Option<u32>,
    },
    /// The network has reached its limit of unpaid orders.
    #[error("the network has too many unpaid orders")]
    NetworkFull {
        /// When it may have another one.
        retry_after: Duration,
    },
}
