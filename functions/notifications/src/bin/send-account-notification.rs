//! The function `send-account-notification`; see
//! [`notifications::operations::send_account_notification`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::send_account_notification()
}
