//! The function `update-me`; see [`users::operations::update_me`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::update_me()
}
