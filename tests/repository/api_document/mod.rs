//! The API document: `functions/platform/openapi.json` matches the services' declarations, and
//! those match the code.
//!
//! [`assembled`] builds the document; [`answers`] adds the common responses. [`deprecated`] marks
//! deprecated operations. [`routes`], [`requests`], [`problems`], [`patterns`] and [`examples`]
//! check it against the template, the source files, the list of problems, the text parsers, and
//! itself.
//!
//! [`openapi30`] derives `openapi-3.0.json` from it.
//!
//! `UPDATE_API_DOCUMENT=1 cargo test -p tests --test repository api_document` rewrites both.

mod answers;
mod assembled;
mod deprecated;
mod examples;
mod openapi30;
mod patterns;
mod problems;
mod read;
mod requests;
mod routes;

use serde_json::Value;
use tests::template;

#[test]
fn committed_document_matches_the_services() {
    let document = assembled::document();
    matches_committed("openapi.json", &document);
    matches_committed("openapi-3.0.json", &openapi30::downgraded(&document));
}

/// # Panics
/// When the committed file is not `document`.
fn matches_committed(file: &str, document: &Value) {
    let path = template::root().join("functions/platform").join(file);
    let text = format!("{}\n", serde_json::to_string_pretty(&sorted(document)).unwrap());
    if asked_to_update() {
        std::fs::write(&path, &text).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let line = text
        .lines()
        .zip(before.lines())
        .position(|(new, old)| new != old)
        .map_or(0, |line| line + 1);
    assert!(
        text == before,
        "functions/platform/{file} does not match the operations (first at line {line}): run `make template`, and read what has changed"
    );
}

#[expect(clippy::disallowed_methods, reason = "the caller of the test requests an update")]
fn asked_to_update() -> bool {
    std::env::var("UPDATE_API_DOCUMENT").is_ok_and(|asked| asked == "1")
}

/// Sorts the members of every object by name: the order depends on a `serde_json` feature that
/// other crates may enable.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.iter().map(|(name, member)| (name.clone(), sorted(member))).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        leaf => leaf.clone(),
    }
}
