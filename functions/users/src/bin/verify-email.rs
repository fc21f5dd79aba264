//! The function `verify-email`; see [`users::operations::verify_email`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::verify_email::main()
}
