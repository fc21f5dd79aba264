//! The function `create-refund`; see [`payments::operations::create_refund`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::create_refund()
}
