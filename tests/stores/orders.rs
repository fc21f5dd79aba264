//! The store of orders.
