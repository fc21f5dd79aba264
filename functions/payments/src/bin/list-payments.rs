//! The function `list-payments`; see [`payments::operations::list_payments`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::list_payments()
}
