//! The function `delete-promotion`; see [`pricing::operations::delete_promotion`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::delete_promotion()
}
