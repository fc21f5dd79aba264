//! The function `receive-payment-webhook`; see [`payments::operations::receive_payment_webhook`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::receive_payment_webhook()
}
