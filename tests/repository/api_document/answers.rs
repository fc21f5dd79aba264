//! Responses that follow from an operation's declaration: the problems and headers that its service
//! does not list.

use std::collections::{BTreeMap, BTreeSet};

use platform::problems::{Member, PROBLEMS, ProblemType, RULE_TITLE, RULES, Rule};
use serde_json::{Map, Value, json};
use shared::problem::TYPE_BASE;

use super::read::{reachable, text};

/// Problems of every operation, from the gateway or from the common HTTP layer of the functions.
const ALWAYS: [&str; 5] = [
    "malformed_request",
    "too_many_requests",
    "internal_error",
    "temporarily_unavailable",
    "gateway_timeout",
];
/// Problems of operations that read a token, even an optional one.
const WITH_TOKEN: [&str; 2] = ["invalid_token", "insufficient_permissions"];
/// Problems of operations that read a body.
const WITH_BODY: [&str; 2] = ["malformed_body", "payload_too_large"];
/// Problems of operations that read a JSON body of this API, and not a foreign one.
const WITH_OUR_BODY: [&str; 4] =
    ["card_number_rejected", "duplicate_field", "malformed_json", "unsupported_media_type"];
/// Rules that a field of any body can break.
const RULES_OF_BODIES: [&str; 4] = ["out_of_range", "required", "unknown_field", "wrong_type"];

/// Problems that belong to no operation: an unknown path, and a method that a path does not
/// support.
pub const ANSWERS_OF_NO_OPERATION: [&str; 2] = ["method_not_allowed", "route_not_found"];

/// A code that an operation answers.
#[derive(Clone, Copy)]
enum Code {
    Problem(&'static ProblemType),
    Rule(&'static Rule),
}

impl Code {
    fn status(self) -> u16 {
        match self {
            Self::Problem(problem) => problem.status,
            Self::Rule(_) => 422,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.code,
            Self::Rule(rule) => rule.code,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.title,
            Self::Rule(_) => RULE_TITLE,
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.explanation,
            Self::Rule(rule) => rule.explanation,
        }
    }

    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Problem(problem) => problem.headers,
            Self::Rule(_) => &[],
        }
    }

    fn members(self) -> &'static [Member] {
        match self {
            Self::Problem(problem) => problem.members,
            Self::Rule(rule) => rule.members,
        }
    }

    /// The name of its example in the components: the code, with the status if the code has
    /// several. All broken rules share one example.
    fn key(self) -> String {
        match self {
            Self::Problem(problem) => {
                let of_code = PROBLEMS.iter().filter(|other| other.code == problem.code);
                if of_code.count() == 1 {
                    problem.code.to_owned()
                } else {
                    format!("{}_{}", problem.code, problem.status)
                }
            }
            Self::Rule(_) => "broken_rule".to_owned(),
        }
    }

    /// One broken rule is the example for all of them.
    fn example(self) -> Value {
        let one = match self {
            Self::Problem(_) => self,
            Self::Rule(_) => rule("out_of_range").unwrap(),
        };
        let mut document = json!({
            "type": format!("{TYPE_BASE}/{}", one.name()),
            "title": one.title(),
            "status": one.status(),
            "code": one.name(),
            "detail": one.explanation(),
            "request_id": "0f6b8f0e-7a4e-4a55-9d0c-2f3a5b1c7d9e",
        });
        match one {
            Self::Problem(problem) => {
                for member in problem.members {
                    document[member.name] = serde_json::from_str(member.example).unwrap();
                }
            }
            Self::Rule(rule) => {
                document["errors"] = json!([{ "pointer": "/items/0/quantity", "code": rule.code, "detail": rule.explanation }]);
            }
        }
        document
    }
}

/// The problem or rule of this name. A code that has several statuses is named with one of them:
/// `410 cart_ordered`.
fn problem(name: &str) -> Code {
    let (status, code) = match name.split_once(' ') {
        Some((status, code)) => (status.parse::<u16>().ok(), code),
        None => (None, name),
    };
    let mut named = PROBLEMS.iter().filter(|problem| {
        problem.code == code && status.is_none_or(|status| status == problem.status)
    });
    let known = named.next().map(Code::Problem);
    assert!(named.next().is_none(), "{name} has several statuses: name one of them");
    known.or_else(|| rule(code)).unwrap_or_else(|| {
        panic!("{name} is answered, but functions/platform/src/problems.rs does not explain it")
    })
}

fn rule(code: &str) -> Option<Code> {
    RULES.iter().find(|rule| rule.code == code).map(Code::Rule)
}

/// Adds to every operation the problems that it can answer, and to every response its headers.
pub fn add(document: &mut Value) {
    let mut examples = BTreeMap::new();
    let mut responses = BTreeMap::new();
    let before = document.clone();
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            let codes = codes_of(&before, operation);
            examples.extend(codes.iter().map(|code| {
                (code.key(), json!({ "summary": code.title(), "value": code.example() }))
            }));
            let has_key = has_parameter(operation, "Idempotency-Key");
            complete_successes(operation, has_key);
            let answers = operation["responses"].as_object_mut().unwrap();
            let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
            codes.iter().for_each(|code| by_status.entry(code.status()).or_default().push(*code));
            for (status, codes) in by_status {
                let replayed = has_key && status == 402;
                let response = response(&codes, replayed);
                // Problems with a status for which the operation describes a response of its own.
                if let Some(own) = answers.get_mut(&status.to_string()) {
                    add_problems(own, &response);
                    continue;
                }
                let response = match codes[..] {
                    [one @ Code::Problem(_)] if !replayed => {
                        let key = one.key();
                        responses.insert(key.clone(), response);
                        json!({ "$ref": format!("#/components/responses/{key}") })
                    }
                    _ => response,
                };
                answers.insert(status.to_string(), response);
            }
            operation.as_object_mut().unwrap().remove("x-problems");
        }
    }
    let mut elsewhere = Map::new();
    for code in ANSWERS_OF_NO_OPERATION.map(problem) {
        examples.insert(code.key(), json!({ "summary": code.title(), "value": code.example() }));
        responses.insert(code.key(), response(&[code], false));
        elsewhere.insert(
            code.status().to_string(),
            json!({ "$ref": format!("#/components/responses/{}", code.key()) }),
        );
    }
    document["x-answers-of-no-operation"] = elsewhere.into();
    document["components"]["examples"] = json!(examples);
    document["components"]["responses"] = json!(responses);
}

/// Adds the media type and the headers of problems to a response of another media type.
fn add_problems(own: &mut Value, problems: &Value) {
    own["content"]["application/problem+json"] =
        problems["content"]["application/problem+json"].clone();
    let headers = problems["headers"].as_object().unwrap().clone();
    own["headers"].as_object_mut().unwrap().extend(headers);
}

fn has_parameter(operation: &Value, name: &str) -> bool {
    parameters(operation).any(|parameter| parameter["name"] == name)
}

fn parameters(operation: &Value) -> impl Iterator<Item = &Value> {
    operation["parameters"].as_array().into_iter().flatten()
}

/// Whether the document describes the body's schema: a foreign body is any object.
pub fn is_ours(document: &Value, body: &Value) -> bool {
    !reachable(document, body).is_empty()
}

/// Every code that an operation can answer, sorted and without duplicates.
fn codes_of(document: &Value, operation: &Value) -> Vec<Code> {
    let mut problems: BTreeSet<&str> = ALWAYS.into();
    let mut rules: BTreeSet<&str> = BTreeSet::new();
    problems.extend(operation["x-problems"].as_array().into_iter().flatten().map(text));
    if operation["security"].as_array().is_some_and(|security| !security.is_empty()) {
        problems.extend(WITH_TOKEN);
    }
    if let Some(body) = operation.get("requestBody") {
        problems.extend(WITH_BODY);
        if is_ours(document, body) {
            problems.extend(WITH_OUR_BODY);
            problems.extend((body["required"] == true).then_some("body_required"));
            rules.extend(RULES_OF_BODIES);
        }
        for name in reachable(document, body) {
            rules.extend(refusals(&document["components"]["schemas"][name.as_str()]));
        }
    }
    for parameter in parameters(operation) {
        match (text(&parameter["in"]), text(&parameter["name"])) {
            ("header", "Idempotency-Key") => {
                problems.extend([
                    "idempotency_key_required",
                    "idempotency_key_invalid",
                    "idempotency_key_reused",
                ]);
            }
            ("header", "If-Match") => {
                problems.extend(["invalid_if_match", "precondition_failed"]);
                problems.extend((parameter["required"] == true).then_some("precondition_required"));
            }
            ("query", name) => {
                rules.extend(["repeated_parameter"]);
                rules.extend((name == "limit").then_some("out_of_range"));
                problems.extend((name == "cursor").then_some("invalid_cursor"));
            }
            _ => {}
        }
    }
    let problems = problems.into_iter().map(problem);
    let rules = rules.into_iter().map(|code| {
        rule(code).unwrap_or_else(|| panic!("a schema lists {code}, which is not a rule"))
    });
    let mut all: Vec<Code> = problems.chain(rules).collect();
    all.sort_by_key(|code| (code.status(), code.name(), code.key()));
    all.dedup_by_key(|code| (code.status(), code.name()));
    all
}

/// The rules that a schema lists as breakable, including those of nested schemas.
fn refusals(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(members) => {
            let named = members.get("x-problems").and_then(Value::as_array);
            let one_of_names =
                (named.is_none() && members.contains_key("enum")).then_some("unknown_value");
            let own = named.into_iter().flatten().map(text).chain(one_of_names);
            own.chain(members.values().flat_map(refusals)).collect()
        }
        Value::Array(items) => items.iter().flat_map(refusals).collect(),
        _ => Vec::new(),
    }
}

/// A problem response with these codes.
fn response(codes: &[Code], replayed: bool) -> Value {
    let description = match codes {
        [one] => format!("`{}`: {}. {}", one.name(), one.title(), one.explanation()),
        several => several
            .iter()
            .map(|code| format!("- `{}`: {}", code.name(), code.explanation()))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    let names: BTreeSet<&str> = codes.iter().map(|code| code.name()).collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| {
            (code.key(), json!({ "$ref": format!("#/components/examples/{}", code.key()) }))
        })
        .collect();
    let mut own = Map::from_iter([("code".to_owned(), json!({ "enum": names }))]);
    for member in codes.iter().flat_map(|code| code.members()) {
        let mut schema: Value = serde_json::from_str(member.schema).unwrap();
        schema["description"] = member.description.into();
        own.insert(member.name.to_owned(), schema);
    }
    let mut headers = BTreeSet::from(["X-Request-Id"]);
    headers.extend(codes.iter().flat_map(|code| code.headers()));
    headers.extend(replayed.then_some("Idempotent-Replayed"));
    json!({
        "description": description,
        "headers": header_references(headers),
        "content": { "application/problem+json": {
            "schema": { "allOf": [{ "$ref": "#/components/schemas/Problem" }, { "properties": own }] },
            "examples": examples,
        } },
    })
}

/// The members of a problem response, apart from those that every problem has.
pub fn own_members(answer: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let own = &answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
    own.as_object().into_iter().flatten().filter(|(name, _)| *name != "code")
}

/// Adds the implied headers of successful responses: the request id, the location of a created
/// resource, and the mark of an idempotent replay.
fn complete_successes(operation: &mut Value, has_key: bool) {
    for (status, answer) in operation["responses"].as_object_mut().unwrap() {
        let own: Vec<String> = answer["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let mut names: BTreeSet<&str> = own.iter().map(String::as_str).collect();
        names.extend(["X-Request-Id", "X-Process-Time"]);
        names.extend((status == "201").then_some("Location"));
        names.extend(has_key.then_some("Idempotent-Replayed"));
        answer["headers"] = header_references(names);
    }
}

fn header_references<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let known = headers();
    let reference = |name: &str| {
        assert!(
            known.get(name).is_some(),
            "an answer has the header {name}, which tests/repository/api_document/answers.rs does not explain"
        );
        (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    names.into_iter().map(reference).collect::<Map<_, _>>().into()
}

/// Every header of a response that is relevant for clients.
pub fn headers() -> Value {
    let header = |required: bool, about: &str, example: &str| json!({ "description": about, "required": required, "schema": { "type": "string", "examples": [example] } });
    json!({
        "Accept": header(false, "The media types that the operation accepts.", "application/json"),
        "Accept-Encoding": header(false, "The content coding that the operation accepts, if the request had another one.", "identity"),
        "Accept-Patch": header(false, "The media types that `PATCH` accepts (RFC 5789).", "application/json, application/merge-patch+json"),
        "Allow": header(true, "The methods of the path (RFC 9110, section 10.2.1).", "DELETE, GET, HEAD, OPTIONS, PUT"),
        "Cache-Control": header(true, "How long the response may be cached. Responses without this header in the document are `no-store`.", "public, max-age=30"),
        "ETag": header(true, "The version of the resource in the response.", "\"3\""),
        "Idempotent-Replayed": header(false, "`true` if this is the response to an earlier request with the same key.", "true"),
        "Location": header(true, "The address of the created resource, relative to that of the request.", "orders/ord_0199c2a8-0000-7000-8000-0000000000f1"),
        "Retry-After": header(false, "The seconds after which the same request can succeed.", "1"),
        "WWW-Authenticate": header(true, "The kind of token that the operation requires (RFC 6750).", "Bearer error=\"invalid_token\""),
        "X-Device-Token": header(
            false,
            "Send it at the next login: attempts of known devices are counted separately, so strangers who guess the password do not lock out the owner.",
            "dev_0199c2a8-0000-7000-8000-00000000000d.1763715600.MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
        ),
        "X-Process-Time": header(true, "The duration of the function in milliseconds.", "12"),
        "X-Request-Id": header(true, "The id of the request.", "0f6b8f0e-7a4e-4a55-9d0c-2f3a5b1c7d9e"),
    })
}
