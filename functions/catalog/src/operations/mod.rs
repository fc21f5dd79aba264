//! One file for each function.

pub mod create_product;
pub mod get_product;
pub mod list_products;
pub mod publish_product_events;

mod view;

pub use view::ProductView;
