//! The function `delete-market`; see [`pricing::operations::delete_market`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::delete_market()
}
