//! The function `get-tax-rate`; see [`pricing::operations::get_tax_rate`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::get_tax_rate()
}
