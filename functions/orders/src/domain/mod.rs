//! The order: placed once, then moved on by events until it is settled. Pure: no AWS, HTTP, JSON or
//! clock.
//!
//! - [`order`]: the order, in its four parts: [`placement`] (what was placed, which never changes),
//!   [`buyer`] (who placed it, which is forgotten with their account), [`progress`] (how far it has
//!   come, in the words of [`state`]), and [`schedule`] (when it is checked next).
//! - [`saga`]: from an order and an event to the next order. [`command`]: what an order asks of
//!   other services.
//! - [`order_request`]: what a buyer may ask for. [`address`]: where it goes.
//! - [`unpaid`]: how many orders may be unpaid at once, and for how long.
//! - [`actions`]: what people do with an order: cancel it, and ship it.
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

/// How many payments may be tried for one order.
pub const MAX_PAYMENT_ATTEMPTS: u32 = 5;
