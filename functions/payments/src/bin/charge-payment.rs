//! The function `charge-payment`; see [`payments::operations::charge_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::charge_payment()
}
