//! The contract between the services: JSON Schemas and golden samples of every message, generated
//! from the code and committed here.
//!
//! - `schemas/<type>.json`: the data of a message, generated from the structs of its emitters.
//! - `samples/<queue>/<type>.<what>.json`: whole messages as published, one for each shape that the
//!   type has had. Samples are never deleted: a message of an earlier release may wait in a queue,
//!   and every consumer must still read it.
//!
//! A field that is removed, becomes optional or changes its type breaks the consumers. That needs a
//! new version (`stock_reserved.v2`), whose consumers are deployed before its emitters.
//! `UPDATE_MESSAGES=1 cargo test -p tests --test messages` adds what is new. It never changes a
//! sample and never writes a schema that breaks the committed one.
#![allow(clippy::unwrap_used)]

mod changes;
mod consumers;
mod emitters;
mod schemas;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use changes::Sent;
use serde_json::{Value, json};
use tests::template;

/// The generated schema of every message type.
fn generated() -> BTreeMap<&'static str, Value> {
    emitters::all()
        .into_iter()
        .map(|(kind, emitters)| {
            let mut schema = schemas::document(kind, &emitters);
            tests::prose::join_lines(&mut schema);
            (kind, schema)
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the caller of the test requests an update")]
fn is_updating() -> bool {
    std::env::var("UPDATE_MESSAGES").is_ok_and(|asked| asked == "1")
}

fn folder(name: &str) -> PathBuf {
    template::root().join("tests/messages").join(name)
}

fn read(path: &PathBuf) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
}

fn write(path: &PathBuf, value: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{value:#}\n")).unwrap();
}

fn json_files(folder: &PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

/// The committed schemas by type.
fn committed() -> BTreeMap<String, Value> {
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    json_files(&folder("schemas")).iter().map(|path| (name(path), read(path))).collect()
}

/// The committed samples: the queue, the file's name, and the message.
fn samples() -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for queue in std::fs::read_dir(folder("samples")).unwrap().map(|entry| entry.unwrap().path()) {
        for path in json_files(&queue) {
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            all.push((name(&queue), name(&path), read(&path)));
        }
    }
    all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    all
}

/// Whether a later version of this type is sent.
fn has_successor(kind: &str, sent: &BTreeMap<&'static str, Value>) -> bool {
    let (name, version) = kind.rsplit_once(".v").unwrap_or((kind, "0"));
    let version: u32 = version.parse().unwrap_or(0);
    let later = |other: &&str| {
        other
            .rsplit_once(".v")
            .is_some_and(|(it, v)| it == name && v.parse::<u32>().is_ok_and(|v| v > version))
    };
    sent.keys().any(later)
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

const WRITE_IT: &str =
    "add it with UPDATE_MESSAGES=1 cargo test -p tests --test messages, and commit it";

#[test]
fn schemas_lose_no_field_and_change_no_type() {
    let (sent, known) = (generated(), committed());
    let mut violations = Vec::new();
    for (kind, schema) in &sent {
        let path = folder("schemas").join(format!("{kind}.json"));
        let breaks =
            known.get(*kind).map(|before| schemas::breaks(before, schema)).unwrap_or_default();
        for broken in &breaks {
            violations.push(format!(
                "{kind}: {broken}. Consumers would fail: keep the schema or publish a new version"
            ));
        }
        if breaks.is_empty() && known.get(*kind) != Some(schema) {
            if is_updating() {
                write(&path, schema);
            } else {
                violations.push(format!(
                    "tests/messages/schemas/{kind}.json is not what is sent: {WRITE_IT}"
                ));
            }
        }
    }
    for kind in
        known.keys().filter(|kind| !sent.contains_key(kind.as_str()) && !has_successor(kind, &sent))
    {
        violations.push(format!(
            "{kind} has no emitter and no later version: its consumers never receive it"
        ));
    }
    none(violations);
}

#[test]
fn published_messages_match_their_schemas() {
    let (schemas, mut violations, mut seen) = (generated(), Vec::new(), BTreeSet::new());
    let mut published_paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for Sent { change, message, .. } in
        changes::sent().into_iter().filter(|sent| !consumers::FOREIGN.contains(&sent.queue))
    {
        let kind = message["type"].as_str().unwrap();
        let Some((kind, schema)) = schemas.get_key_value(kind) else {
            violations.push(format!(
                "{change} sends {kind}: name its struct in tests/messages/emitters.rs"
            ));
            continue;
        };
        seen.insert(*kind);
        published_paths
            .entry(kind)
            .or_default()
            .extend(schemas::shape(&message["data"]).into_iter().map(|(path, _)| path));
        for wrong in schemas::refusals(schema, &message["data"]) {
            violations.push(format!("{change} sends an invalid {kind}: {wrong}"));
        }
        let envelope =
            json!([message["specversion"], message["dataschema"], message["datacontenttype"]]);
        assert_eq!(
            envelope,
            json!([
                "1.0",
                format!("https://ferrocart.dev/schemas/{kind}.json"),
                "application/json"
            ]),
            "{change}"
        );
        for attribute in ["id", "source", "time", "subject", "traceparent"] {
            assert!(
                message[attribute].as_str().is_some_and(|text| !text.is_empty()),
                "{change} sends a {kind} without {attribute}"
            );
        }
    }
    // Some types share a struct: a field that one type never sends, another one does.
    let is_published = |schema: &Value, path: &String| {
        let alike = |other: &&str| {
            schemas[*other]["properties"] == schema["properties"]
                && schemas[*other]["anyOf"] == schema["anyOf"]
        };
        published_paths
            .iter()
            .filter(|(other, _)| alike(other))
            .any(|(_, paths)| paths.contains(path))
    };
    for (kind, schema) in schemas.iter().filter(|(kind, _)| seen.contains(*kind)) {
        for path in schemas::paths(schema).iter().filter(|path| !is_published(schema, path)) {
            violations.push(format!("no change in tests/messages/changes.rs publishes a {kind} with {path}: add such a change or remove the field"));
        }
    }
    violations.extend(
        schemas
            .keys()
            .filter(|kind| !seen.contains(*kind))
            .map(|kind| format!("no change in tests/messages/changes.rs sends {kind}")),
    );
    none(violations);
}

#[test]
fn every_published_shape_has_an_unchanged_sample() {
    let known = samples();
    // Mails and ledger entries also differ in their template or kind.
    let shape = |queue: &str, message: &Value| {
        let data = &message["data"];
        json!([queue, message["type"], data["template"], data["kind"], schemas::shape(message)])
            .to_string()
    };
    let mut shapes: BTreeSet<String> =
        known.iter().map(|(queue, _, message)| shape(queue, message)).collect();
    let mut names: BTreeSet<(String, String)> =
        known.iter().map(|(queue, name, _)| (queue.clone(), name.clone())).collect();
    let mut violations = Vec::new();
    for Sent { change, queue, message } in changes::sent() {
        if !shapes.insert(shape(queue, &message)) {
            continue;
        }
        let kind = message["type"].as_str().unwrap();
        let file = (1..).map(|number| {
            if number == 1 {
                format!("{kind}.{change}.json")
            } else {
                format!("{kind}.{change}-{number}.json")
            }
        });
        let file =
            file.into_iter().find(|file| names.insert((queue.to_owned(), file.clone()))).unwrap();
        if is_updating() {
            write(&folder("samples").join(queue).join(file), &message);
        } else {
            violations.push(format!(
                "{change} sends a {kind} to {queue} of a shape that no sample has: {WRITE_IT}"
            ));
        }
    }
    let schemas = committed();
    for (queue, file, message) in &known {
        let kind = message["type"].as_str().unwrap_or_default();
        match schemas.get(kind) {
            _ if consumers::FOREIGN.contains(&queue.as_str()) => {}
            None => {
                violations.push(format!("samples/{queue}/{file} is a {kind}, which has no schema"))
            }
            Some(schema) => violations.extend(
                schemas::refusals(&schemas::without_required(schema), &message["data"])
                    .into_iter()
                    .map(|wrong| format!("samples/{queue}/{file} is not a valid {kind}: {wrong}")),
            ),
        }
    }
    none(violations);
}

#[test]
fn consumers_read_all_samples_and_tolerate_new_fields() {
    let (mut violations, mut fed) = (Vec::new(), BTreeSet::new());
    for (queue, file, message) in samples() {
        let Some(consumer) = consumers::of(&queue) else {
            violations
                .push(format!("tests/messages/consumers.rs has no consumer of the queue {queue}"));
            continue;
        };
        fed.insert(queue.clone());
        let kind = message["type"].as_str().unwrap();
        if let Err(refused) = consumer(kind, message["data"].clone()) {
            violations.push(format!(
                "the consumer of {queue} does not read samples/{queue}/{file}: {refused}"
            ));
        }
        if let Err(refused) = consumer(kind, schemas::with_more(&message["data"])) {
            violations.push(format!("the consumer of {queue} rejects samples/{queue}/{file} with an additional field: {refused}"));
        }
        let (name, version) = kind.rsplit_once(".v").unwrap();
        let later = format!("{name}.v{}", version.parse::<u32>().unwrap() + 100);
        if consumer(&later, message["data"].clone()).is_ok() {
            violations.push(format!(
                "the consumer of {queue} takes a {later} for something that it knows"
            ));
        }
    }
    violations.extend(
        tests::shop::queues()
            .filter(|queue| !fed.contains(*queue))
            .map(|queue| format!("there is no sample for {queue}")),
    );
    none(violations);
}

#[test]
fn every_queue_of_the_template_has_a_consumer() {
    let template = template::template();
    let names = template
        .resources("AWS::SQS::Queue")
        .map(|(_, queue)| template.resolve(&queue["Properties"]["QueueName"]));
    let names =
        names.map(|name| name.as_str().unwrap().trim_start_matches("ferrocart-").to_owned());
    let missing: Vec<String> = names
        .filter(|name| {
            !name.ends_with("-dead-letter")
                && name != "undelivered-events"
                && consumers::of(name).is_none()
        })
        .map(|name| format!("add the consumer of {name} to tests/messages/consumers.rs"))
        .collect();
    none(missing);
}

#[test]
fn breaking_changes_are_distinguished_from_compatible_ones() {
    let before = json!({
        "type": "object", "required": ["order_id", "lines"],
        "properties": {
            "order_id": { "type": "string", "pattern": "^ord_" }, "reason": { "type": ["string", "null"] },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" } },
        },
        "$defs": { "Line": { "type": "object", "required": ["quantity"], "properties": { "quantity": { "type": "integer" } } } },
    });
    let changed = |pointer: &str, value: Value| {
        let mut after = before.clone();
        *after.pointer_mut(pointer).unwrap() = value;
        schemas::breaks(&before, &after)
    };
    assert!(schemas::breaks(&before, &before).is_empty());
    let grown = json!({ "quantity": { "type": "integer" }, "shard": { "type": "integer" } });
    assert!(changed("/$defs/Line/properties", grown).is_empty(), "a field more");
    assert!(
        changed("/required", json!(["order_id", "lines", "reason"])).is_empty(),
        "always there now"
    );
    assert!(changed("/properties/reason/type", json!("string")).is_empty(), "never null now");
    let joined = json!({ "anyOf": [{ "$ref": "#/$defs/another" }, { "$ref": "#/$defs/the_first" }],
        "$defs": { "another": { "type": "object", "properties": {} }, "the_first": before, "Line": before["$defs"]["Line"] } });
    assert!(schemas::breaks(&before, &joined).is_empty(), "another service sends it too");
    for (pointer, value) in [
        (
            "/properties",
            json!({ "order_id": { "type": "string", "pattern": "^ord_" }, "lines": { "type": "array" } }),
        ),
        ("/required", json!(["order_id"])),
        ("/properties/order_id/type", json!("integer")),
        ("/properties/order_id/type", json!(["string", "null"])),
        ("/properties/order_id/pattern", json!("^[0-9]+$")),
        ("/$defs/Line/properties/quantity/type", json!("string")),
        ("/$defs/Line/required", json!([])),
    ] {
        assert!(!changed(pointer, value.clone()).is_empty(), "{pointer} becomes {value}");
    }
}
