//! The function `publish-payment-events`; see [`payments::operations::publish_payment_events`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::publish_payment_events()
}
