//! The function `list-shipping-options`; see [`orders::operations::list_shipping_options`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::list_shipping_options()
}
