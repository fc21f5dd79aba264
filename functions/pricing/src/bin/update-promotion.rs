//! The function `update-promotion`; see [`pricing::operations::update_promotion`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::update_promotion()
}
