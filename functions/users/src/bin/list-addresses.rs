//! The function `list-addresses`; see [`users::operations::list_addresses`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::list_addresses()
}
