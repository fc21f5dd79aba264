//! The function `replicate-pricing`; see [`orders::operations::replicate_pricing`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::replicate_pricing()
}
