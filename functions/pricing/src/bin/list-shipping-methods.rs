//! The function `list-shipping-methods`; see [`pricing::operations::list_shipping_methods`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::list_shipping_methods()
}
