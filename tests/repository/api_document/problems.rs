//! The list of problems explains exactly the problems that the code and the gateway answer.

use std::collections::{BTreeMap, BTreeSet};

use platform::problems::{PROBLEMS, RULE_TITLE, RULES};
use serde_json::{Value, json};
use shared::problem::TYPE_BASE;
use tests::template;

use super::{
    answers::{ANSWERS_OF_NO_OPERATION, own_members},
    assembled::document,
    examples::wrong,
    read::{codes, each_operation, resolved, text},
};
use crate::{all_files, functions::routes, none, operations};

/// A problem in the code: its status, its code, and its title if it is written next to it.
type Made = (u16, String, Option<String>);

const CONSTRUCTORS: [(&str, u16); 3] =
    [("bad_request(", 400), ("conflict(", 409), ("unprocessable(", 422)];
const STATUSES: [(&str, u16); 14] = [
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("PAYMENT_REQUIRED", 402),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("METHOD_NOT_ALLOWED", 405),
    ("CONFLICT", 409),
    ("GONE", 410),
    ("PRECONDITION_FAILED", 412),
    ("PAYLOAD_TOO_LARGE", 413),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("PRECONDITION_REQUIRED", 428),
    ("TOO_MANY_REQUESTS", 429),
    ("SERVICE_UNAVAILABLE", 503),
];

/// The services that have a route: the errors of the others only appear in logs.
fn answering() -> BTreeSet<String> {
    let has_route = |name: &str| !routes(name).is_empty();
    operations()
        .into_iter()
        .filter(|operation| has_route(&operation.name))
        .map(|operation| operation.service)
        .collect()
}

/// The deployed code that can answer a request, each file on one line.
fn deployed() -> Vec<(String, String)> {
    let files = ["shared/src", "provider/src", "functions"]
        .iter()
        .flat_map(|folder| all_files(folder, "rs"));
    let files = files.filter(|(file, _)| {
        !file.ends_with("tests.rs") && !file.contains("/tests/") && !file.ends_with("/problems.rs")
    });
    let on_one_line = |text: &str| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace("( ", "(")
    };
    let answering = answering();
    let service_of = |file: &str| {
        file.strip_prefix("functions/").and_then(|file| file.split('/').next()).map(str::to_owned)
    };
    let can_answer =
        |file: &str| service_of(file).is_none_or(|service| answering.contains(&service));
    files
        .filter(|(file, _)| can_answer(file))
        .map(|(file, text)| (file, on_one_line(&text)))
        .collect()
}

/// Up to two quoted texts at the beginning of `rest`, as the arguments of a call.
fn arguments(rest: &str) -> (Option<&str>, Option<&str>) {
    let Some(rest) = rest.strip_prefix('"') else { return (None, None) };
    let Some((first, rest)) = rest.split_once('"') else { return (None, None) };
    let second =
        rest.strip_prefix(", \"").and_then(|rest| rest.split_once('"')).map(|(second, _)| second);
    (Some(first), second)
}

/// Every problem that the code creates, with its location.
fn made() -> Vec<(String, Made)> {
    let mut made = Vec::new();
    for (file, code) in deployed() {
        let mut note = |status: u16, name: &str, title: Option<&str>| {
            made.push((file.clone(), (status, name.to_owned(), title.map(str::to_owned))));
        };
        for (constructor, status) in CONSTRUCTORS {
            for rest in code.split(constructor).skip(1) {
                if let (Some(name), title) = arguments(rest) {
                    note(status, name, title);
                }
            }
        }
        for rest in code.split("not_found(").skip(1) {
            if let (Some(thing), _) = arguments(rest) {
                note(
                    404,
                    &format!("{thing}_not_found"),
                    Some(&format!("{}{} not found", thing[..1].to_uppercase(), &thing[1..])),
                );
            }
        }
        for rest in code.split("StatusCode::").skip(1) {
            let Some((constant, rest)) = rest.split_once(", ") else { continue };
            if let (Some((_, status)), (Some(name), title)) =
                (STATUSES.iter().find(|(known, _)| *known == constant), arguments(rest))
            {
                note(*status, name, title);
            }
        }
        if code.contains("StatusCode::INTERNAL_SERVER_ERROR, \"internal_error\"") {
            note(500, "internal_error", Some("Internal error"));
        }
    }
    assert!(
        made.len() > 40,
        "fewer problems than expected: this test finds calls of the form Problem::conflict(\"code\", \"Title\")"
    );
    made
}

/// Every broken rule that the code reports, with its location.
fn broken() -> BTreeMap<String, String> {
    let mut broken = BTreeMap::new();
    for (file, code) in deployed() {
        for rest in code
            .split("Violation::new(")
            .chain(code.split("Self::new(").filter(|_| file.ends_with("validation.rs")))
            .skip(1)
        {
            if let (Some(name), _) = arguments(rest) {
                broken.insert(name.to_owned(), file.clone());
            }
        }
        // For a query parameter, the name is the first argument.
        for rest in code.split(" parameter(").skip(1) {
            if let (Some(_), Some(name)) = arguments(rest) {
                broken.insert(name.to_owned(), file.clone());
            }
        }
    }
    broken
}

/// The gateway's own responses.
fn of_the_gateway() -> Vec<Value> {
    let template = template::template();
    let answers = template.resource("Api")["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"].as_object().unwrap();
    answers
        .values()
        .map(|answer| {
            let body = template.resolve(&answer["responseTemplates"]["application/json"]);
            serde_json::from_str(text(&body)).unwrap()
        })
        .collect()
}

#[test]
fn gateway_answers_carry_the_cors_headers_of_functions() {
    let template = template::template();
    let answers = &template.resource("Api")["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"];
    for (kind, answer) in answers.as_object().unwrap() {
        let header =
            |name: &str| &answer["responseParameters"][format!("gatewayresponse.header.{name}")];
        assert_eq!(
            *header("Access-Control-Expose-Headers"),
            json!(format!("'{}'", shared::http::EXPOSED_HEADERS)),
            "{kind}"
        );
        assert_eq!(*header("Vary"), json!("'Origin'"), "{kind}");
    }
}

#[test]
fn every_problem_is_explained_and_has_one_title() {
    let mut violations = Vec::new();
    let mut seen: BTreeSet<(u16, &str)> = BTreeSet::new();
    for (file, (status, code, title)) in made() {
        match PROBLEMS.iter().find(|known| known.code == code && known.status == status) {
            None => violations.push(format!("{file} makes the problem {status} {code}: explain it in functions/platform/src/problems.rs")),
            Some(known) if title.as_ref().is_some_and(|title| title != known.title) => violations.push(format!(
                "{file} calls {code} {title:?}, but functions/platform/src/problems.rs calls it {:?}: a code has one title",
                known.title
            )),
            Some(known) => {
                seen.insert((known.status, known.code));
            }
        }
    }
    for answer in of_the_gateway() {
        let (status, code) = (answer["status"].as_u64().unwrap(), text(&answer["code"]));
        match PROBLEMS.iter().find(|known| known.code == code && u64::from(known.status) == status) {
            Some(known) if answer["title"] == known.title && answer["type"] == json!(format!("{TYPE_BASE}/{code}")) => {
                seen.insert((known.status, known.code));
            }
            _ => violations.push(format!(
                "the gateway answers {answer}, which functions/platform/src/problems.rs does not explain, or calls otherwise"
            )),
        }
    }
    for left in PROBLEMS.iter().filter(|known| !seen.contains(&(known.status, known.code))) {
        violations.push(format!(
            "functions/platform/src/problems.rs explains {} {}, which nothing answers",
            left.status, left.code
        ));
    }
    none(violations);
}

#[test]
fn every_rule_is_explained() {
    let broken = broken();
    let known: BTreeSet<&str> = RULES.iter().map(|rule| rule.code).collect();
    let unexplained = broken.iter().filter(|(code, _)| !known.contains(code.as_str()));
    let mut violations: Vec<String> = unexplained
        .map(|(code, file)| format!("{file} refuses something as {code}: explain it in functions/platform/src/problems.rs"))
        .collect();
    violations.extend(known.iter().filter(|code| !broken.contains_key(**code)).map(|code| {
        format!(
            "functions/platform/src/problems.rs explains the rule {code}, which nothing asks for"
        )
    }));
    none(violations);
    let code = shared::problem::Problem::invalid_field(
        "/x",
        &shared::validation::Violation::out_of_range("…"),
    )
    .document("r");
    assert_eq!(code["title"], RULE_TITLE, "the title of broken rules has changed");
}

#[test]
fn lists_are_sorted_without_duplicates() {
    let problems: Vec<(u16, &str)> =
        PROBLEMS.iter().map(|known| (known.status, known.code)).collect();
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.code).collect();
    assert!(problems.is_sorted_by(|one, next| one < next), "sort PROBLEMS by status and code");
    assert!(rules.is_sorted_by(|one, next| one < next), "sort RULES by code");
    let mut titles = BTreeMap::new();
    for known in PROBLEMS {
        let title = titles.entry(known.code).or_insert(known.title);
        assert_eq!(*title, known.title, "{} has one title", known.code);
    }
}

#[test]
fn every_problem_and_rule_is_answered_by_some_operation() {
    let document = document();
    let mut answered = BTreeSet::new();
    each_operation(&document, |_, _, operation| {
        let statuses = operation["responses"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(status, _)| status.parse().ok());
        answered.extend(
            statuses.flat_map(|status| codes(&document, operation, status)).map(str::to_owned),
        );
    });
    let all = PROBLEMS.iter().map(|known| known.code).chain(RULES.iter().map(|rule| rule.code));
    let never =
        all.filter(|code| !answered.contains(*code) && !ANSWERS_OF_NO_OPERATION.contains(code));
    let mut violations: Vec<String> =
        never.map(|code| format!("{code} is made somewhere, but no operation says that it answers it: add it to x-problems")).collect();
    let after_all = ANSWERS_OF_NO_OPERATION.into_iter().filter(|code| answered.contains(*code));
    violations
        .extend(after_all.map(|code| {
            format!("an operation answers {code} after all: take it out of this test")
        }));
    none(violations);
}

/// Every member that the code adds to a problem, with its location.
fn members_made() -> BTreeMap<String, String> {
    let added = |(file, code): (String, String)| {
        let names = code
            .split(".with(")
            .skip(1)
            .filter_map(|rest| arguments(rest).0.map(str::to_owned))
            .collect::<Vec<_>>();
        names.into_iter().map(move |name| (name, file.clone()))
    };
    let files = deployed()
        .into_iter()
        .filter(|(file, _)| file.ends_with("/error.rs") || file.ends_with("/problem.rs"));
    files.flat_map(added).collect()
}

#[test]
fn every_problem_member_has_a_type_and_an_example() {
    let document = document();
    let mut violations = Vec::new();
    let mut described = BTreeSet::from(["errors"]);
    let members = PROBLEMS
        .iter()
        .flat_map(|known| known.members)
        .chain(RULES.iter().flat_map(|rule| rule.members));
    for member in members {
        described.insert(member.name);
        let schema: Value = serde_json::from_str(member.schema).unwrap();
        let referred = resolved(&document, &schema);
        if referred.get("type").is_none() {
            violations.push(format!("the member {} has no type: {schema}", member.name));
        }
        let example = serde_json::from_str(member.example).unwrap();
        violations.extend(
            wrong(&document, &schema, &example)
                .map(|why| format!("the example of {}: {why}", member.name)),
        );
    }
    let made = members_made();
    assert!(made.len() >= 9, "calls that add members to problems are not found: {made:?}");
    for (name, file) in made.iter().filter(|(name, _)| !described.contains(name.as_str())) {
        violations.push(format!(
            "{file} adds the member {name}: describe it in functions/platform/src/problems.rs"
        ));
    }
    for name in described.iter().filter(|name| !made.contains_key(**name)) {
        violations.push(format!(
            "functions/platform/src/problems.rs describes the member {name}, which nothing adds"
        ));
    }
    // The document describes each member as the list does.
    each_operation(&document, |_, _, operation| {
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            for (name, schema) in own_members(resolved(&document, answer)) {
                if schema.get("type").is_none() && schema.get("$ref").is_none() {
                    violations.push(format!(
                        "the {status} of {} has the member {name} without a type",
                        operation["operationId"]
                    ));
                }
            }
        }
    });
    none(violations);
}
