//! The function `delete-me`; see [`users::operations::delete_me`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::delete_me()
}
