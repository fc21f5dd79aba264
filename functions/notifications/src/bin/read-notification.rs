//! The function `read-notification`; see [`notifications::operations::read_notification`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::read_notification()
}
