//! The function `publish-product-events`; see [`catalog::operations::publish_product_events`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::publish_product_events()
}
