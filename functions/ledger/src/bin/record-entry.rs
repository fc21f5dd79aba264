//! The function `record-entry`; see [`ledger::operations::record_entry`].

fn main() -> Result<(), lambda_http::Error> {
    ledger::operations::run::record_entry()
}
