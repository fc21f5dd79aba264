//! The function `open-payment`; see [`payments::operations::open_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::open_payment()
}
