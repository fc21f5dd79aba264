//! The order: placed once, then changed by events until it is settled. The module is pure: it does
//! not use AWS, HTTP, JSON or a clock.
//!
//! - [`order`]: the order, which has four parts.
//! - [`placement`]: what was placed, which never changes.
//! - [`buyer`]: who placed it, redacted when the account is deleted.
//! - [`progress`]: the status and goal, and the states of stock and payment, defined in [`state`].
//! - [`schedule`]: when the order is checked next, and which commands have no answer.
//! - [`saga`]: applies an event to an order. [`command`]: the commands that an order sends to other
//!   services.
//! - [`order_request`]: the request to place an order. [`ordered_cart`]: the order that a cart
//!   becomes. `destination`: what the price of an order depends on.
//! - [`product`]: the copy of a product. [`pricing`]: the price of goods with promotions, shipping
//!   and tax.
//! - [`quote`]: the prices of requested goods. [`price_preview`]: the request for an estimate.
//! - [`cart`]: the products that a visitor or a user wants to order.
//! - [`number`]: the number of an order, which people read.
//! - [`unpaid`]: the limits on unpaid orders.
//! - [`sale`]: what the ledger books of the order.
//! - [`actions`]: the data of a cancellation, a shipment and a change of the address.
//! - [`history`]: the events of an order. [`waiting`]: who has to act before it continues.

pub mod actions;
pub mod buyer;
pub mod cart;
pub mod command;
pub mod destination;
pub mod history;
pub mod number;
pub mod order;
pub mod order_request;
pub mod ordered_cart;
pub mod placement;
pub mod price_preview;
pub mod pricing;
pub mod product;
pub mod progress;
pub mod quote;
pub mod saga;
pub mod sale;
pub mod schedule;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;
pub mod unpaid;
pub mod waiting;

pub use self::{
    order::Order,
    placement::{OrderLine, PlacedOrder, Placement, PlacementError, Totals},
    product::Product,
    schedule::Timing,
    state::{Goal, PaymentState, Status, StockState},
};

/// Maximum number of payment attempts for one order.
pub const MAX_PAYMENT_ATTEMPTS: u32 = 5;
