//! The function `get-market`; see [`pricing::operations::get_market`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::get_market()
}
