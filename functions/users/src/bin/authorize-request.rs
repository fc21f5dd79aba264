//! The function `authorize-request`; see [`users::operations::authorize_request`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::authorize_request()
}
