//! The function `get-payment`; see [`payments::operations::get_payment`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::get_payment()
}
