//! The in-memory DynamoDB against dynoxide: the same requests get the same answers, and the same
//! records in the streams.

mod reference;
mod requests;

use serde_json::{Value, json};
use tests::{dynamodb::DynamoDb, template::template};

use self::{reference::Dynoxide, requests::Requests};

/// Sequences of requests, each over empty tables.
const SEQUENCES: u64 = 6;
/// Requests of a sequence.
const REQUESTS: usize = 1000;

#[test]
fn random_requests_are_answered_like_dynoxide() {
    let template = template();
    for seed in 0..SEQUENCES {
        let (tables, reference) = (DynamoDb::new(template), Dynoxide::new(template));
        let mut requests = Requests::new(template, seed);
        for number in 0..REQUESTS {
            let (operation, mut request) = requests.next();
            let name = format!("seed {seed}, request {number}");
            // A query continues until its last page.
            loop {
                let answer = answer_of_both(&tables, &reference, operation, &request, &name);
                let last = &answer["LastEvaluatedKey"];
                // dynoxide begins again where the key has only a partition key.
                if last.as_object().is_none_or(|key| key.len() == 1) {
                    break;
                }
                request["ExclusiveStartKey"] = last.clone();
            }
        }
        for (table, request) in template.tables() {
            if request["StreamSpecification"].is_object() {
                let (ours, _) = tables.changes(&table, None);
                let ours: Vec<Value> = ours.into_iter().map(essence).collect();
                let theirs = reference.changes(&table).into_iter().map(essence);
                let theirs: Vec<Value> = theirs.filter(|record| record[2] != record[3]).collect();
                assert_eq!(ours, theirs, "seed {seed}, the stream of {table}");
            }
        }
    }
}

#[test]
fn large_answers_and_repeated_transactions_are_those_of_dynoxide() {
    let (tables, reference) = (DynamoDb::new(template()), Dynoxide::new(template()));
    let both = |operation: &str, request: Value| {
        answer_of_both(&tables, &reference, operation, &request, "")
    };
    let key = |number: usize| json!({ "pk": { "S": "a" }, "sk": { "S": format!("{number:03}") } });
    for number in 0..60 {
        let mut item = key(number);
        item["text"] = json!({ "S": "x".repeat(300 * 1024) });
        both("PutItem", json!({ "TableName": "ferrocart-ledger", "Item": item }));
    }
    for is_forward in [true, false] {
        let mut request = json!({
            "TableName": "ferrocart-ledger",
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": { "#pk": "pk" },
            "ExpressionAttributeValues": { ":pk": { "S": "a" } },
            "ScanIndexForward": is_forward,
        });
        let mut pages = 0;
        loop {
            let page = both("Query", request.clone());
            pages += 1;
            if page["LastEvaluatedKey"].is_null() {
                break;
            }
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"].clone();
        }
        assert_eq!(pages, 20, "three items of 300 KB are on a page");
    }
    let batch = |keys: usize| {
        let keys: Vec<Value> = (0..keys).map(key).collect();
        json!({ "RequestItems": { "ferrocart-ledger": { "Keys": keys, "ConsistentRead": true } } })
    };
    let rest = both("BatchGetItem", batch(60));
    assert_eq!(rest["UnprocessedKeys"]["ferrocart-ledger"]["Keys"].as_array().unwrap().len(), 6);
    both("BatchGetItem", batch(100));
    both("BatchGetItem", batch(101));

    let transaction = |number: &str| {
        let added = json!({ "Update": {
            "TableName": "ferrocart-orders",
            "Key": { "pk": { "S": "a" } },
            "UpdateExpression": "ADD #number :number",
            "ExpressionAttributeNames": { "#number": "quantity" },
            "ExpressionAttributeValues": { ":number": { "N": number } },
        } });
        json!({ "TransactItems": [added], "ClientRequestToken": "token" })
    };
    for number in ["1", "1", "2"] {
        both("TransactWriteItems", transaction(number));
    }
    let read = json!({ "TableName": "ferrocart-orders", "Key": { "pk": { "S": "a" } } });
    assert_eq!(both("GetItem", read)["Item"]["quantity"]["N"], "1");
}

/// The answer to a request, which must be the same from both.
fn answer_of_both(
    tables: &DynamoDb,
    reference: &Dynoxide,
    operation: &str,
    request: &Value,
    name: &str,
) -> Value {
    let body = request.to_string();
    let ours = answer(operation, tables.call(operation, &body));
    let theirs = answer(operation, reference.call(operation, &body));
    let shown = |answer: &(u16, Value)| {
        format!("{} {}", answer.0, answer.1.to_string().replace(&"x".repeat(1000), ""))
    };
    assert!(
        ours == theirs,
        "{name}: {operation} {request:#}\n  ours: {}\ntheirs: {}",
        shown(&ours),
        shown(&theirs)
    );
    ours.1
}

/// An answer without the introduction of its message, which differs between regions, and without
/// the part that quotes the request. Messages about malformed key conditions are not compared:
/// dynoxide's are its own.
fn answer(operation: &str, (status, body): (u16, String)) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let reasons = body["CancellationReasons"].as_array_mut().into_iter().flatten();
    reasons.for_each(without_quotes);
    without_quotes(&mut body);
    if operation == "Query" {
        // dynoxide counts the item that no longer fits on the page.
        body["ScannedCount"] = Value::Null;
        if body["message"].is_string() {
            body["message"] = "of a query".into();
        }
    }
    (status, body)
}

fn without_quotes(body: &mut Value) {
    for member in ["message", "Message"] {
        if let Some(text) = body[member].as_str() {
            let text = text.strip_prefix("1 validation error detected: ").unwrap_or(text);
            let text = text.split("; lower bound operand").next().unwrap_or_default();
            let shortened = match text.rsplit_once("' at 'transactItems'") {
                Some((_, rule)) => format!("transactItems{rule}"),
                None => text.replace("Value at 'transactItems'", "transactItems"),
            };
            body[member] = shortened.into();
        }
    }
}

/// What a publisher reads: the kind, the keys and both images.
fn essence(record: Value) -> Value {
    let change = &record["dynamodb"];
    json!([record["eventName"], change["Keys"], change["OldImage"], change["NewImage"]])
}
