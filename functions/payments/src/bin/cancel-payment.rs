//! The function `cancel-payment`; see [`payments::operations::cancel_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::cancel_payment::main()
}
