//! The function `compile-market`; see [`pricing::operations::compile_market`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::compile_market()
}
