//! The schemas and examples of the document are valid, and everything has a description.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{
    answers::is_ours,
    assembled::{dangling, document},
    read::{at, each_operation, references, resolved, text},
};
use crate::none;

/// A validator of a schema that may refer to others of the document.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::draft202012::new(&whole)
        .unwrap_or_else(|error| panic!("{schema} is not a schema: {error}"))
}

/// The first violation of a schema by a value.
pub fn wrong(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let errors: Vec<String> = validator(document, schema)
        .iter_errors(value)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

#[test]
fn schema_examples_are_valid() {
    let document = document();
    let mut violations = Vec::new();
    let mut seen = 0;
    for (name, schema) in at(&document, "/components/schemas") {
        for (place, schema) in with_examples(schema, name) {
            for example in schema["examples"].as_array().into_iter().flatten() {
                seen += 1;
                violations.extend(
                    wrong(&document, schema, example)
                        .map(|why| format!("an example of {place} is invalid: {why}")),
                );
            }
        }
    }
    assert!(seen >= 25, "the schemas have lost their examples");
    none(violations);
}

/// Every schema within a schema that has examples, with its position.
fn with_examples<'a>(schema: &'a Value, place: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    if schema.get("examples").is_some_and(Value::is_array) {
        found.push((place.to_owned(), schema));
    }
    match schema {
        Value::Object(members) => {
            let inner = members.iter().filter(|(name, _)| *name != "examples");
            found.extend(
                inner.flat_map(|(name, member)| with_examples(member, &format!("{place}/{name}"))),
            );
        }
        Value::Array(items) => {
            found.extend(items.iter().flat_map(|item| with_examples(item, place)))
        }
        _ => {}
    }
    found
}

#[test]
fn request_samples_match_their_schemas() {
    let document = document();
    let mut violations = Vec::new();
    each_operation(&document, |_, _, operation| {
        let id = text(&operation["operationId"]);
        let Some(body) = operation["requestBody"]["content"].get("application/json") else {
            return;
        };
        violations.extend(
            wrong(&document, &body["schema"], &body["example"])
                .map(|why| format!("events/{id}.json has an invalid body: {why}")),
        );
        let mut more = body["example"].clone();
        more["a_field_that_there_is_not"] = json!(1);
        if is_ours(&document, &operation["requestBody"])
            && wrong(&document, &body["schema"], &more).is_none()
        {
            violations.push(format!("{id} is described as if it took any field"));
        }
    });
    none(violations);
}

#[test]
fn problem_examples_are_valid() {
    let document = document();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let examples = at(&document, "/components/examples").iter();
    none(
        examples
            .filter_map(|(name, example)| {
                wrong(&document, &problem, &example["value"]).map(|why| format!("{name}: {why}"))
            })
            .collect(),
    );
}

/// Examples of a problem also satisfy the members that the response describes.
#[test]
fn problem_examples_have_the_documented_members() {
    let document = document();
    let mut violations = Vec::new();
    each_operation(&document, |_, _, operation| {
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let content = &resolved(&document, answer)["content"]["application/problem+json"];
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let why =
                    wrong(&document, &content["schema"], &resolved(&document, example)["value"]);
                // All broken rules share one example, whose code a particular response may not
                // list.
                violations.extend(
                    why.filter(|_| name != "broken_rule")
                        .map(|why| format!("{} {status} {name}: {why}", operation["operationId"])),
                );
            }
        }
    });
    none(violations);
}

#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let document = document();
    let mut violations: Vec<String> =
        dangling(&document).into_iter().map(|lost| format!("{lost} leads nowhere")).collect();
    let used = references(&document);
    for (kind, members) in
        at(&document, "/components").iter().filter(|(kind, _)| *kind != "securitySchemes")
    {
        for name in members.as_object().into_iter().flatten().map(|(name, _)| name) {
            let reference = format!("#/components/{kind}/{name}");
            if !used.contains(&reference) {
                violations.push(format!("nothing refers to {reference}"));
            }
        }
    }
    none(violations);
}

#[test]
fn everything_has_a_description_without_rust_terms() {
    let document = document();
    let mut violations = Vec::new();
    each_operation(&document, |_, _, operation| {
        let id = text(&operation["operationId"]);
        for member in ["summary", "description"] {
            if text(&operation[member]).is_empty() {
                violations.push(format!("{id} has no {member}: it is taken from the comments of its file and its function"));
            }
        }
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            if answer.get("$ref").is_none() && text(&answer["description"]).is_empty() {
                violations.push(format!("the {status} of {id} has no description"));
            }
        }
    });
    for description in descriptions(&document) {
        for rust in ["[`", "crate::", "::", "Option<", "&str"] {
            if description.contains(rust) {
                violations.push(format!("readers of the document do not know Rust: {description}"));
            }
        }
    }
    none(violations);
}

fn descriptions(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| match member {
                Value::String(text) if name == "description" || name == "summary" => {
                    vec![text.as_str()]
                }
                member => descriptions(member),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(descriptions).collect(),
        _ => Vec::new(),
    }
}
