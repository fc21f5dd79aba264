//! The function `delete-tax-rate`; see [`pricing::operations::delete_tax_rate`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::delete_tax_rate()
}
