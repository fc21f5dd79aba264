//! One file for each function of the service.

pub mod advance_order;
pub mod create_order;
pub mod get_order;
pub mod list_orders;
pub mod publish_order_events;
pub mod replicate_product;
pub mod resume_orders;
mod view;
