//! The function `get-docs`; see [`platform::operations::get_docs`].

fn main() -> Result<(), lambda_http::Error> {
    platform::operations::run::get_docs()
}
