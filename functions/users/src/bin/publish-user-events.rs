//! The function `publish-user-events`; see [`users::operations::publish_user_events`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::publish_user_events()
}
