//! The stack behind the API, as operators and tests see it: functions, tables, queues and mails.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use super::Shop;
use crate::target::{self, Need};

impl Shop {
    /// Calls a function directly, as a schedule or an operator does.
    pub async fn invoke(&self, operation: &str, event: &Value) -> Value {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        let call = self
            .lambda
            .invoke()
            .function_name(format!("{}-{operation}", self.stack))
            .qualifier("live")
            .payload(payload);
        let answer = call
            .send()
            .await
            .unwrap_or_else(|error| panic!("{operation}: {}", shared::telemetry::causes(&error)));
        let text = answer
            .payload
            .map(|blob| String::from_utf8(blob.into_inner()).unwrap())
            .unwrap_or_default();
        assert!(answer.function_error.is_none(), "{operation} failed: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Runs the sweeps that the schedules run every minute.
    pub async fn sweep(&self) {
        self.invoke("resume-orders", &json!({})).await;
        self.invoke("reconcile-payments", &json!({})).await;
    }

    /// Closes the circuit breaker, which would otherwise take half a minute.
    pub async fn ask_provider_again(&self) {
        let key = |text: &str| AttributeValue::S(text.to_owned());
        let call = self.dynamodb.delete_item().table_name(self.table("payments"));
        call.key("pk", key("BREAKER#simulated")).key("sk", key("BREAKER")).send().await.unwrap();
    }

    /// Runs an operator tool against this stack. Returns its exit status and output.
    pub async fn operate(&self, tool: &str, arguments: &[&str]) -> (i32, String) {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = std::process::Command::new("python3");
        command
            .arg(root.join("localstack").join(tool))
            .args(arguments)
            .args(["--stack", &self.stack]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap_or(-1), said)
    }

    pub async fn item(&self, table: &str, pk: &str) -> Option<HashMap<String, AttributeValue>> {
        let call = self
            .dynamodb
            .get_item()
            .table_name(self.table(table))
            .key("pk", AttributeValue::S(pk.to_owned()))
            .consistent_read(true);
        call.send().await.unwrap().item
    }

    /// All items of a table: for counts that no route returns.
    pub async fn scan(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let pages = self
            .dynamodb
            .scan()
            .table_name(self.table(table))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    #[track_caller]
    pub fn table(&self, table: &str) -> String {
        self.require(Need::Tables);
        format!("{}-{table}", self.stack)
    }

    pub async fn queue_url(&self, queue: &str) -> String {
        self.require(Need::Tables);
        let name = format!("{}-{queue}", self.stack);
        self.sqs.get_queue_url().queue_name(&name).send().await.unwrap().queue_url.unwrap()
    }

    /// The simulated provider's charges and refunds for an order.
    pub async fn provider_records(&self, order: &str) -> ProviderRecords {
        let mut provider_records = ProviderRecords::default();
        for item in self.scan("payment-simulator").await {
            let text = |name: &str| {
                item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
            };
            let amount = || {
                item.get("amount")
                    .and_then(|value| value.as_n().ok())
                    .and_then(|number| number.parse::<i64>().ok())
                    .unwrap_or(0)
            };
            if text("order_id") != order {
                continue;
            }
            match text("pk").split('#').next() {
                Some("CHARGE") => {
                    provider_records.charges += 1;
                    provider_records.charged += amount();
                }
                Some("REFUND") => provider_records.refunded += amount(),
                _ => {}
            }
        }
        provider_records
    }

    /// Expires an order now, half an hour early.
    pub async fn expire(&self, order: &str) {
        let change = self
            .dynamodb
            .update_item()
            .table_name(self.table("orders"))
            .key("pk", AttributeValue::S(format!("ORDER#{order}")));
        let change = change.update_expression(
            "SET expires_at = :past, next_check_at = :past, version = version + :one",
        );
        let change = change
            .expression_attribute_values(
                ":past",
                AttributeValue::S("2020-01-01T00:00:00.000Z".to_owned()),
            )
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        change.send().await.unwrap();
    }

    /// The subjects of the mails to this address about this order.
    pub async fn mails(&self, email: &str, order: &str) -> Vec<String> {
        let ours =
            self.mails_to(email).await.into_iter().filter(|mail| mail.to_string().contains(order));
        ours.map(|mail| mail["Subject"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The mails to this address that the emulator received.
    pub async fn mails_to(&self, email: &str) -> Vec<Value> {
        self.require(Need::Mails);
        let catcher = target::mail_catcher().unwrap();
        let caught: Value = self.http.get(catcher).send().await.unwrap().json().await.unwrap();
        let mails = caught["messages"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|mails| mails.as_array().unwrap());
        mails.filter(|mail| mail["To"].to_string().contains(email)).cloned().collect()
    }
}

/// The simulated provider's records of one order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProviderRecords {
    pub charges: u32,
    pub charged: i64,
    pub refunded: i64,
}
