//! The function `update-address`; see [`users::operations::update_address`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::update_address()
}
