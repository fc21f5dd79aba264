//! The function `list-promotions`; see [`pricing::operations::list_promotions`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::list_promotions()
}
