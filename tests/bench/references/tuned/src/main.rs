//! One conditional put for each key of the event, one after the other, with the SDK clients of the
//! functions and nothing else of them.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

fn main() -> Result<(), Error> {
    let client = Client::new(&shared::aws::sdk_config());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        put_all(&client, event.payload)
    })))
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
