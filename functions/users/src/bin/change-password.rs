//! The function `change-password`; see [`users::operations::change_password`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::change_password()
}
