//! The function `update-user`; see [`users::operations::update_user`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::update_user()
}
