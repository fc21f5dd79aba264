//! Every operation is listed in all files that need it, and no file names a missing operation.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::template::{self, Template};

use super::{Operation, files, functions, none, operations, services, stem};

#[test]
fn every_operation_has_all_of_its_files() {
    let template = template::template();
    let functions = functions(template);
    let mut missing = Vec::new();
    for operation in operations() {
        let (service, name) = (&operation.service, &operation.name);
        let mut expect = |there: bool, what: String| {
            if !there {
                missing.push(format!("{name} ({service}): {what}"));
            }
        };
        let file = format!("functions/{service}/template.yaml");
        let bin = template::root().join(format!("functions/{service}/src/bin/{name}.rs"));
        expect(bin.is_file(), format!("add its binary, functions/{service}/src/bin/{name}.rs"));
        expect(
            template::root().join(format!("events/{name}.json")).is_file(),
            format!("add a sample of what it is sent, events/{name}.json"),
        );
        match functions.get(name) {
            None => expect(false, format!("add the function {} to {file}", operation.logical_id())),
            Some((id, properties)) => {
                expect(
                    *id == operation.logical_id(),
                    format!("call its function {} in {file}, not {id}", operation.logical_id()),
                );
                expect(
                    Template::read(&file).resource(id).is_object(),
                    format!("move its function {id} to {file}"),
                );
                let code = format!("../../target/lambda/{name}/");
                expect(
                    properties["CodeUri"] == code,
                    format!("let {id} in {file} have the CodeUri {code}"),
                );
                let metadata = &template.resource(id)["Metadata"];
                expect(
                    metadata["SkipBuild"] == true,
                    format!(
                        "give {id} in {file} the Metadata {{SkipBuild: true}}: cargo has built it"
                    ),
                );
            }
        }
    }
    none(missing);
}

#[test]
fn no_file_belongs_to_a_missing_operation() {
    let known: BTreeSet<String> =
        operations().into_iter().map(|operation| operation.name).collect();
    let mut left = Vec::new();
    for service in services() {
        for path in files(&format!("functions/{service}/src/bin"), "rs") {
            let name = stem(&path);
            if !known.contains(&name) {
                left.push(format!(
                    "functions/{service}/src/bin/{name}.rs has no operation: write functions/{service}/src/operations/{}.rs, or delete it",
                    name.replace('-', "_")
                ));
            }
        }
    }
    for name in functions(template::template()).keys().filter(|name| !known.contains(*name)) {
        left.push(format!("a template has a function {name} without an operation"));
    }
    for name in
        files("events", "json").iter().map(|path| stem(path)).filter(|name| !known.contains(name))
    {
        left.push(format!("events/{name}.json is a sample for an operation that there is not"));
    }
    none(left);
}

#[test]
fn a_binary_is_three_lines_that_name_their_operation() {
    let mut violations = Vec::new();
    for operation in operations() {
        let Operation { service, name } = &operation;
        let path = format!("functions/{service}/src/bin/{name}.rs");
        let text = std::fs::read_to_string(template::root().join(&path)).unwrap_or_default();
        let words: Vec<&str> = text
            .split_whitespace()
            .enumerate()
            .filter(|(at, word)| *at == 0 || *word != "//!")
            .map(|(_, word)| word)
            .collect();
        let module = operation.module();
        let expected = format!(
            "//! The function `{name}`; see [`{service}::operations::{module}`]. fn main() -> Result<(), lambda_http::Error> {{ {service}::operations::run::{module}() }}"
        );
        if words.join(" ") != expected {
            violations.push(format!("{path} does more, less or something else than to call {service}::operations::run::{module}()"));
        }
    }
    none(violations);
}

#[test]
fn samples_match_the_event_sources_of_the_template() {
    let template = template::template();
    let functions = functions(template);
    let mut violations = Vec::new();
    for path in files("events", "json") {
        let name = stem(&path);
        let Some((id, _)) = functions.get(&name) else { continue };
        let sample = tests::events::sample(&name);
        let routes: Vec<(String, String)> = super::functions::routes(&name);
        let sources: Vec<String> = template
            .resources("AWS::Lambda::EventSourceMapping")
            .filter(|(_, mapping)| {
                mapping["Properties"]["FunctionName"]["Ref"] == format!("{id}.Alias")
            })
            .map(|(_, mapping)| {
                template
                    .resolve(&mapping["Properties"]["EventSourceArn"])
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        if !routes.is_empty() {
            let route = (text(&sample["httpMethod"]), text(&sample["resource"]));
            if !routes.contains(&route) {
                violations.push(format!(
                    "events/{name}.json is a {} {}, but the function's routes are {routes:?}",
                    route.0, route.1
                ));
            }
        } else if let Some(queue) = sources
            .iter()
            .find_map(|source| source.strip_prefix("arn:").filter(|source| !source.contains(':')))
        {
            let queue_name = template.resolve(&template.resource(queue)["Properties"]["QueueName"]);
            let arn = format!("arn:aws:sqs:us-east-1:000000000000:{}", text(&queue_name));
            for record in sample["Records"].as_array().unwrap_or(&Vec::new()) {
                if record["eventSourceARN"] != arn.as_str() {
                    violations.push(format!(
                        "events/{name}.json comes from {}, but the function is fed from {arn}",
                        record["eventSourceARN"]
                    ));
                }
            }
        }
    }
    none(violations);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
