//! The function `republish-products`; see [`catalog::operations::republish_products`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::republish_products()
}
