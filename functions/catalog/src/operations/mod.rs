//! One file for each function.

pub mod archive_product;
pub mod create_product;
pub mod get_product;
pub mod list_products;
pub mod publish_product_events;
pub mod republish_products;
pub mod update_product;

mod view;
mod wanted_product;

pub use view::ProductView;
pub use wanted_product::WantedProduct;

/// What the API document says of this service.
#[cfg(feature = "api-document")]
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    archive_product::archive_product,
    create_product::create_product,
    get_product::get_product,
    list_products::list_products,
    update_product::update_product,
))]
pub struct ApiDocument;
