//! The function `get-promotion`; see [`pricing::operations::get_promotion`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::get_promotion()
}
