//! Clients of AWS, set up for a fast start: an explicit trust store, credentials and region
//! straight from the environment, `ring`.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use crate::config;

/// Amazon's roots: Amazon Root CA 1 to 4 and Starfield Services Root G2, from
/// <https://www.amazontrust.com/repository/>. Every endpoint of AWS chains to one of them. Naming
/// them saves reading the system's thousand certificates at each start (3.2 ms of CPU).
const AMAZON_ROOTS: &[u8] = include_bytes!("roots/amazon.pem");

/// How long one connection, one try and one call with all its tries may take. A call's ceiling
/// times the calls of an operation stays below the function's own timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2000);
const OPERATION_TIMEOUT: Duration = Duration::from_millis(5000);
const MAX_ATTEMPTS: u32 = 3;

/// The settings that all clients of one function share.
///
/// # Panics
/// When the environment lacks what Lambda always sets: region and credentials.
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
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(50)),
        );
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

/// The same settings for a service where asking twice does a thing twice: one try, which may take
/// `timeout`.
pub fn without_retries(config: &SdkConfig, timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(timeout)
        .build();
    config.to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build()
}

/// The time that calls to AWS may take.
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
