//! The function `update-product`; see [`catalog::operations::update_product`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::update_product()
}
