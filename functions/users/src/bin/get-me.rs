//! The function `get-me`; see [`users::operations::get_me`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::get_me()
}
