//! The function `request-password-reset`; see [`users::operations::request_password_reset`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::request_password_reset()
}
