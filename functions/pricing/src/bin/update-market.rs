//! The function `update-market`; see [`pricing::operations::update_market`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::update_market()
}
