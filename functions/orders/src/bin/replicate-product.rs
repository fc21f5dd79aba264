//! The function `replicate-product`; see [`orders::operations::replicate_product`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::replicate_product()
}
