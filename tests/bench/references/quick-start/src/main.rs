//! One conditional put for each key of the event, with the default features of all crates.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    run(service_fn(|event: LambdaEvent<Value>| put_all(&client, event.payload))).await
}

async fn put_all(client: &Client, event: Value) -> Result<Value, Error> {
    let table = event["table"].as_str().unwrap_or_default();
    for key in event["keys"].as_array().into_iter().flatten() {
        let key = key.as_str().unwrap_or_default().to_owned();
        client
            .put_item()
            .table_name(table)
            .item("pk", AttributeValue::S(key))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await?;
    }
    Ok(json!({}))
}
