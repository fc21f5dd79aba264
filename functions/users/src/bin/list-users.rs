//! The function `list-users`; see [`users::operations::list_users`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::list_users()
}
