//! The function `list-tax-rates`; see [`pricing::operations::list_tax_rates`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::list_tax_rates()
}
