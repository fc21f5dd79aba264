//! The function `create-tax-rate`; see [`pricing::operations::create_tax_rate`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::create_tax_rate()
}
