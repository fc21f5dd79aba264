//! The API document in OpenAPI 3.0, for tools that do not read 3.1. It is derived from the 3.1
//! document and says the same, as far as 3.0 can say it.
//!
//! Source of the differences: "Migrating from OpenAPI 3.0 to 3.1.0", OpenAPI Initiative blog,
//! 2021-02-16.

use serde_json::{Map, Value, json};

/// The document of version 3.0.3 that describes the same API.
pub fn downgraded(document: &Value) -> Value {
    let mut document = document.clone();
    document["openapi"] = "3.0.3".into();
    // 3.0 has no SPDX identifiers.
    if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
        license.remove("identifier");
    }
    rewrite(&mut document);
    document
}

/// Rewrites every schema of a part of the document. Objects that are not schemas have none of the
/// members that are rewritten.
fn rewrite(part: &mut Value) {
    match part {
        Value::Object(members) => {
            members.values_mut().for_each(rewrite);
            nullable_type(members);
            nullable_alternative(members);
            first_example(members);
            sole_reference(members);
            members.remove("propertyNames");
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        _ => {}
    }
}

/// `type: [string, null]` is `type: string` and `nullable: true`.
fn nullable_type(schema: &mut Map<String, Value>) {
    let Some(Value::Array(kinds)) = schema.get("type") else { return };
    let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
    let [kind] = &kinds[..] else { panic!("3.0 has one type for each schema: {schema:?}") };
    schema.insert("type".to_owned(), kind.clone());
    schema.insert("nullable".to_owned(), true.into());
}

/// `oneOf: [X, {type: null}]` is `allOf: [X]` and `nullable: true`.
fn nullable_alternative(schema: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = schema.get("oneOf") else { return };
    let others: Vec<Value> =
        alternatives.iter().filter(|each| each["type"] != "null").cloned().collect();
    if others.len() == alternatives.len() {
        return;
    }
    schema.remove("oneOf");
    schema.insert(if others.len() == 1 { "allOf" } else { "oneOf" }.to_owned(), json!(others));
    schema.insert("nullable".to_owned(), true.into());
}

/// A schema has one example, and not a list of them.
fn first_example(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(examples)) = schema.get("examples") {
        let first = examples.first().cloned();
        schema.remove("examples");
        schema.extend(first.map(|example| ("example".to_owned(), example)));
    }
}

/// What is beside a `$ref` counts only where the reference is a part of `allOf`.
fn sole_reference(schema: &mut Map<String, Value>) {
    if schema.len() > 1
        && let Some(Value::String(reference)) = schema.get("$ref")
    {
        let reference = json!([{ "$ref": reference }]);
        schema.remove("$ref");
        schema.insert("allOf".to_owned(), reference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_3_1_become_schemas_of_3_0() {
        let before = json!({ "openapi": "3.1.0", "info": { "license": { "name": "MIT", "identifier": "MIT" } }, "components": { "schemas": {
            "Text": { "type": ["string", "null"], "examples": ["a", "b"] },
            "Line": { "oneOf": [{ "$ref": "#/a", "description": "A line." }, { "type": "null" }] },
            "Names": { "type": "object", "propertyNames": { "type": "string" }, "additionalProperties": { "$ref": "#/a" } },
            "Either": { "oneOf": [{ "$ref": "#/a" }, { "$ref": "#/b" }] },
        } } });
        let after = json!({ "openapi": "3.0.3", "info": { "license": { "name": "MIT" } }, "components": { "schemas": {
            "Text": { "type": "string", "nullable": true, "example": "a" },
            "Line": { "allOf": [{ "allOf": [{ "$ref": "#/a" }], "description": "A line." }], "nullable": true },
            "Names": { "type": "object", "additionalProperties": { "$ref": "#/a" } },
            "Either": { "oneOf": [{ "$ref": "#/a" }, { "$ref": "#/b" }] },
        } } });
        assert_eq!(downgraded(&before), after);
    }
}
