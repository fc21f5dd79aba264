//! Helpers to read the document.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The text of a value; empty if absent.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `create_order` as the document has it: `create-order`.
pub fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

/// The object at a pointer.
pub fn at<'a>(document: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    document
        .pointer(pointer)
        .and_then(Value::as_object)
        .unwrap_or_else(|| panic!("the document has no object at {pointer}"))
}

/// Visits every operation with its method and its path.
pub fn each_operation(document: &Value, mut see: impl FnMut(&str, &str, &Value)) {
    for (path, item) in at(document, "/paths") {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                see(&method.to_uppercase(), path, operation);
            }
        }
    }
}

/// Changes every object within a value, the inner ones first.
pub fn for_every_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(|member| for_every_object(member, change));
            change(members);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| for_every_object(item, change)),
        _ => {}
    }
}

/// Every `$ref` within a value.
pub fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| match member {
                Value::String(reference) if name == "$ref" => vec![reference.clone()],
                member => references(member),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The names of all schemas that a value refers to, directly or indirectly.
pub fn reachable(document: &Value, value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = references(value);
    while let Some(reference) = open.pop() {
        let Some(name) = reference.strip_prefix("#/components/schemas/") else { continue };
        if found.insert(name.to_owned()) {
            open.extend(references(&document["components"]["schemas"][name]));
        }
    }
    found
}

/// Resolves a reference; returns any other value unchanged.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let referred = value["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    referred.unwrap_or(value)
}

/// The parameters of an operation, without those of all paths.
pub fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| resolved(document, parameter))
        .collect()
}

/// The codes that an operation answers with a status.
pub fn codes<'a>(document: &'a Value, operation: &'a Value, status: u16) -> Vec<&'a str> {
    let answer = resolved(document, &operation["responses"][status.to_string()]);
    let codes = &answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
        ["code"]["enum"];
    codes.as_array().into_iter().flatten().map(text).collect()
}
