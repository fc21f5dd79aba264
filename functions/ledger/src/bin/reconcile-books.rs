//! The function `reconcile-books`; see [`ledger::operations::reconcile_books`].

fn main() -> Result<(), lambda_http::Error> {
    ledger::operations::run::reconcile_books()
}
