//! The function `get-user`; see [`users::operations::get_user`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::get_user()
}
