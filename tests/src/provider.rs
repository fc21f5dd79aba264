//! The simulated payment provider behind a network that fails on command, and a record of charges
//! sent after their order was cancelled.
//!
//! A charge is *unwanted* when its request **leaves** after the order was cancelled: its payment
//! intent is closing or closed, or its payment deadline has passed. A request that leaves before
//! and arrives late is legitimate: its charge is refunded. A charge that a customer completes at
//! their bank needs no request of ours and is not counted either.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use provider::{
    ChargeRequest, KeyState, PaymentId, PaymentProvider, ProviderDispute, ProviderError,
    ProviderRefund, ProviderResult, RefundRequest, RefundResult, SimulatedProvider,
    webhook::{WebhookError, WebhookEvent, WebhookRequest},
};
use serde_json::{Value, json};
use shared::{
    BoxFuture,
    clock::Clock,
    ids::{derive, derive_uuid},
};

use crate::aws::Aws;

/// The state of the network between payments and the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Requests and responses arrive.
    #[default]
    Up,
    /// No request arrives.
    RequestsLost,
    /// Requests arrive and are executed. No response arrives.
    AnswersLost,
    /// Charge requests arrive only when [`RemoteProvider::deliver_late_charges`] is called. Their
    /// caller gets no response.
    ChargesDelayed,
    /// Charge requests arrive and stay in progress until [`RemoteProvider::deliver_late_charges`]
    /// is called. Their caller gets no response. Other requests with the same idempotency key get a
    /// 409.
    ChargesRunning,
    /// The provider accepts requests, and neither executes nor answers them. Its callers wait until
    /// their timeout.
    Silent,
    /// The provider rejects our API key: 401.
    Unauthorized,
    /// The provider denies our API key this request: 403.
    Forbidden,
}

/// A defect of the requests to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ProviderDefect {
    /// Each charge request arrives with an idempotency key of its own.
    NoChargeKeys,
    /// Each refund request arrives with an idempotency key of its own.
    NoRefundKeys,
    /// Requests that void the key of a charge do not arrive, and seem to have succeeded.
    NoVoids,
}

/// The provider as seen by payments. Clones share their state.
#[derive(Clone)]
pub struct RemoteProvider {
    inner: SimulatedProvider,
    aws: Aws,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    network: Network,
    delayed: VecDeque<Sent>,
    running: VecDeque<Sent>,
    lost: Vec<ChargeRequest>,
    unwanted: Vec<String>,
    defect: Option<ProviderDefect>,
    /// The number of requests whose idempotency key was replaced.
    replaced_keys: u64,
}

/// A charge request, and why its order was already cancelled when it was sent.
#[derive(Clone)]
struct Sent {
    order: ChargeRequest,
    cancellation: Option<String>,
}

impl RemoteProvider {
    /// The provider whose records are the table `payment-simulator`.
    pub fn new(aws: &Aws, clock: &Clock) -> Self {
        let inner = SimulatedProvider::at(aws.table("payment-simulator"), clock.clone());
        Self { inner, aws: aws.clone(), clock: clock.clone(), state: Arc::default() }
    }

    /// Sets the state of the network from now on.
    pub fn set_network(&self, network: Network) {
        self.state().network = network;
    }

    pub fn network(&self) -> Network {
        self.state().network
    }

    /// Makes a defect in all requests from now on.
    pub fn make(&self, defect: ProviderDefect) {
        self.state().defect = Some(defect);
    }

    fn has(&self, defect: ProviderDefect) -> bool {
        self.state().defect == Some(defect)
    }

    /// The number of an idempotency key that no other request has.
    fn next_key(&self) -> String {
        let mut state = self.state();
        state.replaced_keys += 1;
        state.replaced_keys.to_string()
    }

    /// The charge requests that were lost or rejected before the provider executed them.
    pub fn lost_charges(&self) -> Vec<ChargeRequest> {
        self.state().lost.clone()
    }

    /// The charges whose request was sent after the order was cancelled, each with the time and the
    /// reason.
    pub fn unwanted_charges(&self) -> Vec<String> {
        self.state().unwanted.clone()
    }

    /// Returns the unwanted charges and forgets them.
    pub fn take_unwanted(&self) -> Vec<String> {
        std::mem::take(&mut self.state().unwanted)
    }

    /// Adds unwanted charges that another process has sent.
    pub fn add_unwanted(&self, charges: Vec<String>) {
        self.state().unwanted.extend(charges);
    }

    /// Completes the charge requests in progress, then delivers the delayed ones. Returns their
    /// number.
    pub async fn deliver_late_charges(&self) -> usize {
        let (running, delayed) = {
            let mut state = self.state();
            (std::mem::take(&mut state.running), std::mem::take(&mut state.delayed))
        };
        let count = running.len() + delayed.len();
        for sent in running.into_iter().chain(delayed) {
            // The caller has already timed out.
            let _ = self.carry_out(sent).await;
        }
        count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_charge(&self, order: &ChargeRequest) -> Result<ProviderResult, ProviderError> {
        let sent = Sent { order: order.clone(), cancellation: self.cancellation(order) };
        let network = self.network();
        let arrives =
            matches!(network, Network::Up | Network::AnswersLost | Network::ChargesRunning);
        if arrives && self.is_running(order) {
            return self.over_network(std::future::ready(Err(in_use()))).await;
        }
        match network {
            Network::ChargesRunning => {
                self.state().running.push_back(sent);
                Err(ProviderError::Indeterminate("the request takes too long".to_owned()))
            }
            Network::ChargesDelayed => {
                self.state().delayed.push_back(sent);
                Err(ProviderError::Indeterminate("the request is delayed".to_owned()))
            }
            Network::Up | Network::AnswersLost => self.over_network(self.carry_out(sent)).await,
            Network::RequestsLost
            | Network::Silent
            | Network::Unauthorized
            | Network::Forbidden => {
                self.state().lost.push(sent.order.clone());
                self.over_network(self.carry_out(sent)).await
            }
        }
    }

    /// Lets the provider execute a charge request, and records it if its order was cancelled.
    async fn carry_out(&self, mut sent: Sent) -> Result<ProviderResult, ProviderError> {
        if self.has(ProviderDefect::NoChargeKeys) {
            let key = derive_uuid(&["replaced", &self.next_key()]);
            sent.order.payment_id = PaymentId::new(sent.order.order_id, key);
        }
        let Some(reason) = sent.cancellation else { return self.inner.charge(&sent.order).await };
        let before = self.charges(sent.order.payment_id);
        let answer = self.inner.charge(&sent.order).await;
        if self.charges(sent.order.payment_id) > before {
            let unwanted = format!(
                "{} charged {} at {}: {reason}",
                sent.order.payment_id,
                sent.order.amount.amount,
                self.clock.now()
            );
            self.state().unwanted.push(unwanted);
        }
        answer
    }

    async fn over_network<T>(
        &self,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        match self.network() {
            Network::Up | Network::ChargesDelayed | Network::ChargesRunning => call.await,
            Network::RequestsLost => {
                Err(ProviderError::Indeterminate("the request was lost".to_owned()))
            }
            Network::Silent => std::future::pending().await,
            Network::AnswersLost => {
                let _ = call.await;
                Err(ProviderError::Indeterminate("the answer was lost".to_owned()))
            }
            Network::Unauthorized => {
                Err(ProviderError::CredentialsRejected("401 invalid_request_error none".to_owned()))
            }
            Network::Forbidden => {
                Err(ProviderError::CredentialsRejected("403 invalid_request_error none".to_owned()))
            }
        }
    }

    /// The reason why a charge is no longer wanted at this time. `None` if it still is.
    fn cancellation(&self, order: &ChargeRequest) -> Option<String> {
        let intent = self.aws.item(
            "payments",
            &json!({ "pk": { "S": format!("ORDER#{}", order.order_id) }, "sk": { "S": "INTENT" } }),
        )?;
        let (state, expires_at) = (text(&intent, "state"), text(&intent, "expires_at"));
        let now = self.clock.now().to_string();
        if matches!(state, "closing" | "closed") {
            return Some(format!("its payment intent was {state}"));
        }
        (now.as_str() >= expires_at)
            .then(|| format!("its payment deadline {expires_at} had passed"))
    }

    fn is_running(&self, order: &ChargeRequest) -> bool {
        self.state().running.iter().any(|sent| sent.order.payment_id == order.payment_id)
    }

    fn charges(&self, payment: PaymentId) -> usize {
        let records = self.aws.items("payment-simulator");
        let of_payment = |item: &&Value| {
            text(item, "pk").starts_with("CHARGE#")
                && text(item, "payment_id") == payment.to_string()
        };
        records.iter().filter(of_payment).count()
    }
}

fn in_use() -> ProviderError {
    ProviderError::Busy("409 invalid_request_error idempotency_key_in_use".to_owned())
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

impl PaymentProvider for RemoteProvider {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn is_live(&self) -> bool {
        self.inner.is_live()
    }

    fn charge<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.send_charge(order))
    }

    fn return_url(&self) -> Option<&str> {
        self.inner.return_url()
    }

    fn webhook_event(
        &self,
        request: &WebhookRequest<'_>,
        secret: &str,
    ) -> Result<Option<WebhookEvent>, WebhookError> {
        self.inner.webhook_event(request, secret)
    }

    fn void_unsent<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<KeyState, ProviderError>> {
        Box::pin(self.over_network(async move {
            if self.is_running(order) {
                Ok(KeyState::Running)
            } else if self.has(ProviderDefect::NoVoids) {
                Ok(KeyState::Voided)
            } else {
                self.inner.void_unsent(order).await
            }
        }))
    }

    fn find_by_time<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(self.over_network(self.inner.find_by_time(order)))
    }

    fn retrieve<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<Option<ProviderResult>, ProviderError>> {
        Box::pin(self.over_network(self.inner.retrieve(order)))
    }

    fn cancel<'a>(
        &'a self,
        order: &'a ChargeRequest,
    ) -> BoxFuture<'a, Result<ProviderResult, ProviderError>> {
        Box::pin(self.over_network(self.inner.cancel(order)))
    }

    fn refund<'a>(
        &'a self,
        order: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<RefundResult, ProviderError>> {
        Box::pin(self.over_network(async move {
            if self.has(ProviderDefect::NoRefundKeys) {
                let refund_id = derive(&["replaced", &self.next_key()]);
                return self.inner.refund(&RefundRequest { refund_id, ..order.clone() }).await;
            }
            self.inner.refund(order).await
        }))
    }

    fn retrieve_refund<'a>(
        &'a self,
        order: &'a RefundRequest,
    ) -> BoxFuture<'a, Result<Option<RefundResult>, ProviderError>> {
        Box::pin(self.over_network(self.inner.retrieve_refund(order)))
    }

    fn find_refund<'a>(
        &'a self,
        provider_refund_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderRefund>, ProviderError>> {
        Box::pin(self.over_network(self.inner.find_refund(provider_refund_id)))
    }

    fn find_dispute<'a>(
        &'a self,
        dispute_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<ProviderDispute>, ProviderError>> {
        Box::pin(self.over_network(self.inner.find_dispute(dispute_id)))
    }
}
