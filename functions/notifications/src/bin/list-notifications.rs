//! The function `list-notifications`; see [`notifications::operations::list_notifications`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::list_notifications()
}
