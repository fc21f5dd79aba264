//! The function `reconcile-ledger`; see [`ledger::operations::reconcile_ledger`].

fn main() -> Result<(), lambda_http::Error> {
    ledger::operations::run::reconcile_ledger()
}
