//! The function `send-notification`; see [`notifications::operations::send_notification`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::send_notification()
}
