//! One file for each function.

pub mod create_product;
pub mod get_product;
pub mod list_products;
pub mod publish_product_events;

mod view;

pub use view::ProductView;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(create_product::create_product, get_product::get_product, list_products::list_products))]
pub struct ApiDocument;
