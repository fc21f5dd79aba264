//! The function `delete-shipping-method`; see [`pricing::operations::delete_shipping_method`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::delete_shipping_method()
}
