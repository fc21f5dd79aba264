//! The function `register-user`; see [`users::operations::register_user`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::register_user()
}
