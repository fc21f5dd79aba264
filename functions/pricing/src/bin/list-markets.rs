//! The function `list-markets`; see [`pricing::operations::list_markets`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::list_markets()
}
