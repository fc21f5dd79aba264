//! A proxy in front of localstripe that adds Stripe's missing rules: idempotency keys, searches,
//! lists by time, and a refund limit at the charged amount.
//!
//! Real Stripe was not called. The rules come from its documentation (*Idempotent requests*, *Error
//! codes*, *Search payment intents*):
//! - The first response under a key is stored and replayed for 24 hours, server errors included,
//!   with `idempotent-replayed: true`.
//! - A different request under the key is 400 `idempotency_error`. Any request while the first is
//!   in progress is 409 `idempotency_key_in_use`.
//! - A response is stored only after the endpoint has started: not for rejected credentials, rate
//!   limits and invalid parameters.
//!
//! A test loses, delays and fails requests with [`KeyProxy::fail_next`], and advances the clock
//! that expires keys.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The retention of an idempotency key.
const KEY_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// The fault of one request under an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is lost. [`KeyProxy::deliver_late`] delivers it later.
    RequestLost,
    /// The request is executed, and its response is lost.
    AnswerLost,
    /// The request stays in progress until [`KeyProxy::release`] is called.
    Held,
    /// The provider fails before it charges, and stores that response.
    ServerError,
    /// The provider rejects the request with a rate limit. Nothing is stored.
    RateLimited,
}

/// The proxy. Clones share their state.
#[derive(Clone)]
pub struct KeyProxy(Arc<Inner>);

struct Inner {
    upstream: String,
    http: reqwest::Client,
    clock: Clock,
    released: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Used>,
    faults: VecDeque<Fault>,
    lost: Vec<Request>,
    replayed: usize,
    search_lags: bool,
}

/// The first request under a key. Without a response it is still in progress.
struct Used {
    request: (String, String),
    at: Timestamp,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub replayed: bool,
}

impl Answer {
    fn new(status: u16, body: Value) -> Self {
        Self { status, body, replayed: false }
    }

    fn error(status: u16, error: Value) -> Self {
        Self::new(status, json!({ "error": error }))
    }

    /// Whether the endpoint has started, so that the response is stored. localstripe answers 400
    /// and 404 only to invalid parameters.
    fn is_stored(&self) -> bool {
        !matches!(self.status, 400 | 401 | 403 | 404 | 409 | 429)
    }
}

impl Request {
    async fn read(connection: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            if connection.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let mut lines = head.lines();
            let mut first = lines.next()?.split(' ');
            let headers = lines.filter_map(|line| line.split_once(": "));
            let headers: HashMap<String, String> =
                headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            if body.len()
                >= headers.get("content-length").map_or(0, |length| length.parse().unwrap())
            {
                return Some(Self {
                    method: first.next()?.to_owned(),
                    path: first.next()?.to_owned(),
                    headers,
                    body: body.to_owned(),
                });
            }
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A field of the body or of the query.
    fn field(&self, name: &str) -> Option<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let url = reqwest::Url::parse(&format!(
            "http://fields/?{}{query}",
            if self.method == "GET" { "" } else { &self.body }
        ))
        .ok()?;
        url.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
    }
}

impl KeyProxy {
    /// A proxy in front of the localstripe at `upstream`. `clock` determines when keys expire.
    pub fn before(upstream: String, clock: Clock) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        Self(Arc::new(Inner {
            upstream,
            http,
            clock,
            released: Semaphore::new(0),
            state: Mutex::default(),
        }))
    }

    /// Starts to listen and returns the base URL.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let proxy = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().serve(connection));
            }
        });
        base
    }

    /// Sets the faults of the next requests under a key, in order.
    pub fn fail_next(&self, faults: &[Fault]) {
        self.state().faults = faults.iter().copied().collect();
    }

    /// Completes the request in progress.
    pub fn release(&self) {
        self.0.released.add_permits(1);
    }

    /// Delivers the lost requests and returns the provider's responses.
    pub async fn deliver_late(&self) -> Vec<Answer> {
        let lost = std::mem::take(&mut self.state().lost);
        let mut answers = Vec::new();
        for request in lost {
            answers.push(self.keyed(&request, None).await);
        }
        answers
    }

    /// Sets whether searches miss new charges, as Stripe's do for about a minute.
    pub fn lag_search(&self, lags: bool) {
        self.state().search_lags = lags;
    }

    /// Whether a request under a key is in progress.
    pub fn is_running(&self) -> bool {
        self.state().keys.values().any(|used| used.answer.is_none())
    }

    /// How often a stored response was replayed.
    pub fn replayed(&self) -> usize {
        self.state().replayed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn serve(self, mut connection: TcpStream) {
        let Some(request) = Request::read(&mut connection).await else { return };
        let is_keyed = request.method == "POST" && !request.header("idempotency-key").is_empty();
        let fault = if is_keyed { self.state().faults.pop_front() } else { None };
        if fault == Some(Fault::RequestLost) {
            self.state().lost.push(request);
            return;
        }
        let answer =
            if is_keyed { self.keyed(&request, fault).await } else { self.answer(&request).await };
        if fault == Some(Fault::AnswerLost) {
            return;
        }
        let body = answer.body.to_string();
        let replayed = if answer.replayed { "idempotent-replayed: true\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: application/json\r\n{replayed}connection: close\r\n",
            answer.status
        );
        let _ = connection
            .write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
            .await;
    }

    /// Handles a request under an idempotency key.
    async fn keyed(&self, request: &Request, fault: Option<Fault>) -> Answer {
        if fault == Some(Fault::RateLimited) {
            return Answer::error(
                429,
                json!({ "type": "invalid_request_error", "code": "rate_limit" }),
            );
        }
        let key =
            format!("{} {}", request.header("authorization"), request.header("idempotency-key"));
        let (now, sent) = (self.0.clock.now(), (request.path.clone(), request.body.clone()));
        {
            let mut state = self.state();
            state
                .keys
                .retain(|_, used| used.answer.is_none() || now.since(used.at) < KEY_RETENTION);
            let known =
                state.keys.get(&key).map(|used| (used.answer.clone(), used.request == sent));
            match known {
                Some((None, _)) => {
                    return Answer::error(
                        409,
                        json!({ "type": "invalid_request_error", "code": "idempotency_key_in_use" }),
                    );
                }
                Some((Some(_), false)) => {
                    return Answer::error(400, json!({ "type": "idempotency_error" }));
                }
                Some((Some(answer), true)) => {
                    state.replayed += 1;
                    return Answer { replayed: true, ..answer };
                }
                None => {
                    state.keys.insert(key.clone(), Used { request: sent, at: now, answer: None });
                }
            }
        }
        if fault == Some(Fault::Held) {
            self.0.released.acquire().await.unwrap().forget();
        }
        let answer = if fault == Some(Fault::ServerError) {
            Answer::error(500, json!({ "type": "api_error" }))
        } else {
            self.answer(request).await
        };
        let mut state = self.state();
        if !answer.is_stored() {
            state.keys.remove(&key);
        } else if let Some(used) = state.keys.get_mut(&key) {
            used.answer = Some(answer.clone());
        }
        answer
    }

    /// Forwards a request to localstripe, or answers like Stripe where localstripe lacks the
    /// endpoint.
    async fn answer(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        match (&*request.method, path) {
            ("GET", "/v1/payment_intents/search") => {
                let query = request.field("query").unwrap_or_default();
                let wanted = query
                    .strip_prefix("metadata[\"payment_id\"]:\"")
                    .and_then(|rest| rest.strip_suffix('"'))
                    .map(str::to_owned);
                let Some(wanted) = wanted else {
                    return Answer::error(
                        400,
                        json!({ "type": "invalid_request_error", "param": "query" }),
                    );
                };
                let lags = self.state().search_lags;
                self.intents(request, |intent| !lags && intent["metadata"]["payment_id"] == *wanted)
                    .await
            }
            ("GET", "/v1/payment_intents") if request.field("created[gte]").is_some() => {
                let bound = |name: &str| {
                    request.field(name).and_then(|seconds| seconds.parse::<i64>().ok()).unwrap()
                };
                let (from, to) = (bound("created[gte]"), bound("created[lte]"));
                self.intents(request, |intent| {
                    (from..=to).contains(&intent["created"].as_i64().unwrap())
                })
                .await
            }
            ("POST", "/v1/refunds") => match self.unrefunded(request).await {
                Some(left)
                    if request
                        .field("amount")
                        .and_then(|amount| amount.parse::<i64>().ok())
                        .is_some_and(|amount| amount > left) =>
                {
                    Answer::error(
                        400,
                        json!({ "type": "invalid_request_error", "param": "amount" }),
                    )
                }
                _ => self.forward(request).await,
            },
            _ => self.forward(request).await,
        }
    }

    /// The matching payment intents as one page. localstripe has neither a search nor a filter by
    /// time.
    async fn intents(&self, request: &Request, fits: impl Fn(&Value) -> bool) -> Answer {
        let all = self.get(request, "/v1/payment_intents?limit=100000").await;
        let Some(intents) = all.body["data"].as_array() else { return all };
        let found: Vec<&Value> = intents.iter().filter(|intent| fits(intent)).collect();
        Answer::new(200, json!({ "object": "list", "data": found, "has_more": false }))
    }

    /// The refundable amount of the charge in a refund request.
    async fn unrefunded(&self, request: &Request) -> Option<i64> {
        let intent = request.field("payment_intent")?;
        let charged =
            self.get(request, &format!("/v1/payment_intents/{intent}")).await.body["amount"]
                .as_i64()?;
        let refunds =
            self.get(request, &format!("/v1/refunds?payment_intent={intent}&limit=100000")).await;
        let refunded: i64 = refunds.body["data"]
            .as_array()?
            .iter()
            .filter_map(|refund| refund["amount"].as_i64())
            .sum();
        Some(charged - refunded)
    }

    async fn get(&self, request: &Request, path: &str) -> Answer {
        self.forward(&Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            body: String::new(),
            ..request.clone()
        })
        .await
    }

    async fn forward(&self, request: &Request) -> Answer {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut forwarded = self
            .0
            .http
            .request(method, format!("{}{}", self.0.upstream, request.path))
            .body(request.body.clone());
        for name in ["authorization", "content-type"] {
            let is_for_a_body = name == "content-type" && request.body.is_empty();
            if !request.header(name).is_empty() && !is_for_a_body {
                forwarded = forwarded.header(name, request.header(name));
            }
        }
        let answer = forwarded.send().await.unwrap();
        let status = answer.status().as_u16();
        Answer::new(status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }
}
