//! The function `create-market`; see [`pricing::operations::create_market`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::create_market()
}
