//! The function `resync-products`; see [`catalog::operations::resync_products`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::resync_products()
}
