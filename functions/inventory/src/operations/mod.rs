//! One file for each function.

pub mod adjust_stock;
pub mod commit_stock;
pub mod get_stock;
pub mod publish_stock_events;
pub mod release_stock;
pub mod reserve_stock;
