//! The function `update-buyer`; see [`orders::operations::update_buyer`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::update_buyer()
}
