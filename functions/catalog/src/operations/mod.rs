//! The operations of this service, one module per function.

pub mod archive_product;
pub mod create_product;
pub mod get_product;
pub mod list_products;
pub mod publish_product_events;
pub mod resync_products;
pub mod update_product;

mod product_input;
mod view;

pub use product_input::ProductInput;
pub use view::ProductView;

shared::operations! {
    Catalog:
    http archive_product(DELETE "/products/{product_id}", Token);
    http create_product(POST "/products", Token);
    http get_product(GET "/products/{product_id}", Public);
    http list_products(GET "/products", Public);
    http update_product(PUT "/products/{product_id}", Token);
    stream publish_product_events("products");
    invoke resync_products();
}
