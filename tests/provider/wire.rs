//! The requests that void and find a charge at Stripe, and the meaning of the responses, which are
//! scripted exactly as Stripe documents them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use provider::{
    ChargeRequest, KeyState, PaymentProvider, ProviderError, ProviderResult, Stripe, StripeSettings,
};
use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use tests::aws::Aws;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::{
    contract::{to_charge, to_refund},
    localstripe::KEY,
};

/// A response: its status, an optional header line, and its body.
type Scripted = (u16, &'static str, Value);

/// A Stripe server that sends these responses in order, and the requests that it received.
async fn scripted(answers: Vec<Scripted>) -> (Stripe, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stripe = stripe_at(&listener);
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = requests.clone();
    tokio::spawn(async move {
        for (status, header, document) in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                assert_ne!(
                    connection.read_buf(&mut request).await.unwrap(),
                    0,
                    "the connection ended in the middle of a request"
                );
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    break;
                }
            }
            seen.lock().unwrap().push(String::from_utf8(request).unwrap());
            let body = document.to_string();
            let answer = format!(
                "HTTP/1.1 {status} Scripted\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (stripe, requests)
}

/// A client of the Stripe server at this address.
fn stripe_at(listener: &TcpListener) -> Stripe {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let aws = Aws::new();
    aws.secrets_manager().set("stripe-key", KEY);
    let settings = StripeSettings {
        base: format!("http://{}", listener.local_addr().unwrap()),
        return_url: Some("https://new.example".to_owned()),
        live: false,
    };
    Stripe::new(settings, aws.secrets_at(Clock::System))
}

fn probe(status: &str) -> Value {
    json!({ "id": "pi_probe", "object": "payment_intent", "status": status, "metadata": { "purpose": "void_unsent_charge" } })
}

fn error(kind: &str) -> Value {
    json!({ "error": { "type": kind, "message": "…" } })
}

/// The body of a request, with the percent-encoding of these tests decoded.
fn body(request: &str) -> String {
    request
        .split_once("\r\n\r\n")
        .unwrap()
        .1
        .replace("%5B", "[")
        .replace("%5D", "]")
        .replace("%3A", ":")
        .replace("%2F", "/")
}

/// The kernel accepts the connection, and no task reads it. Payments allows a call eight seconds.
#[tokio::test(start_paused = true)]
async fn server_that_never_answers_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stripe = stripe_at(&listener);
    let order = to_charge("wire silence", "pm_card_visa");
    let started = Instant::now();
    let charged = stripe.charge(&order).await;
    assert!(matches!(charged, Err(ProviderError::Indeterminate(_))), "{charged:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let started = Instant::now();
    let refunded = stripe.refund(&to_refund(&order, "pi_1", "silence", 100)).await;
    assert!(matches!(refunded, Err(ProviderError::Indeterminate(_))), "{refunded:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn voiding_uses_the_key_of_the_charge_and_cancels_the_intent() {
    let order = to_charge("wire void", "pm_card_visa");
    let created = (200, "", probe("requires_payment_method"));
    let replayed = (200, "idempotent-replayed: true\r\n", probe("requires_payment_method"));
    let (stripe, requests) = scripted(vec![
        created,
        (200, "", probe("canceled")),
        // The next attempt gets the stored response and an intent that is already cancelled.
        replayed,
        (400, "", error("invalid_request_error")),
        (200, "", probe("canceled")),
    ])
    .await;
    for _ in 0..2 {
        assert_eq!(stripe.void_unsent(&order).await, Ok(KeyState::Voided));
    }
    let requests = requests.lock().unwrap();
    let starts: Vec<&str> =
        requests.iter().map(|request| request.split(" HTTP").next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "POST /v1/payment_intents",
            "POST /v1/payment_intents/pi_probe/cancel",
            "POST /v1/payment_intents",
            "POST /v1/payment_intents/pi_probe/cancel",
            "GET /v1/payment_intents/pi_probe",
        ]
    );
    assert!(requests[0].contains(&format!("idempotency-key: {}\r\n", order.payment_id)));
    assert_eq!(body(&requests[0]), body(&requests[2]), "the body is the same each time");
    let body = body(&requests[0]);
    assert!(
        body.starts_with("amount=5998&currency=usd&")
            && body.contains(&format!("metadata[voided_payment_id]={}", order.payment_id))
    );
    for never in
        ["confirm", "payment_method=", "payment_method_data", "metadata[payment_id]", "return_url"]
    {
        assert!(!body.contains(never), "{never}: {body}");
    }
}

#[tokio::test]
async fn answers_to_a_void_show_whether_the_charge_arrived() {
    let order = to_charge("wire answers", "pm_card_visa");
    let (stripe, _) = scripted(vec![
        (400, "", error("idempotency_error")),
        (409, "", error("idempotency_error")),
        (401, "", error("invalid_request_error")),
        (403, "", error("invalid_request_error")),
        (429, "", error("invalid_request_error")),
        (500, "", error("api_error")),
        (500, "idempotent-replayed: true\r\n", error("api_error")),
    ])
    .await;
    assert_eq!(stripe.void_unsent(&order).await, Ok(KeyState::Used));
    assert_eq!(stripe.void_unsent(&order).await, Ok(KeyState::Running));
    for _ in 0..2 {
        assert!(matches!(
            stripe.void_unsent(&order).await,
            Err(ProviderError::CredentialsRejected(_))
        ));
    }
    assert!(matches!(stripe.void_unsent(&order).await, Err(ProviderError::Busy(_))));
    assert!(matches!(stripe.void_unsent(&order).await, Err(ProviderError::Indeterminate(_))));
    assert!(matches!(stripe.void_unsent(&order).await, Err(ProviderError::StoredFailure(_))));
}

#[tokio::test]
async fn return_url_of_a_charge_is_the_one_stored_with_its_attempt() {
    let order = ChargeRequest {
        return_url: Some("https://old.example".to_owned()),
        ..to_charge("wire return", "pm_card_visa")
    };
    let (stripe, requests) =
        scripted(vec![(500, "", error("api_error")), (500, "", error("api_error"))]).await;
    assert_eq!(stripe.return_url(), Some("https://new.example"), "for new attempts");
    let _ = stripe.charge(&order).await;
    let _ = stripe.charge(&ChargeRequest { return_url: None, ..order }).await;
    let requests = requests.lock().unwrap();
    assert!(body(&requests[0]).contains("return_url=https://old.example"), "{}", requests[0]);
    assert!(!body(&requests[1]).contains("return_url"));
}

/// Each repetition under the idempotency key has the same body: the trace is that of the attempt,
/// not of the sweep that sends it again.
#[tokio::test]
async fn charges_and_refunds_name_their_trace_in_their_metadata() {
    let order = to_charge("wire trace", "pm_card_visa");
    let failed = || (500, "", error("api_error"));
    let (stripe, requests) = scripted(vec![failed(), failed(), failed()]).await;
    for _ in 0..2 {
        let _ = stripe.charge(&order).await;
    }
    let _ = stripe.refund(&to_refund(&order, "pi_1", "trace", 1000)).await;
    let requests = requests.lock().unwrap();
    let named = format!("metadata[trace_id]={}", order.trace.id());
    assert_eq!(order.trace.id().len(), 32);
    for request in requests.iter() {
        assert!(body(request).contains(&named), "{request}");
    }
    assert_eq!(body(&requests[0]), body(&requests[1]));
}

#[tokio::test]
async fn charge_is_listed_by_the_time_it_was_sent_page_by_page() {
    let order = to_charge("wire list", "pm_card_visa");
    let at = Timestamp::from_milliseconds(1_795_000_000_000);
    let order =
        ChargeRequest { sent: Some((at, at.plus(std::time::Duration::from_secs(600)))), ..order };
    let other = json!({ "id": "pi_1", "status": "succeeded", "metadata": {} });
    let ours = json!({ "id": "pi_2", "status": "succeeded", "amount_received": 5998, "currency": "usd",
        "metadata": { "payment_id": order.payment_id, "order_id": order.order_id } });
    let page = |intents: &[&Value], more: bool| {
        (200, "", json!({ "object": "list", "data": intents, "has_more": more }))
    };
    let (stripe, requests) = scripted(vec![
        page(&[&other], true),
        page(&[&ours], false),
        page(&[&other], false),
        (500, "", error("api_error")),
    ])
    .await;
    let found = stripe.find_by_time(&order).await;
    assert!(
        matches!(found, Ok(Some(ProviderResult::Succeeded { transaction_id, .. })) if transaction_id == "pi_2")
    );
    assert_eq!(stripe.find_by_time(&order).await, Ok(None));
    assert!(stripe.find_by_time(&order).await.is_err());
    let requests = requests.lock().unwrap();
    let query = |number: usize| {
        requests[number].split(" HTTP").next().unwrap().replace("%5B", "[").replace("%5D", "]")
    };
    assert_eq!(
        query(0),
        "GET /v1/payment_intents?created[gte]=1794999940&created[lte]=1795000900&limit=100"
    );
    assert!(query(1).ends_with("&starting_after=pi_1"));
}
