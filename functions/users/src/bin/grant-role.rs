//! The function `grant-role`; see [`users::operations::grant_role`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::grant_role()
}
