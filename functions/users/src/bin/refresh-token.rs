//! The function `refresh-token`; see [`users::operations::refresh_token`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::refresh_token()
}
