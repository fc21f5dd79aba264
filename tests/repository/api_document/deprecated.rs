//! Deprecated operations are marked, and their responses have the headers that the runner adds.

use serde_json::{Value, json};
use shared::operation::{Operation, Trigger};

use crate::none;

/// The headers of every response of a deprecated operation, each with its explanation.
const HEADERS: [(&str, &str, &str); 3] = [
    ("Deprecation", "Since when the operation is deprecated (RFC 9745).", "@1796083200"),
    (
        "Sunset",
        "When the operation is removed, at the earliest (RFC 8594).",
        "Tue, 01 Jun 2027 00:00:00 GMT",
    ),
    (
        "Link",
        "The page that says what to use instead, with `rel=\"deprecation\"`.",
        "<https://ferrocart.dev/changes>; rel=\"deprecation\"; type=\"text/html\"",
    ),
];

pub fn mark<'a>(document: &mut Value, operations: impl Iterator<Item = &'a Operation>) {
    for operation in operations.filter(|operation| operation.deprecation.is_some()) {
        for (name, about, example) in HEADERS {
            document["components"]["headers"][name] = json!({
                "description": about, "required": true, "schema": { "type": "string", "examples": [example] },
            });
        }
        for route in operation.routes() {
            let described = &mut document["paths"][route.path][route.method.to_lowercase()];
            described["deprecated"] = true.into();
            let responses = described["responses"].as_object_mut().into_iter().flatten();
            for (_, response) in responses.filter(|(status, _)| status.starts_with(['2', '3'])) {
                for (name, ..) in HEADERS {
                    response["headers"][name] =
                        json!({ "$ref": format!("#/components/headers/{name}") });
                }
            }
        }
    }
}

#[test]
fn deprecated_operations_are_marked_with_their_headers() {
    const DEPRECATED: Operation = Operation {
        service: "catalog",
        module: "list_products",
        trigger: Trigger::Http(&[shared::operation::Route {
            method: "GET",
            path: "/products",
            access: shared::operation::Access::Public,
        }]),
        deprecation: Some(shared::http::Deprecation::new(
            "2026-12-01",
            "2027-06-01",
            "https://ferrocart.dev/changes",
        )),
    };
    let current = super::assembled::document();
    let mut document = current.clone();
    mark(&mut document, [&DEPRECATED].into_iter());
    let list = &document["paths"]["/products"]["get"];
    assert_eq!(list["deprecated"], true);
    for (name, ..) in HEADERS {
        let reference = format!("#/components/headers/{name}");
        for status in ["200", "304"] {
            assert_eq!(list["responses"][status]["headers"][name]["$ref"], reference);
        }
    }
    assert_eq!(super::assembled::dangling(&document), Vec::<String>::new());
    assert_eq!(document["paths"]["/products"]["post"], current["paths"]["/products"]["post"]);
}

/// Only responses to requests announce a deprecation.
#[test]
fn only_operations_with_routes_are_deprecated() {
    let violations = tests::shop::operations()
        .filter(|operation| operation.deprecation.is_some() && operation.routes().is_empty())
        .map(|operation| {
            format!("{} has no route, so it announces no deprecation", operation.name())
        });
    none(violations.collect());
}
