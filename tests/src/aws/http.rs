//! The HTTP clients below the SDK clients: they record each request, inject its fault and pass it
//! to its service.

use std::{
    cell::LazyCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::{
    Aws, Call, Fault,
    calls::{READS, actions_of, tables_of},
    faults::refused,
    lock,
};
use crate::partitions::Refusal;
#[cfg(feature = "shop")]
use crate::release::{AwsAnswer, AwsCall, Connection};

impl Aws {
    /// Executes a DynamoDB request, subject to the limits of its partitions.
    fn carry_out(
        &self,
        operation: &str,
        request: &LazyCell<Value, impl FnOnce() -> Value>,
        body: &str,
    ) -> (u16, String) {
        let mut partitions = lock(&self.0.partitions);
        let Some(partitions) = partitions.as_mut() else {
            return self.0.dynamodb.call(operation, body);
        };
        partitions.carry_out(&self.0.dynamodb, operation, request, body).unwrap_or_else(|refusal| {
            match refusal {
                Refusal::Throttled => refused(
                    "dynamodb",
                    operation,
                    request,
                    "ThrottlingException",
                    "ThrottlingError",
                ),
                Refusal::Conflict => refused(
                    "dynamodb",
                    operation,
                    request,
                    "TransactionConflictException",
                    "TransactionConflict",
                ),
            }
        })
    }

    /// Answers one request, or injects the pending fault.
    ///
    /// # Errors
    /// If a fault loses the request or its response.
    pub fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        #[cfg(feature = "shop")]
        if let Some(remote) = &self.0.remote {
            return self.pass_on(remote, request);
        }
        let body = request.body().bytes().unwrap_or_default();
        let json = LazyCell::new(|| serde_json::from_slice::<Value>(body).unwrap_or_default());
        let (service, operation) = called(request);
        let number = self.0.next_call.fetch_add(1, Ordering::SeqCst);
        if !READS.contains(&operation) {
            self.0.writes.fetch_add(1, Ordering::SeqCst);
        }
        if self.0.is_recording.load(Ordering::SeqCst) {
            let actions = actions_of(service, operation, &json);
            lock(&self.0.calls).push(Call {
                service,
                operation: operation.to_owned(),
                tables: tables_of(&json),
                actions,
            });
        }
        let is_write =
            matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems");
        let fault = lock(&self.0.faults).remove(&number);
        let fault = fault.filter(|fault| *fault != Fault::Conflict || is_write);
        if let Some(fault) = fault {
            let tables = tables_of(&json).into_iter().collect::<Vec<_>>().join(", ");
            lock(&self.0.hits).push(format!("{fault:?} at {operation} {tables}"));
        }
        let carry_out = || {
            let (status, text) = match service {
                "cloudwatch" => return self.0.cloudwatch.call(body),
                "dynamodb" => {
                    self.0.dynamodb.set_call(Some(number));
                    let answer = self.carry_out(operation, &json, &String::from_utf8_lossy(body));
                    self.0.dynamodb.set_call(None);
                    answer
                }
                "sqs" => self.0.sqs.call(operation, &json),
                "secretsmanager" => self.0.secrets.call(operation, &json),
                "codedeploy" => self.0.codedeploy.call(operation, &json),
                "lambda" => self.0.codedeploy.invoke(request.uri(), &json),
                _ => self.0.ses.call(&json),
            };
            if service == "dynamodb" && !READS.contains(&operation) {
                self.check();
            }
            (status, text.into_bytes())
        };
        let refused = |error: &str, reason: &str| {
            Ok(response(refused(service, operation, &json, error, reason)))
        };
        let lost = |what: &str| Err(ConnectorError::io(what.into()));
        match fault {
            Some(Fault::LoseRequest) => lost("the request was lost"),
            Some(Fault::LoseResponse) => {
                carry_out();
                lost("the response was lost")
            }
            Some(Fault::Throttle) => refused("ThrottlingException", "ThrottlingError"),
            Some(Fault::Conflict) => refused("TransactionConflictException", "TransactionConflict"),
            Some(fault @ (Fault::CrashBefore | Fault::CrashAfter)) => {
                if fault == Fault::CrashAfter {
                    carry_out();
                }
                self.0.is_crashing.store(true, Ordering::SeqCst);
                lost("the function crashed")
            }
            None => Ok(response(carry_out())),
        }
    }

    /// Runs the check of [`Aws::watch`].
    fn check(&self) {
        let watch = *lock(&self.0.watch);
        if let Some(Err(violation)) = watch.map(|check| check(&self.0.dynamodb)) {
            lock(&self.0.violation).get_or_insert(violation);
        }
    }
}

/// Calls between the process of a release and the process that has the services.
#[cfg(feature = "shop")]
impl Aws {
    /// Lets the other process answer a request.
    fn pass_on(
        &self,
        remote: &Connection,
        request: &HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let call = AwsCall {
            uri: request.uri().to_owned(),
            target: request.headers().get("x-amz-target").map(str::to_owned),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        };
        match remote.call(call) {
            AwsAnswer::Response { status, body } => return Ok(response((status, body))),
            AwsAnswer::Lost => {}
            AwsAnswer::Died => self.0.is_crashing.store(true, Ordering::SeqCst),
        }
        Err(ConnectorError::io("lost".into()))
    }

    /// Answers a call of another process.
    pub(crate) fn answer_call(&self, call: &AwsCall) -> AwsAnswer {
        let mut request = HttpRequest::new(SdkBody::from(call.body.as_str()));
        request.set_uri(call.uri.clone()).expect("the uri of a request");
        if let Some(target) = &call.target {
            request.headers_mut().insert("x-amz-target", target.clone());
        }
        match self.answer(&request) {
            Ok(response) => AwsAnswer::Response {
                status: response.status().as_u16(),
                body: String::from_utf8_lossy(response.body().bytes().unwrap_or_default())
                    .into_owned(),
            },
            Err(_) if self.0.is_crashing.swap(false, Ordering::SeqCst) => AwsAnswer::Died,
            Err(_) => AwsAnswer::Lost,
        }
    }
}

impl Aws {
    /// Passes an answer to the function, unless the function crashed.
    fn deliver(&self, answer: Result<HttpResponse, ConnectorError>) -> HttpConnectorFuture {
        if self.0.is_crashing.swap(false, Ordering::SeqCst) {
            self.0.crash.notify_one();
            return HttpConnectorFuture::new(std::future::pending());
        }
        HttpConnectorFuture::ready(answer)
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let hanging = *lock(&self.0.hanging);
        if hanging
            .is_some_and(|(service, from)| self.requests() >= from && called(&request).0 == service)
        {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let latency = self.next_latency();
        if latency.is_zero() {
            return self.deliver(self.answer(&request));
        }
        let aws = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(latency).await;
            aws.deliver(aws.answer(&request)).await
        })
    }
}

/// An HTTP client that makes concurrent operations interleave.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    pub(super) aws: Aws,
    pub(super) next: Arc<AtomicU64>,
}

impl HttpClient for Crowd {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Crowd {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let crowd = self.clone();
        HttpConnectorFuture::new(async move {
            // Knuth's linear congruential generator; the quality of the distribution does not
            // matter.
            let random = crowd
                .next
                .fetch_add(1, Ordering::SeqCst)
                .wrapping_add(1)
                .wrapping_mul(6_364_136_223_846_793_005)
                >> 61;
            for _ in 0..=random {
                tokio::task::yield_now().await;
            }
            HttpConnector::call(&crowd.aws, request).await
        })
    }
}

/// The service of a request and its operation.
fn called(request: &HttpRequest) -> (&'static str, &str) {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    // Other services have the operation in the path.
    let other = if request.uri().contains("/functions/") {
        ("Lambda", "InvokeFunction")
    } else if request.uri().ends_with("GraniteServiceVersion20100801/operation/GetMetricData") {
        ("CloudWatch", "GetMetricData")
    } else {
        ("SES", "SendEmail")
    };
    let (api, operation) = target.split_once('.').unwrap_or(other);
    let service = match api {
        "CloudWatch" => "cloudwatch",
        "CodeDeploy_20141006" => "codedeploy",
        "Lambda" => "lambda",
        "DynamoDB_20120810" => "dynamodb",
        "AmazonSQS" => "sqs",
        "secretsmanager" => "secretsmanager",
        _ => "ses",
    };
    (service, operation)
}

fn response((status, body): (u16, impl Into<SdkBody>)) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status is between 100 and 999");
    let mut response = HttpResponse::new(status, body.into());
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}
