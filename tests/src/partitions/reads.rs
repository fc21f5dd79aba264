//! The read units of a request, as dynoxide computes them: half a unit per started 4 KB, twice as much
//! for a consistent read ("Read/write capacity mode", Amazon DynamoDB Developer Guide). A query is
//! charged for the sum of the items that it reads, a batch for each item.

use serde_json::Value;

use crate::dynamodb::DynamoDb;

const READS: [&str; 5] = ["GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"];

/// Executes a request that writes nothing. Returns its read units, and the status and the body.
pub(super) fn carry_out(
    database: &DynamoDb,
    operation: &str,
    request: &Value,
    body: &str,
) -> (f64, (u16, String)) {
    if !READS.contains(&operation) {
        return (0.0, database.call(operation, body));
    }
    let mut request = request.clone();
    request["ReturnConsumedCapacity"] = "TOTAL".into();
    let (status, answer) = database.call(operation, &request.to_string());
    let consumed = serde_json::from_str::<Value>(&answer).unwrap_or_default();
    let units = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
    let read_units = match &consumed["ConsumedCapacity"] {
        // Operations on several tables report each of them.
        Value::Array(tables) => tables.iter().map(units).sum(),
        table => units(table),
    };
    (read_units, (status, answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_are_charged_by_size_and_consistency() {
        let database = DynamoDb::new(crate::template::template());
        let (table, key) = ("ferrocart-stock", json!({ "pk": { "S": "a" } }));
        let item = json!({ "pk": { "S": "a" }, "text": { "S": "long".repeat(1200) } });
        let put = json!({ "TableName": table, "Item": item });
        let get = |is_consistent: bool| json!({ "TableName": table, "Key": key, "ConsistentRead": is_consistent });
        let keys = json!({ table: { "Keys": [key, { "pk": { "S": "absent" } }] } });
        let batch = json!({ "RequestItems": keys });
        for (operation, request, expected) in [
            ("DescribeTable", json!({ "TableName": table }), "0"),
            ("GetItem", get(false), "0.5"),
            ("PutItem", put, "0"),
            ("GetItem", get(false), "1"),
            ("GetItem", get(true), "2"),
            ("BatchGetItem", batch, "1.5"),
        ] {
            let (units, (status, body)) =
                carry_out(&database, operation, &request, &request.to_string());
            assert_eq!(
                (status, units.to_string().as_str()),
                (200, expected),
                "{operation}: {body}"
            );
        }
    }
}
