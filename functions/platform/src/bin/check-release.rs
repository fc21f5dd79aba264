//! The function `check-release`; see [`platform::operations::check_release`].

fn main() -> Result<(), lambda_http::Error> {
    platform::operations::run::check_release()
}
