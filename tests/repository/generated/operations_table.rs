//! The table of operations in `functions/README.md`.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::Value;
use shared::operation::{Operation, Trigger};
use tests::shop;

use crate::source;

/// The table of all operations: name, trigger, callers, and the first line of the source file.
pub fn operations_table() -> String {
    let document: Value = serde_json::from_str(&source("functions/platform/openapi.json")).unwrap();
    let described = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values());
    let roles: BTreeMap<&str, String> = described
        .map(|operation| {
            let roles = operation["x-roles"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>();
            (operation["operationId"].as_str().unwrap_or_default(), roles.join(", "))
        })
        .collect();
    let mut text =
        String::from("\n| operation | called by | role | what it does |\n|---|---|---|---|\n");
    for operation in shop::operations() {
        let Operation { service, module, trigger, .. } = operation;
        let called = match trigger {
            Trigger::Http(routes) | Trigger::Pages(routes) => routes
                .iter()
                .map(|route| format!("`{} {}`", route.method, route.path))
                .collect::<Vec<_>>()
                .join(", "),
            Trigger::Queue(queue) => format!("queue `{queue}`"),
            Trigger::Stream { table, .. } => format!("stream of `{table}`"),
            Trigger::Invoke => "invocation".to_owned(),
        };
        let file = format!("{service}/src/operations/{module}.rs");
        let code = source(&format!("functions/{file}"));
        let does = purpose(&code);
        let role = roles.get(operation.name().as_str()).cloned().unwrap_or_default();
        writeln!(text, "| [`{}`]({file}) | {called} | {role} | {does} |", operation.name())
            .unwrap();
    }
    text.push('\n');
    text
}

/// The first sentence of a file's doc comment, after its trigger.
fn purpose(code: &str) -> String {
    let lines = code.lines().map_while(|line| line.strip_prefix("//! "));
    let comment = lines.collect::<Vec<_>>().join(" ");
    let (_, purpose) = comment.split_once(": ").unwrap_or_default();
    let (sentence, _) = purpose.split_once(". ").unwrap_or((purpose, ""));
    sentence.trim_end_matches('.').to_owned()
}
