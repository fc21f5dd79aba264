//! The function `cancel-payment`; see [`payments::operations::cancel_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::cancel_payment()
}
