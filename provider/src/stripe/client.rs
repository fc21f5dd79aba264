//! Stripe's HTTP client: credentials, timeouts, and the classification of error responses.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::{secret::Secrets, sweep::RateLimiter, telemetry};

use crate::error::ProviderError;

/// The version of Stripe's API that this code uses.
const VERSION: &str = "2024-06-20";

/// Timeouts of a connection and of a whole call: shorter than the caller's timeout.
const CONNECT: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(7);

/// Name of the secret that contains the API key.
const KEY: &str = "stripe-key";

/// The status and the JSON document of a response.
pub(super) type Response = (StatusCode, Value);

/// Stripe at a base URL, authenticated with the API key in `secrets`.
pub(super) struct Client {
    base: String,
    secrets: Secrets,
    http: OnceLock<reqwest::Client>,
    live: Option<bool>,
    rate_limiter: Option<RateLimiter>,
}

impl Client {
    pub(super) fn new(base: String, secrets: Secrets) -> Self {
        Self { base, secrets, http: OnceLock::new(), live: None, rate_limiter: None }
    }

    /// Rejects test keys if `live`, and live keys otherwise.
    pub(super) fn with_live_mode(self, live: bool) -> Self {
        Self { live: Some(live), ..self }
    }

    /// Starts at most `calls_per_second` calls per second. Waiting counts against the caller's
    /// timeout.
    pub(super) fn with_rate_limit(self, calls_per_second: u32) -> Self {
        Self { rate_limiter: Some(RateLimiter::per_second(calls_per_second)), ..self }
    }

    /// Created at the first call. Verifies Stripe's certificates against the root certificates of
    /// the system.
    fn http(&self) -> Result<reqwest::Client, ProviderError> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        let unusable =
            |error: &dyn std::error::Error| ProviderError::Rejected(telemetry::causes(error));
        let is_remote = self.base.starts_with("https://");
        let mut roots = rustls::RootCertStore::empty();
        if is_remote {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ));
        let tls = tls.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .redirect(reqwest::redirect::Policy::none());
        let builder = builder
            .https_only(is_remote)
            .tls_backend_preconfigured(tls.with_root_certificates(roots).with_no_client_auth());
        let client = builder.build().map_err(|error| unusable(&error))?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    async fn key(&self) -> Result<Arc<str>, ProviderError> {
        let key = self
            .secrets
            .get(KEY)
            .await
            .map_err(|error| ProviderError::Indeterminate(telemetry::causes(&error)))?;
        let fits = self.live.is_none_or(|live| !key.is_empty() && key.contains("_live_") == live);
        if fits {
            Ok(key)
        } else {
            Err(ProviderError::CredentialsRejected("the key is not one for this stage".to_owned()))
        }
    }

    pub(super) async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        idempotency_key: Option<&str>,
    ) -> Result<Response, ProviderError> {
        self.call(Method::POST, path, form, idempotency_key).await
    }

    pub(super) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, ProviderError> {
        self.call(Method::GET, path, query, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        form: &[(&str, &str)],
        idempotency_key: Option<&str>,
    ) -> Result<Response, ProviderError> {
        let (client, key) = (self.http()?, self.key().await?);
        if let Some(rate_limiter) = &self.rate_limiter {
            rate_limiter.acquire().await;
        }
        let mut request = client.request(method.clone(), format!("{}{path}", self.base));
        request = request.bearer_auth(&key).header("stripe-version", VERSION);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        request = if method == Method::GET { request.query(form) } else { request.form(form) };
        // Errors of reqwest contain the URL with our query. Keep both out of the log.
        let lost = |error: reqwest::Error| {
            ProviderError::Indeterminate(telemetry::causes(&error.without_url()))
        };
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        if status.is_server_error()
            && answer
                .headers()
                .get("idempotent-replayed")
                .is_some_and(|replayed| replayed == "true")
        {
            return Err(ProviderError::StoredFailure(status.as_u16().to_string()));
        }
        let body = answer.bytes().await.map_err(lost)?;
        let document = serde_json::from_slice(&body);
        document.map(|document| (status, document)).map_err(|_| {
            ProviderError::Indeterminate(format!("it answered {status} without a document"))
        })
    }

    /// Searches for the payment intent by the payment id in its metadata. Stripe's search index
    /// lags: a new intent is not found at once.
    pub(super) async fn intent_of(&self, payment_id: &str) -> Result<Option<Value>, ProviderError> {
        let query = format!("metadata[\"payment_id\"]:\"{payment_id}\"");
        let (status, page) =
            self.get("/v1/payment_intents/search", &[("query", &query), ("limit", "1")]).await?;
        match page["data"].as_array() {
            Some(intents) if status.is_success() => Ok(intents.first().cloned()),
            // The response does not say whether the intent exists.
            _ => Err(error_from(status, &page)),
        }
    }

    /// Reads a list, 100 documents per page, until `pick` returns a value. `None` at the end of the
    /// list. A list of more than `pages` pages is an error.
    pub(super) async fn find_in_pages<T>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        pages: u32,
        mut pick: impl FnMut(&[Value]) -> Option<T>,
    ) -> Result<Option<T>, ProviderError> {
        let mut after = String::new();
        for _ in 0..pages {
            let mut query = [filter, &[("limit", "100")]].concat();
            if !after.is_empty() {
                query.push(("starting_after", &after));
            }
            let (status, page) = self.get(path, &query).await?;
            let Some(documents) = page["data"].as_array().filter(|_| status.is_success()) else {
                return Err(error_from(status, &page));
            };
            if let Some(picked) = pick(documents) {
                return Ok(Some(picked));
            }
            match documents.last() {
                Some(last) if page["has_more"] == true => after = text(&last["id"]).to_owned(),
                _ => return Ok(None),
            }
        }
        Err(ProviderError::Indeterminate("its list has more pages than are read".to_owned()))
    }
}

/// The requested document; `None` if it does not exist.
pub(super) fn optional((status, document): Response) -> Result<Option<Value>, ProviderError> {
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        _ if status.is_success() => Ok(Some(document)),
        _ => Err(error_from(status, &document)),
    }
}

/// Classifies an error response.
pub(super) fn error_from(status: StatusCode, document: &Value) -> ProviderError {
    let error = &document["error"];
    let (kind, code) = (name(text(&error["type"]), "unknown"), name(text(&error["code"]), "none"));
    let what = format!("{} {kind} {code}", status.as_u16());
    match status.as_u16() {
        401 | 403 => ProviderError::CredentialsRejected(what),
        // Rate limit, or a request under the same key is in progress: no outcome of the charge.
        409 | 425 | 429 => ProviderError::Busy(what),
        408 => ProviderError::Indeterminate(what),
        _ if error["type"] == "idempotency_error" => ProviderError::KeyMismatch(what),
        _ if status.is_client_error() => ProviderError::Rejected(what),
        _ => ProviderError::Indeterminate(what),
    }
}

/// A stable code of Stripe: `given`, else `other`, else `card_declined`. No other text of the
/// response is copied.
pub(super) fn name(given: &str, other: &str) -> String {
    let is_name = |text: &&str| {
        (1..=60).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    [given, other]
        .iter()
        .find(|text| is_name(text))
        .map_or_else(|| "card_declined".to_owned(), |text| (*text).to_owned())
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
