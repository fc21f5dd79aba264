//! The function `login-user`; see [`users::operations::login_user`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::login_user()
}
