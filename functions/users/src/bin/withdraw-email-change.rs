//! The function `withdraw-email-change`; see [`users::operations::withdraw_email_change`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::withdraw_email_change()
}
