//! The function `resync-pricing`; see [`pricing::operations::resync_pricing`].

fn main() -> Result<(), lambda_http::Error> {
    pricing::operations::run::resync_pricing()
}
