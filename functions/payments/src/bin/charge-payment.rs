//! The function `charge-payment`; see [`payments::operations::charge_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::charge_payment::main()
}
