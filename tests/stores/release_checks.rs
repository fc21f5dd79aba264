//! Checks of new versions: they change nothing, and only a direct invocation reaches them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use shared::{
    lambda::Invocation,
    release::{self, Dependency, Report},
};
use tests::{
    aws::Fault,
    events::sample,
    shop::{Shop, operation_names},
    template,
};

/// The status that `check-release` reports to CodeDeploy, and the answer of the function.
async fn reported(shop: &Shop) -> (Vec<String>, Result<Value, String>) {
    let called = shop.call("check-release", sample("check-release")).await;
    let statuses = shop.aws.codedeploy().statuses().into_iter().map(|(_, status)| status).collect();
    (statuses, called.answer.map_err(|failure| failure.kind.to_owned()))
}

#[tokio::test]
async fn new_version_that_is_ready_gets_traffic() {
    let shop = Shop::new();
    let (statuses, answer) = reported(&shop).await;
    assert_eq!(statuses, ["Succeeded"]);
    assert_eq!(answer.unwrap()["function"], "ferrocart-create-order");
    let execution = sample("check-release")["LifecycleEventHookExecutionId"].clone();
    assert_eq!(shop.aws.codedeploy().statuses()[0].0, execution);
    let [(path, event)] = &shop.aws.codedeploy().invocations()[..] else {
        panic!("one version is invoked")
    };
    assert!(path.contains("ferrocart-create-order") && path.ends_with("Qualifier=7"), "{path}");
    assert_eq!(*event, json!({ "check": "release" }));
}

#[tokio::test]
async fn new_version_that_is_not_ready_gets_no_traffic() {
    let missing = json!({ "ready": false, "checked": [], "not_checked": [], "missing": ["table ferrocart-orders: AccessDeniedException"] });
    for (status, body) in [
        (200, missing.clone()),
        (200, json!({ "statusCode": 400 })),
        (200, Value::Null),
        (404, json!({ "Type": "User" })),
        (500, json!({})),
    ] {
        let shop = Shop::new();
        shop.aws.codedeploy().answer_with(status, body.clone());
        let (statuses, answer) = reported(&shop).await;
        let answer = answer.unwrap();
        assert_eq!(
            (statuses, &answer["ready"]),
            (vec!["Failed".to_owned()], &json!(false)),
            "{body}"
        );
        if body == missing {
            assert_eq!(answer["missing"], missing["missing"]);
        }
    }
}

#[tokio::test]
async fn new_version_gets_no_traffic_when_its_deployment_cannot_be_read() {
    for lost in 0..3 {
        let shop = Shop::new();
        shop.aws.fail(lost, Fault::LoseRequest);
        let (statuses, answer) = reported(&shop).await;
        assert_eq!(
            (statuses, &answer.unwrap()["ready"]),
            (vec!["Failed".to_owned()], &json!(false))
        );
    }
    let shop = Shop::new();
    shop.aws.fail(3, Fault::LoseRequest);
    assert_eq!(reported(&shop).await, (Vec::new(), Err("CodeDeployFailed".to_owned())));
}

/// Every table with every call that reads it, and every secret.
fn dependencies() -> Vec<Dependency> {
    let template = template::template();
    let mut listed = Vec::new();
    for (_, table) in template.resources("AWS::DynamoDB::Table") {
        let properties = template.resolve(&table["Properties"]);
        let key: Vec<&Value> = properties["KeySchema"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|attribute| &attribute["AttributeName"])
            .collect();
        for read in ["GetItem", "BatchGetItem", "Query", "DescribeTable"] {
            listed.push(
                json!({ "table": { "name": properties["TableName"], "read": read, "key": key } }),
            );
        }
    }
    let secrets = template.resources("AWS::SecretsManager::Secret");
    // The operator enters these after the deployment.
    listed.extend(
        secrets
            .map(|(_, secret)| template.resolve(&secret["Properties"])["Name"].clone())
            .filter(|name| {
                name.as_str().is_some_and(|name| {
                    name.ends_with("-key") && !name.contains("stripe") && !name.contains("signing")
                })
            })
            .map(|name| json!({ "secret": name })),
    );
    serde_json::from_value(Value::Array(listed)).unwrap()
}

#[tokio::test]
async fn release_check_reads_every_table_and_changes_nothing() {
    let shop = Shop::new();
    shop.aws.put("orders", &json!({ "pk": { "S": "ORDER#1" }, "version": { "N": "1" } }));
    let tables =
        ["users", "sessions", "products", "stock", "orders", "payments", "payment-simulator"];
    let state = || tables.map(|table| shop.aws.items(table));
    let (before, writes) = (state(), shop.aws.writes());
    let report = release::check(&shop.aws.sdk_config(), dependencies()).await;
    assert_eq!((report.missing.as_slice(), report.ready), (&[][..], true));
    assert!(report.checked.len() > 40, "{:?}", report.checked);
    assert_eq!((state(), shop.aws.writes()), (before, writes));
}

#[tokio::test]
async fn release_check_names_what_is_missing() {
    let shop = Shop::new();
    let listed = json!([
        { "secret": "ferrocart/nothing-key" },
        { "table": { "name": "ferrocart-orders", "read": "GetItem", "key": ["pk"] } },
        { "table": { "name": "ferrocart-nothing", "read": "GetItem", "key": ["pk"] } },
        { "table": { "name": "ferrocart-sessions" } },
    ]);
    let dependencies = serde_json::from_value(listed).unwrap();
    let report = release::check(&shop.aws.sdk_config(), dependencies).await;
    assert!(!report.ready);
    assert_eq!(report.checked, ["table ferrocart-orders"]);
    assert_eq!(report.not_checked, ["table ferrocart-sessions"]);
    assert!(
        report.missing[0].starts_with("secret ferrocart/nothing-key: "),
        "{:?}",
        report.missing
    );
    assert_eq!(report.missing[1], "table ferrocart-nothing: ResourceNotFoundException");
    assert_eq!(report.missing.len(), 2);
}

/// Inserts the members of the check's event into every object of an event, and its text into every
/// text.
fn with_check_inside(event: &Value) -> Value {
    match event {
        Value::Object(members) => {
            let inside =
                members.iter().map(|(name, value)| (name.clone(), with_check_inside(value)));
            inside.chain([("check".to_owned(), json!("release"))]).collect()
        }
        Value::Array(values) => values.iter().map(with_check_inside).collect(),
        Value::String(_) => r#"{"check": "release"}"#.into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn no_request_message_or_change_reaches_the_release_check() {
    let shop = Shop::new();
    for operation in operation_names() {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = checks.clone();
        let lambda = release::answering_checks(shop.lambda(&operation), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Report::not_ready("counted") }
        });
        // What EventBridge sends is never empty.
        let mut event = match sample(&operation) {
            empty if empty == json!({}) => json!({ "source": "aws.events" }),
            event => event,
        };
        for inside in [with_check_inside(&event), {
            event["check"] = "release".into();
            event
        }] {
            let _ = lambda(Invocation::with_event(inside)).await;
            assert_eq!(checks.load(Ordering::Relaxed), 0, "{operation}");
        }
        let called = shop.aws.call(&lambda, json!({ "check": "release" })).await;
        assert_eq!((checks.load(Ordering::Relaxed), called.calls.len()), (1, 0), "{operation}");
    }
}
