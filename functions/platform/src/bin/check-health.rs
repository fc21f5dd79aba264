//! The function `check-health`; see [`platform::operations::check_health`].

fn main() -> Result<(), lambda_http::Error> {
    platform::operations::run::check_health()
}
