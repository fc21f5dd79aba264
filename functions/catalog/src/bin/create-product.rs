//! The function `create-product`; see [`catalog::operations::create_product`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::create_product()
}
