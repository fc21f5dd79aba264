//! The order: placed once, then advanced by events until it is settled. Pure: no AWS, HTTP, JSON or
//! clock.
//!
//! - [`order`]: the order and its four parts: [`placement`] (what was placed, which never changes),
//!   [`buyer`] (who placed it, redacted with their account), [`progress`] (how far it has come, in
//!   the states of [`state`]) and [`schedule`] (when it is checked next).
//! - [`saga`]: the transition from an order and an event to the next order. [`command`]: the
//!   commands that an order sends to other services.
//! - [`order_request`]: the request of a buyer. [`address`]: the shipping address.
//! - [`unpaid`]: the limits on unpaid orders.
//! - [`actions`]: what people do with an order: they cancel it and ship it.
//! - [`history`]: what happened to it.

pub mod actions;
pub mod address;
pub mod buyer;
pub mod command;
mod countries;
pub mod history;
pub mod order;
pub mod order_request;
pub mod placement;
pub mod progress;
pub mod saga;
pub mod schedule;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;
pub mod unpaid;

pub use self::{
    order::Order,
    placement::{OrderLine, PlacedOrder, Placement, PlacementError, Product, Totals},
    schedule::Timing,
    state::{Goal, PaymentState, Status, StockState},
};

/// Maximum number of payment attempts for one order.
pub const MAX_PAYMENT_ATTEMPTS: u32 = 5;
