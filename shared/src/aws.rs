//! AWS clients, configured for a fast cold start: an explicit trust store, `ring`, and credentials
//! and region from the environment only.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use crate::config;

/// Amazon Root CA 1 to 4 and Starfield Services Root G2, from
/// <https://www.amazontrust.com/repository/>. The certificates of all AWS endpoints chain to one of
/// them. A fixed list avoids parsing the system's thousand certificates at each start (3.2 ms of
/// CPU).
const AMAZON_ROOTS: &[u8] = include_bytes!("roots/amazon.pem");

/// Timeouts of a connection, of one attempt, and of a call with all its attempts. The call timeout
/// times the number of calls of an operation is below the function's timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2000);
const OPERATION_TIMEOUT: Duration = Duration::from_millis(5000);
const MAX_ATTEMPTS: u32 = 3;

/// First delay between the attempts of a call that may be throttled.
const PATIENT_BACKOFF: Duration = Duration::from_secs(2);

/// Returns the settings that all clients of a function share.
///
/// # Panics
/// If the environment lacks the region or the credentials, which Lambda always sets.
pub fn sdk_config() -> SdkConfig {
    let credentials = Credentials::new(
        config::required("AWS_ACCESS_KEY_ID"),
        config::required("AWS_SECRET_ACCESS_KEY"),
        config::optional("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    let region =
        config::optional("AWS_REGION").unwrap_or_else(|| config::required("AWS_DEFAULT_REGION"));
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .timeout_config(timeouts())
        .retry_config(retries());
    let endpoint = config::optional("AWS_ENDPOINT_URL");
    builder = match &endpoint {
        Some(url) if url.starts_with("http://") => {
            builder.endpoint_url(url).http_client(Builder::new().build_http())
        }
        Some(url) => builder.endpoint_url(url).http_client(https_client()),
        None => builder.http_client(https_client()),
    };
    builder.build()
}

/// Returns the same settings for calls that are not idempotent: a single attempt, limited by
/// `timeout`.
pub fn without_retries(config: &SdkConfig, timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(timeout)
        .build();
    config.to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build()
}

/// Returns the same settings for calls that take long and may be throttled for a second: an attempt
/// is limited by `attempt`, and all attempts together by `operation`.
pub fn with_patience(config: &SdkConfig, attempt: Duration, operation: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build();
    let retries =
        config.retry_config().map(|retries| retries.clone().with_initial_backoff(PATIENT_BACKOFF));
    let mut builder = config.to_builder().timeout_config(timeouts);
    builder.set_retry_config(retries);
    builder.build()
}

pub fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(MAX_ATTEMPTS)
        .with_initial_backoff(Duration::from_millis(50))
}

pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn https_client() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    let context = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .expect("a trust store is all that the context needs");
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https()
}
