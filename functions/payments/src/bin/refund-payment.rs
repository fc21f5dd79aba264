//! The function `refund-payment`; see [`payments::operations::refund_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::refund_payment()
}
