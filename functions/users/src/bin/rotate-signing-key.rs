//! The function `rotate-signing-key`; see [`users::operations::rotate_signing_key`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::rotate_signing_key()
}
