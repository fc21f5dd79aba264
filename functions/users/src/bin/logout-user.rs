//! The function `logout-user`; see [`users::operations::logout_user`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::logout_user()
}
