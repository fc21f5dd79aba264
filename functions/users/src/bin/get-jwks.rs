//! The function `get-jwks`; see [`users::operations::get_jwks`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::get_jwks()
}
