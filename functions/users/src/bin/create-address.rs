//! The function `create-address`; see [`users::operations::create_address`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::create_address()
}
