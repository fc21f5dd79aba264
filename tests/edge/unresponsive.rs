//! Endpoints that accept requests and never answer them: those of AWS, and that of the payment
//! provider. SDK clients have the timeouts and retries of deployed functions, and time is paused.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use shared::{
    clock::Clock,
    operation::{Operation, Trigger},
};
use tests::{
    aws::{Call, Called},
    events::sample,
    provider::Network,
    shop::{self, Shop},
};
use tokio::time::Instant;

use crate::{fixture::ApiFixture, routes::ROUTES};

/// A function that waits without a limit costs money, and its caller gets an unspecific 504 from
/// the gateway.
const LIMIT: Duration = Duration::from_secs(10);
/// The timeout of most consumers and publishers.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A copy of the shop whose clients have the timeouts and retries of deployed functions.
fn deployed(edge: &ApiFixture) -> Shop {
    let aws = edge.shop.aws.copy();
    aws.call_as_deployed();
    Shop::over(aws, Clock::manual(edge.shop.clock.now()))
}

/// The service and the number of each call, without those of the simulated provider: it keeps its
/// records in DynamoDB, and real ones do not.
fn calls(called: &Called) -> impl Iterator<Item = (usize, &'static str)> {
    let is_of_aws =
        |(_, call): &(usize, &Call)| !call.tables.iter().any(|table| table == "payment-simulator");
    called.calls.iter().enumerate().filter(is_of_aws).map(|(number, call)| (number, call.service))
}

/// Whether the answer is a 503 problem that says when to repeat the request.
fn is_unavailable(called: &Called) -> bool {
    called.status() == 503
        && called.header("content-type").as_deref() == Some("application/problem+json")
        && called.header("retry-after").is_some()
        && !called.code().is_empty()
}

#[tokio::test(start_paused = true)]
async fn silent_aws_service_is_503_within_ten_seconds_on_every_route() {
    let edge = ApiFixture::new("silent AWS").await;
    let (mut violations, mut measured, mut served) = (Vec::new(), 0, BTreeMap::<_, Vec<_>>::new());
    for operation in ROUTES.iter().map(|route| route.operation) {
        let usual = deployed(&edge).call(operation, edge.valid(operation)).await;
        assert!(usual.status() < 400, "{operation}: {:?}", usual.answer);
        assert!(!usual.calls.is_empty(), "{operation} calls nothing");
        for (number, service) in calls(&usual) {
            let shop = deployed(&edge);
            shop.aws.hang(service, number);
            let started = Instant::now();
            let called = shop.call(operation, edge.valid(operation)).await;
            measured += 1;
            if called.status() < 300 {
                served
                    .entry(operation)
                    .or_default()
                    .push(format!("{service} from call {number} on"));
            } else if !is_unavailable(&called) {
                violations.push(format!(
                    "{operation}: {service} is silent from call {number} on: {:?}",
                    called.answer
                ));
            }
            if started.elapsed() >= LIMIT {
                violations.push(format!(
                    "{operation}: {service} is silent from call {number} on: {:?}",
                    started.elapsed()
                ));
            }
        }
    }
    eprintln!("edge: silent AWS: {measured} calls, {} violations", violations.len());
    let served = Vec::from_iter(served);
    assert!(violations.is_empty(), "served: {served:#?}\n{}\n", violations.join("\n"));
    assert!(measured > 90, "only {measured} calls were silent");
    // The adjustment is already written: what follows prepares the next one.
    let operations: Vec<&str> = served.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(operations, ["adjust-stock"], "served without the service: {served:#?}");
}

#[tokio::test(start_paused = true)]
async fn authorizer_without_an_answer_of_aws_fails_within_its_timeout() {
    let edge = ApiFixture::new("silent AWS").await;
    let event = sample("authorize-request");
    let usual = deployed(&edge).call("authorize-request", event.clone()).await;
    for (number, service) in calls(&usual) {
        let shop = deployed(&edge);
        shop.aws.hang(service, number);
        let started = Instant::now();
        let called = shop.call("authorize-request", event.clone()).await;
        assert!(called.answer.is_err(), "{service}, call {number}: {:?}", called.answer);
        assert!(started.elapsed() < LIMIT, "{service}, call {number}: {:?}", started.elapsed());
    }
    assert!(!usual.calls.is_empty(), "the authorizer calls nothing: {:?}", usual.answer);
}

/// The provider may execute a charge or a refund that it does not answer, so the outcome is
/// unknown: 202, and `reconcile-payments` finds it out.
#[tokio::test(start_paused = true)]
async fn silent_provider_is_answered_within_ten_seconds_on_every_route() {
    let edge = ApiFixture::new("silent provider").await;
    let mut waited = BTreeMap::new();
    for operation in ROUTES.iter().map(|route| route.operation) {
        let shop = deployed(&edge);
        shop.provider.set_network(Network::Silent);
        let started = Instant::now();
        let called = shop.call(operation, edge.valid(operation)).await;
        assert!(started.elapsed() < LIMIT, "{operation}: {:?}", started.elapsed());
        if started.elapsed() >= Duration::from_secs(1) {
            waited.insert(operation, called.status());
        } else {
            assert!(called.status() < 400, "{operation}: {:?}", called.answer);
        }
    }
    let expected = BTreeMap::from([
        ("create-payment", 202),
        ("create-refund", 202),
        ("receive-payment-webhook", 503),
    ]);
    assert_eq!(waited, expected);
}

/// Otherwise Lambda ends the function, and SQS waits for the visibility timeout instead of the
/// retry delay.
#[tokio::test(start_paused = true)]
async fn consumers_and_publishers_return_their_records_before_they_time_out() {
    let edge = ApiFixture::new("silent AWS").await;
    let (mut violations, mut measured) = (Vec::new(), 0);
    let has_records = |operation: &&Operation| {
        matches!(operation.trigger, Trigger::Queue(_) | Trigger::Stream { .. })
    };
    for operation in shop::operations().filter(has_records) {
        let name = operation.name();
        let usual = deployed(&edge).call(&name, sample(&name)).await;
        assert!(usual.answer.is_ok(), "{name}: {:?}", usual.answer);
        for (number, service) in calls(&usual) {
            let shop = deployed(&edge);
            shop.aws.hang(service, number);
            let started = Instant::now();
            let called = shop.call(&name, sample(&name)).await;
            measured += 1;
            // A publisher fails, and Lambda repeats its batch. A consumer returns the record.
            let is_returned = match &called.answer {
                Ok(answer) => number > 0 || answer["batchItemFailures"] != json!([]),
                Err(_) => matches!(operation.trigger, Trigger::Stream { .. }),
            };
            if !is_returned || started.elapsed() >= FUNCTION_TIMEOUT {
                violations.push(format!(
                    "{name}: {service} is silent from call {number} on: {:?} after {:?}",
                    called.answer,
                    started.elapsed()
                ));
            }
        }
    }
    eprintln!("edge: silent AWS: {measured} calls of consumers and publishers");
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
    assert!(measured > 30, "only {measured} calls were silent");
}
