//! The function `verify-email`; see [`users::operations::verify_email`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::verify_email()
}
