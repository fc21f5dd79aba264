//! The function `forget-recipient`; see [`notifications::operations::forget_recipient`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::forget_recipient()
}
