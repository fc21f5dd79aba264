//! The function `delete-address`; see [`users::operations::delete_address`].

fn main() -> Result<(), lambda_http::Error> {
    users::operations::run::delete_address()
}
