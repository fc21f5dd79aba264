//! The function `get-health`; see [`platform::operations::get_health`].

fn main() -> Result<(), lambda_http::Error> {
    platform::operations::run::get_health()
}
