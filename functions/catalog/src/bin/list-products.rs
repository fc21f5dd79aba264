//! The function `list-products`; see [`catalog::operations::list_products`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::list_products()
}
