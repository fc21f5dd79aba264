//! Schemas: generated from structs, compared with each other, and validated against messages.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use shared::api_document::utoipa::{
    PartialSchema, ToSchema, openapi::RefOr, openapi::schema::Schema,
};

/// The data of a message type as one service sends it.
pub struct Emitted {
    pub service: &'static str,
    schema: Value,
    parts: Vec<(String, Value)>,
}

/// The schema of `T` on the wire.
pub fn of<T: ToSchema + PartialSchema>(service: &'static str) -> Emitted {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut parts);
    let value = |schema: &RefOr<Schema>| serde_json::to_value(schema).unwrap();
    Emitted {
        service,
        schema: value(&T::schema()),
        parts: parts.iter().map(|(name, schema)| (name.clone(), value(schema))).collect(),
    }
}

/// The schema of a message type: its emitter's, or `anyOf` those of several emitters.
pub fn document(kind: &str, emitters: &[Emitted]) -> Value {
    let mut definitions = Map::new();
    let mut shapes = Vec::new();
    for emitter in emitters {
        let prefix =
            if emitters.len() == 1 { String::new() } else { format!("{}-", emitter.service) };
        for (name, schema) in &emitter.parts {
            definitions.insert(format!("{prefix}{name}"), tidied(schema, &prefix));
        }
        shapes.push((emitter.service, tidied(&emitter.schema, &prefix)));
    }
    let mut document = match shapes.as_slice() {
        [(_, one)] => one.clone(),
        several => {
            json!({ "anyOf": several.iter().map(|(service, _)| json!({ "$ref": format!("#/$defs/{service}") })).collect::<Vec<_>>() })
        }
    };
    if shapes.len() > 1 {
        definitions
            .extend(shapes.into_iter().map(|(service, schema)| (service.to_owned(), schema)));
    }
    document["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    document["$id"] = json!(format!("https://ferrocart.dev/schemas/{kind}.json"));
    document["title"] = json!(kind);
    if !definitions.is_empty() {
        document["$defs"] = Value::Object(definitions);
    }
    document
}

/// Rewrites references for JSON Schema, and removes the members that only the API document uses.
fn tidied(schema: &Value, prefix: &str) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter(|(name, _)| !["x-problems", "examples"].contains(&name.as_str()));
            let tidy = |(name, value): (&String, &Value)| match (name.as_str(), value.as_str()) {
                ("$ref", Some(target)) => (
                    name.clone(),
                    json!(target.replace("#/components/schemas/", &format!("#/$defs/{prefix}"))),
                ),
                _ => (name.clone(), tidied(value, prefix)),
            };
            kept.map(tidy).collect()
        }
        Value::Array(values) => values.iter().map(|value| tidied(value, prefix)).collect(),
        other => other.clone(),
    }
}

/// The incompatibilities of `after` for a consumer of `before`.
pub fn breaks(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("the message", (before, before), (after, after), &mut found);
    found
}

/// A schema, and the document that its references point into.
type Placed<'a> = (&'a Value, &'a Value);

fn resolved<'a>((schema, root): Placed<'a>) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target
        .and_then(|pointer| root.pointer(pointer))
        .map_or(schema, |schema| resolved((schema, root)))
}

fn compare(place: &str, before: Placed, after: Placed, found: &mut Vec<String>) {
    let (old, new) = (resolved(before), resolved(after));
    // Several services may send the type now: the old schema must match one of theirs.
    if let (true, Some(branches)) = (old["properties"].is_object(), new["anyOf"].as_array()) {
        let of_each = branches.iter().map(|branch| {
            let mut found = Vec::new();
            compare(place, before, (branch, after.1), &mut found);
            found
        });
        found.extend(of_each.min_by_key(Vec::len).unwrap_or_default());
        return;
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        let (Some(branches), now) =
            (old[list].as_array(), new[list].as_array().cloned().unwrap_or_default())
        else {
            continue;
        };
        for (number, branch) in branches.iter().enumerate() {
            let name = |branch: &Value| branch["$ref"].as_str().map(str::to_owned);
            let same = now.iter().enumerate().find(|(at, other)| match name(branch) {
                Some(target) => name(other) == Some(target),
                None => *at == number,
            });
            match same {
                Some((_, other)) => compare(place, (branch, before.1), (other, after.1), found),
                None => found.push(format!(
                    "{place} is not {} any more",
                    name(branch).unwrap_or_else(|| format!("variant {number}"))
                )),
            }
        }
    }
    if let Some(widened) =
        types(new).difference(&types(old)).next().filter(|_| !types(old).is_empty())
    {
        found.push(format!("{place} was {:?} and may be {widened} now", types(old)));
    }
    for rule in ["pattern", "format", "const"] {
        if !old[rule].is_null() && old[rule] != new[rule] {
            found.push(format!("{place} had the {rule} {}, and has {} now", old[rule], new[rule]));
        }
    }
    for (name, schema) in old["properties"].as_object().into_iter().flatten() {
        match new["properties"].get(name) {
            Some(now) => {
                compare(&format!("{place}.{name}"), (schema, before.1), (now, after.1), found)
            }
            None => found.push(format!("{place}.{name} is gone")),
        }
    }
    for name in names(&old["required"]).difference(&names(&new["required"])) {
        found.push(format!("{place}.{name} may be missing now"));
    }
    if old["items"].is_object() {
        compare(&format!("{place}[]"), (&old["items"], before.1), (&new["items"], after.1), found);
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    match list {
        Value::String(one) => BTreeSet::from([one.clone()]),
        Value::Array(several) => {
            several.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn types(schema: &Value) -> BTreeSet<String> {
    names(&schema["type"])
}

/// The violations of a schema by data, where unlisted fields are violations too.
pub fn refusals(schema: &Value, data: &Value) -> Vec<String> {
    let closed = closed(schema);
    let validator = jsonschema::options().build(&closed).unwrap();
    validator
        .iter_errors(data)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect()
}

/// Forbids unlisted fields. Schemas are open for consumers, which ignore unknown fields, but our
/// own messages may not contain any.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut closed: Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), self::closed(value))).collect();
            if members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("allOf")
            {
                closed.insert("additionalProperties".to_owned(), json!(false));
            }
            Value::Object(closed)
        }
        Value::Array(values) => values.iter().map(closed).collect(),
        other => other.clone(),
    }
}

/// The schema without required fields: messages of an earlier release may lack fields that are
/// required now.
pub fn without_required(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(name, value)| *name != "required" || !value.is_array())
            .map(|(name, value)| (name.clone(), without_required(value)))
            .collect(),
        Value::Array(values) => values.iter().map(without_required).collect(),
        other => other.clone(),
    }
}

/// The paths of all fields in this schema.
pub fn paths(schema: &Value) -> BTreeSet<String> {
    fn walk(place: &str, placed: Placed, found: &mut BTreeSet<String>) {
        let schema = resolved(placed);
        for branch in ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter_map(|list| schema[list].as_array())
            .flatten()
        {
            walk(place, (branch, placed.1), found);
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            walk(&place, (inner, placed.1), found);
            found.insert(place);
        }
        if schema["items"].is_object() {
            walk(&format!("{place}[]"), (&schema["items"], placed.1), found);
        }
    }
    let mut found = BTreeSet::new();
    walk("", (schema, schema), &mut found);
    found
}

/// The paths of all fields in this value, each with its type.
pub fn shape(value: &Value) -> BTreeSet<(String, &'static str)> {
    fn walk(place: &str, value: &Value, found: &mut BTreeSet<(String, &'static str)>) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !place.is_empty() {
            found.insert((place.to_owned(), kind));
        }
        for (name, inner) in value.as_object().into_iter().flatten() {
            walk(&format!("{place}.{name}"), inner, found);
        }
        for inner in value.as_array().into_iter().flatten() {
            walk(&format!("{place}[]"), inner, found);
        }
    }
    let mut found = BTreeSet::new();
    walk("", value, &mut found);
    found
}

/// Adds a field to each object except money. Money stays an amount and a currency; an extension is
/// a new type.
pub fn with_more(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.keys().eq(["amount", "currency"]) => value.clone(),
        Value::Object(members) => {
            let mut more: Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), with_more(value))).collect();
            more.insert("a_field_of_a_later_release".to_owned(), json!({ "new": true }));
            Value::Object(more)
        }
        Value::Array(values) => values.iter().map(with_more).collect(),
        other => other.clone(),
    }
}
