//! Error texts end up in logs: they must not contain values from a response or an item.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use shared::{
    clock::Clock,
    secret::Secrets,
    table::{Item, Key, Table, from_item},
    telemetry::causes,
};
use tests::events::sample;

use crate::{bodies::places, fixture::ECHO};

/// Responds to every request with the same status and body.
#[derive(Clone, Debug)]
struct Always(u16, String);

impl HttpClient for Always {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Always {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(self.0).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.1.as_str()))))
    }
}

fn config(status: u16, body: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "tests",
        )))
        .retry_config(RetryConfig::disabled())
        .endpoint_url("http://aws.test")
        .http_client(Always(status, body.to_owned()))
        .build()
}

/// Whether a text contains these bytes, also as a list of numbers.
fn shows(text: &str, what: &str) -> bool {
    let numbers = what.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    text.contains(what) || text.contains(&numbers)
}

#[tokio::test]
async fn unreadable_aws_response_is_not_quoted_in_errors() {
    let mut violations = Vec::new();
    let cut = format!(
        "{{\"Item\":{{\"email\":{{\"S\":\"{ECHO}\"}}}},\"SecretString\":\"{ECHO}\",\"Name\":"
    );
    let refused = json!({ "__type": "ValidationException", "message": "a value is not valid", "Item": { "a": { "S": ECHO } } }).to_string();
    for (status, body) in [(200, &cut), (500, &cut), (400, &refused)] {
        let config = config(status, body);
        let secrets =
            Secrets::new(aws_sdk_secretsmanager::Client::new(&config), "ferrocart/", Clock::System);
        let said = secrets.get("users-key").await.map(drop).map_err(|error| causes(&error));
        if said.as_ref().is_err_and(|text| shows(text, ECHO)) {
            violations.push(format!("{status}: Secrets: {said:?}"));
        }
        let table = Table::new(aws_sdk_dynamodb::Client::new(&config), "ferrocart-users");
        let said = table.get(Key::new("USER#x")).await.map(drop).map_err(|error| causes(&error));
        if said.as_ref().is_err_and(|text| shows(text, ECHO)) {
            violations.push(format!("{status}: Table: {said:?}"));
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn unreadable_item_is_not_quoted_in_errors() {
    type Read = fn(Item) -> Result<(), String>;
    let order: Read =
        |item| from_item::<orders::domain::Order>(item).map(drop).map_err(|error| causes(&error));
    let user: Read =
        |item| from_item::<users::store::Image>(item).map(drop).map_err(|error| causes(&error));
    let intent: Read = |item| {
        from_item::<payments::store::IntentImage>(item).map(drop).map_err(|error| causes(&error))
    };
    let stock: Read =
        |item| from_item::<inventory::store::Image>(item).map(drop).map_err(|error| causes(&error));
    let rows = [
        ("publish-order-events", 0, order),
        ("publish-user-events", 0, user),
        ("publish-user-events", 1, user),
        ("publish-payment-events", 0, intent),
        ("publish-stock-events", 0, stock),
        ("publish-stock-events", 1, stock),
    ];
    let mut violations = Vec::new();
    for (operation, record, read) in rows {
        let image = sample(operation)["Records"][record]["dynamodb"]["NewImage"].clone();
        for place in places(&image)
            .into_iter()
            .filter(|place| place.ends_with("/S") || place.ends_with("/N"))
        {
            let parent = place.rsplit_once('/').unwrap().0;
            for value in [
                json!({ "S": ECHO }),
                json!({ "L": [{ "S": ECHO }] }),
                json!({ "M": { ECHO: { "S": ECHO } } }),
            ] {
                let mut broken = image.clone();
                *broken.pointer_mut(parent).unwrap() = value;
                let item: serde_dynamo::Item =
                    serde_json::from_value::<serde_dynamo::Item>(broken).unwrap();
                let item: Item = item.into();
                let said = read(item);
                if said.as_ref().is_err_and(|text| shows(text, ECHO)) {
                    violations.push(format!("{operation}: {parent}: {said:?}"));
                }
            }
        }
    }
    assert!(
        violations.is_empty(),
        "{} violations: {:#?}",
        violations.len(),
        &violations[..violations.len().min(5)]
    );
}
