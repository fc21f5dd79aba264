//! The function `get-product`; see [`catalog::operations::get_product`].

fn main() -> Result<(), lambda_http::Error> {
    catalog::operations::run::get_product()
}
