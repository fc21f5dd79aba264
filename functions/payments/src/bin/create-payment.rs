//! The function `create-payment`; see [`payments::operations::create_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::create_payment()
}
