//! The document agrees with the source file of each operation. Each call that reads the request or
//! determines the response appears in the document, and nothing appears without such a call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    answers::is_ours,
    assembled::{document, function_of},
    read::{codes, each_operation, parameters, text},
};
use crate::{Operation, all_files, none, source};

/// A call, and its evidence in the document.
struct Sign {
    /// Any of these calls.
    calls: &'static [&'static str],
    /// A description of the evidence.
    what: &'static str,
    shown: fn(&Value, &Value) -> bool,
}

const SIGNS: [Sign; 18] = [
    Sign {
        calls: &[".admin()"],
        what: "x-roles [admin], the security bearer and 403",
        shown: |document, operation| {
            operation["x-roles"] == json!(["admin"])
                && operation["security"] == json!([{ "bearer": [] }])
                && answers(document, operation, 403, &["insufficient_permissions"])
        },
    },
    Sign {
        calls: &[".admin()", ".caller()"],
        what: "the security bearer and 401",
        shown: |document, operation| {
            operation["security"] == json!([{ "bearer": [] }])
                && answers(document, operation, 401, &["invalid_token"])
        },
    },
    Sign {
        calls: &[".optional_caller()", "credentials(&request)"],
        what: "the security bearer or none",
        shown: |document, operation| {
            operation["security"] == json!([{}, { "bearer": [] }])
                && answers(document, operation, 401, &["invalid_token"])
        },
    },
    Sign {
        calls: &[".idempotency_key()"],
        what: "a required Idempotency-Key with its 400 and 422, and Idempotent-Replayed",
        shown: |document, operation| {
            has_parameter(document, operation, "header", "Idempotency-Key", Some(true))
                && answers(
                    document,
                    operation,
                    400,
                    &["idempotency_key_required", "idempotency_key_invalid"],
                )
                && answers(document, operation, 422, &["idempotency_key_reused"])
                && has_header(operation, "Idempotent-Replayed")
        },
    },
    Sign {
        calls: &[".if_match()"],
        what: "a needed If-Match with its 400, 412 and 428",
        shown: |document, operation| {
            has_parameter(document, operation, "header", "If-Match", Some(true))
                && answers(document, operation, 400, &["invalid_if_match"])
                && answers(document, operation, 412, &["precondition_failed"])
                && answers(document, operation, 428, &["precondition_required"])
        },
    },
    Sign {
        calls: &[".if_match_optional()"],
        what: "an If-Match that can be left out, with its 400 and 412",
        shown: |document, operation| {
            has_parameter(document, operation, "header", "If-Match", Some(false))
                && answers(document, operation, 400, &["invalid_if_match"])
                && answers(document, operation, 412, &["precondition_failed"])
        },
    },
    Sign {
        calls: &["header(\"if-none-match\")"],
        what: "If-None-Match and 304",
        shown: |document, operation| {
            has_parameter(document, operation, "header", "If-None-Match", Some(false))
                && has_status(operation, "304")
        },
    },
    Sign {
        calls: &["request.json()", "request.json::<", "request.body()"],
        what: "a body with its 400 and 413",
        shown: |document, operation| {
            operation.get("requestBody").is_some()
                && answers(document, operation, 400, &["malformed_body"])
                && answers(document, operation, 413, &["payload_too_large"])
        },
    },
    Sign {
        calls: &["request.json()", "request.json::<"],
        what: "a body of ours with its 400, 415 and 422",
        shown: |document, operation| {
            is_ours(document, &operation["requestBody"])
                && answers(document, operation, 400, &["malformed_json", "duplicate_field"])
                && answers(document, operation, 415, &["unsupported_media_type"])
                && answers(
                    document,
                    operation,
                    422,
                    &["required", "unknown_field", "wrong_type", "card_number_rejected"],
                )
        },
    },
    Sign {
        calls: &[".page()"],
        what: "limit and cursor with their 400 and 422",
        shown: |document, operation| {
            has_parameter(document, operation, "query", "limit", Some(false))
                && has_parameter(document, operation, "query", "cursor", Some(false))
                && answers(document, operation, 400, &["invalid_cursor"])
                && answers(document, operation, 422, &["out_of_range", "repeated_parameter"])
        },
    },
    Sign { calls: &["http::ok("], what: "200", shown: |_, operation| has_status(operation, "200") },
    Sign {
        calls: &["http::created("],
        what: "201",
        shown: |_, operation| has_status(operation, "201") && has_header(operation, "Location"),
    },
    Sign {
        calls: &["http::accepted("],
        what: "202",
        shown: |_, operation| has_status(operation, "202"),
    },
    Sign {
        calls: &["http::no_content()"],
        what: "204",
        shown: |_, operation| has_status(operation, "204"),
    },
    Sign {
        calls: &[".unless_matching("],
        what: "If-None-Match with its 304",
        shown: |document, operation| {
            has_parameter(document, operation, "header", "If-None-Match", Some(false))
                && has_status(operation, "304")
        },
    },
    Sign {
        calls: &[".etag(", ".etag_of("],
        what: "an answer with an ETag",
        shown: |_, operation| has_header(operation, "ETag"),
    },
    Sign {
        calls: &[".cached("],
        what: "an answer with Cache-Control",
        shown: |_, operation| has_header(operation, "Cache-Control"),
    },
    Sign {
        calls: &[".with_header(DEVICE_TOKEN"],
        what: "an answer with X-Device-Token",
        shown: |_, operation| has_header(operation, "X-Device-Token"),
    },
];

fn answers(document: &Value, operation: &Value, status: u16, expected: &[&str]) -> bool {
    let codes = codes(document, operation, status);
    expected.iter().all(|code| codes.contains(code))
}

fn has_status(operation: &Value, status: &str) -> bool {
    operation["responses"].get(status).is_some()
}

/// Whether a response that is not a problem has this header.
fn has_header(operation: &Value, name: &str) -> bool {
    let answers = operation["responses"].as_object().into_iter().flatten();
    answers
        .filter(|(status, _)| status.starts_with(['2', '3']))
        .any(|(_, answer)| answer["headers"].get(name).is_some())
}

fn has_parameter(
    document: &Value,
    operation: &Value,
    place: &str,
    name: &str,
    required: Option<bool>,
) -> bool {
    parameters(document, operation).iter().any(|parameter| {
        parameter["in"] == place
            && parameter["name"] == name
            && required.is_none_or(|it| parameter["required"] == it)
    })
}

/// The deployed part of an operation's file without white space: calls may span several lines.
fn deployed(operation: &Operation) -> String {
    let file = source(&format!(
        "functions/{}/src/operations/{}.rs",
        operation.service,
        operation.module()
    ));
    let code = file.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(str::split_whitespace)
        .collect()
}

/// The texts in a file between `before` and the next quote.
fn quoted_after<'a>(code: &'a str, before: &str) -> BTreeSet<&'a str> {
    code.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn documented_parameters_and_answers_match_the_code() {
    let document = document();
    let mut violations = Vec::new();
    each_operation(&document, |_, path, operation| {
        let id = text(&operation["operationId"]);
        let function = function_of(id);
        let code = deployed(&function);
        for Sign { calls, what, shown } in &SIGNS {
            let called = calls.iter().find(|call| code.contains(**call));
            match (called, shown(&document, operation)) {
                (Some(call), false) => violations
                    .push(format!("{id} calls {call}, but the document does not show {what}")),
                // A response that is built by hand has the same headers as others.
                (None, true)
                    if !(calls[0].starts_with("http::") && code.contains("Response::json(")) =>
                {
                    violations.push(format!(
                        "{id} is described with {what}, but calls none of {calls:?}"
                    ));
                }
                _ => {}
            }
        }

        let said = |place: &str| -> BTreeSet<String> {
            let of_place = parameters(&document, operation)
                .into_iter()
                .filter(|parameter| parameter["in"] == place);
            of_place
                .map(|parameter| text(&parameter["name"]).to_owned())
                .filter(|name| name != "limit" && name != "cursor")
                .collect()
        };
        let read = |names: BTreeSet<&str>| -> BTreeSet<String> {
            names.into_iter().map(str::to_owned).collect()
        };
        let in_query = read(quoted_after(&code, "request.query(\""));
        if in_query != said("query") {
            violations.push(format!(
                "{id} reads {in_query:?} from the query, but is described with {:?}",
                said("query")
            ));
        }
        let in_path: BTreeSet<String> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .map(str::to_owned)
            .collect();
        if in_path != said("path") {
            violations.push(format!(
                "the path of {id} has {in_path:?}, but it is described with {:?}",
                said("path")
            ));
        }
        let ids = quoted_after(&code, "request.path_id(\"");
        let parameters = ids
            .iter()
            .copied()
            .chain(quoted_after(&code, "request.path_parameter(\""))
            .collect::<BTreeSet<_>>();
        if !in_path.iter().all(|name| parameters.contains(name.as_str())) {
            violations
                .push(format!("the path of {id} has {in_path:?}, but it reads {parameters:?}"));
        }
        for name in &ids {
            let things = quoted_after(&code, &format!("request.path_id(\"{name}\",\""));
            for thing in things.iter().filter(|thing| {
                !answers(&document, operation, 404, &[&format!("{thing}_not_found")])
            }) {
                violations.push(format!(
                    "{id} answers {thing}_not_found, which its x-problems do not name"
                ));
            }
        }
    });
    none(violations);
}

#[test]
fn request_schemas_reject_unknown_fields() {
    let document = document();
    let mut violations = Vec::new();
    each_operation(&document, |_, _, operation| {
        for name in super::read::reachable(&document, &operation["requestBody"]) {
            let schema = &document["components"]["schemas"][name.as_str()];
            if schema.get("properties").is_some() && schema["additionalProperties"] != false {
                violations.push(format!(
                    "{name}, which is sent to {}, takes unknown fields: #[serde(deny_unknown_fields)]",
                    operation["operationId"]
                ));
            }
        }
    });
    none(violations);
}

/// A field that a response omits must not be documented as present, not even as null.
#[test]
fn omitted_fields_are_not_documented_as_present() {
    let mut violations = Vec::new();
    let shown = |file: &str, text: &str| {
        (file.contains("/operations/") || file.ends_with("/view.rs"))
            && text.contains("utoipa::ToSchema")
    };
    for (file, text) in all_files("functions", "rs").iter().filter(|(file, text)| shown(file, text))
    {
        let mut attributes = String::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with(['#', '/']) {
                attributes.push_str(line);
                continue;
            }
            let left_out =
                attributes.contains("Option::is_none") && !attributes.contains("flatten");
            if left_out && !attributes.contains("schema(nullable = false") {
                violations.push(format!(
                    "{file}:{} may be left out: give it #[cfg_attr(feature = \"api-document\", schema(nullable = false))]",
                    number + 1
                ));
            }
            attributes.clear();
        }
    }
    none(violations);
}
