//! The function `reconcile-payments`; see [`payments::operations::reconcile_payments`].

fn main() -> Result<(), lambda_http::Error> {
    payments::operations::run::reconcile_payments()
}
