//! The function `confirm-password-reset`; see [`users::operations::confirm_password_reset`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::confirm_password_reset()
}
