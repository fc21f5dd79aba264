//! The function `create-promotion`; see [`pricing::operations::create_promotion`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::create_promotion()
}
