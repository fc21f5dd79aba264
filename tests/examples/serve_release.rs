//! Serves the functions of this release to a test of another one: see `tests::release`.

/// Time is paused: a function that waits before a retry does not delay the test.
#[tokio::main(flavor = "current_thread", start_paused = true)]
pub async fn main() -> std::io::Result<()> {
    tests::release::serve().await
}
