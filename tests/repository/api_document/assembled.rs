//! The API document, assembled from the operations that each service declares.
//!
//! The services declare what is specific: paths, bodies, successful responses, callers, and domain
//! problems. This module adds what follows from that for every operation alike.

use std::collections::{BTreeMap, BTreeSet};

use platform::services::SERVICES;
use serde_json::{Map, Value, json};
use shared::api_document::utoipa::{OpenApi, openapi};

use super::{
    answers, deprecated,
    read::{at, each_operation, for_every_object, kebab, reachable, references, text},
};
use crate::{Operation, operations, source};

/// The callers, as `x-roles` lists them.
pub const ROLES: [&str; 4] = ["anonymous", "user", "admin", "owner"];

const PREFIX: &str = "#/components/schemas/";

/// The introduction of the document.
const ABOUT: &str = "\
A shop: accounts, a catalogue, prices, stock, orders, payments and notifications.

**Errors** are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) documents: branch on `code`, show `detail`, quote `request_id`. \
Each operation lists its codes.

**Money** is an amount in minor units and a currency: `{\"amount\": 5998, \"currency\": \"USD\"}` is 59.98 US dollars.

**Retries.** Operations that create a resource require an `Idempotency-Key`. Generate one key per intended effect, and send the same key \
when you repeat the request. The response is then the first one, with `Idempotent-Replayed: true`.

**Changes.** Operations that change a resource require its `ETag` as `If-Match`, so that no concurrent change is overwritten.

**Lists** return `{\"items\": […], \"next_cursor\": …}`. Send `next_cursor` as `cursor` for the next page; it is null on the last page.

**Fields.** Unknown fields of a request are rejected. Responses may get new fields, and fields with listed values may get new values: ignore \
the ones that you do not know. A field without a value is null in responses. Where a field of a request may be null, an empty text is null.

**Texts** may contain the characters of every script. Line breaks become `\\n` (a space in texts of one line), tabs become spaces, and \
white space around a text is removed. Invisible, control and text-direction characters are rejected. The patterns of texts exclude those of \
the basic plane that are rejected at every position; joiners and variation selectors are accepted after a character that they apply to.

**Numbers** are integers, written without fraction and exponent: `2` is accepted, `2.0` is rejected as `wrong_type`, although JSON Schema \
counts it as an integer.

**Methods.** A path with `GET` answers `HEAD` like `GET`, without the body. It rejects other methods with `405` and `Allow`.

`x-roles` lists who may call an operation: `anonymous` is every caller, `user` every caller with an access token, `admin` an administrator of \
the shop, and `owner` the user to whom the resource belongs. For other users the resource does not exist: they get `404`.";

/// The declarations of each service.
fn services() -> [(&'static str, openapi::OpenApi); 8] {
    [
        ("users", users::operations::ApiDocument::openapi()),
        ("catalog", catalog::operations::ApiDocument::openapi()),
        ("pricing", pricing::operations::ApiDocument::openapi()),
        ("inventory", inventory::operations::ApiDocument::openapi()),
        ("orders", orders::operations::ApiDocument::openapi()),
        ("payments", payments::operations::ApiDocument::openapi()),
        ("notifications", notifications::operations::ApiDocument::openapi()),
        ("platform", platform::operations::ApiDocument::openapi()),
    ]
}

pub fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut tags = Vec::new();
    for (service, described) in services() {
        let mut described = serde_json::to_value(described).unwrap();
        tests::prose::join_lines(&mut described);
        let purpose = SERVICES.iter().find(|each| each.name == service).unwrap().purpose;
        tags.push(json!({ "name": service, "description": purpose }));
        for (path, item) in described["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let entry = paths.entry(path).or_insert_with(|| json!({}));
                assert!(entry.get(method).is_none(), "{method} {path} is described twice");
                entry[method] = of_service(service, operation.clone());
                if method == "patch" {
                    take_merge_patches(&mut entry[method]);
                }
            }
        }
        for (name, schema) in described["components"]["schemas"].as_object().into_iter().flatten() {
            let before = schemas.insert(name.clone(), schema.clone());
            assert!(
                before.is_none_or(|before| before == *schema),
                "two types are called {name} and are not alike: give one of them another name with #[schema(as = …)]"
            );
        }
    }
    schemas.insert("Problem".to_owned(), schema_of::<shared::problem::Problem>());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Ferrocart", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": { "name": "MIT", "identifier": "MIT" },
            "contact": { "name": "Ferrocart", "url": "https://ferrocart.dev" } },
        // A relative address is relative to the document's own (OpenAPI 3.1, section 4.8.5).
        "servers": [{ "url": ".", "description": "The deployment that serves this document." }, {
            "url": "https://{api}.execute-api.{region}.amazonaws.com/v1",
            "description": "Another deployment.",
            "variables": { "api": { "default": "api-id" }, "region": { "default": "us-east-1" } }
        }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": answers::headers(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The access token that `login-user` and `refresh-token` return. It is valid for 15 minutes.",
            } },
        },
    });
    refer_to_what_pages_hold(&mut document);
    name_as_readers_do(&mut document);
    let_flattened_fields_be_absent(&mut document);
    require_nullable_fields(&mut document);
    answers::add(&mut document);
    share_parameters(&mut document);
    deprecated::mark(&mut document, tests::shop::operations());
    document
}

fn schema_of<T: shared::api_document::utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap()
}

/// An operation as its service declares it, with the text of its source file.
fn of_service(service: &str, mut operation: Value) -> Value {
    let id = kebab(text(&operation["operationId"]));
    let Operation { name, .. } = function_of(&id);
    let file = source(&format!("functions/{service}/src/operations/{}.rs", name.replace('-', "_")));
    operation["description"] = description(&operation).into();
    operation["summary"] = first_sentence(&file).into();
    operation["operationId"] = id.into();
    operation["tags"] = json!([service]);
    // A single empty requirement means that no token is needed; the document uses an empty list
    // instead.
    if operation["security"] == json!([{}]) {
        operation["security"] = json!([]);
    }
    if operation.get("requestBody").is_some() {
        operation["requestBody"]["content"]["application/json"]["example"] = sample_body(&name);
    }
    operation
}

/// A change is also accepted with the media type of RFC 7396.
fn take_merge_patches(operation: &mut Value) {
    let content = &mut operation["requestBody"]["content"];
    content["application/merge-patch+json"] = content["application/json"].clone();
}

/// The function that serves an operation: it has the same name or, if it serves several routes, a
/// prefix of it.
pub fn function_of(id: &str) -> Operation {
    let serves = |operation: &Operation| {
        id == operation.name || id.starts_with(&format!("{}-", operation.name))
    };
    let found =
        operations().into_iter().filter(serves).max_by_key(|operation| operation.name.len());
    found.unwrap_or_else(|| panic!("{id} is documented, but no operation has this name"))
}

/// The first sentence of a file without its route: `//! The catalogue: what is sold.` gives `What
/// is sold.`
fn first_sentence(file: &str) -> String {
    let lines = file
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let opening = lines.collect::<Vec<_>>().join(" ");
    let (_, said) = opening
        .split_once(": ")
        .unwrap_or_else(|| panic!("a file opens with what it is about and a colon: {opening}"));
    let end = said.find(". ").map_or(said.len(), |end| end + 1);
    capital(&said[..end])
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// The doc comment of the operation's function as running text: utoipa would take its first
/// paragraph as a summary.
fn description(operation: &Value) -> String {
    let comment = format!("{}\n\n{}", text(&operation["summary"]), text(&operation["description"]));
    let before_errors = comment.split("# Errors").next().unwrap_or_default();
    let paragraphs = before_errors
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The body of the operation's sample event, which the `events` tests send to the operation.
fn sample_body(operation: &str) -> Value {
    let sample = tests::events::sample(operation);
    serde_json::from_str(text(&sample["body"])).unwrap_or_else(|_| {
        panic!("events/{operation}.json has no body, which its operation needs")
    })
}

/// Replaces the inlined items of a page by a reference to their schema.
fn refer_to_what_pages_hold(document: &mut Value) {
    for (name, schema) in document["components"]["schemas"].as_object_mut().unwrap() {
        if let Some(item) = name.strip_prefix("Page_") {
            schema["properties"]["items"]["items"] = json!({ "$ref": format!("{PREFIX}{item}") });
        }
    }
}

/// Fields that serde flattens from an `Option` are all present or all absent, never null.
fn let_flattened_fields_be_absent(document: &mut Value) {
    for_every_object(document, &mut |members| {
        for part in members.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            if is_nullable(part) {
                let fields = part["oneOf"][0].take();
                *part = json!({ "anyOf": [fields, { "type": "object" }] });
            }
        }
    });
}

/// Renames schemas to the names that clients know: `ProductView` becomes `Product`.
fn name_as_readers_do(document: &mut Value) {
    let names: BTreeMap<String, String> = at(document, "/components/schemas")
        .keys()
        .map(|name| (name.clone(), public_name(name)))
        .collect();
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    for (ours, public) in &names {
        let schema = schemas.remove(ours).unwrap();
        let before = schemas.insert(public.clone(), schema);
        assert!(
            before.is_none(),
            "{ours} would be called {public} in the API document, and something else is called so already"
        );
    }
    for_every_object(document, &mut |members| {
        if let Some(Value::String(reference)) = members.get_mut("$ref")
            && let Some(name) = reference.strip_prefix(PREFIX)
        {
            *reference = format!("{PREFIX}{}", names.get(name).map_or(name, String::as_str));
        }
    });
}

fn public_name(name: &str) -> String {
    let bare = name.strip_suffix("View").unwrap_or(name);
    bare.strip_prefix("Page_").map_or_else(|| bare.to_owned(), |item| format!("{item}Page"))
}

/// Marks nullable fields of responses as required: serde writes an absent value as null. Fields
/// that can be absent are not nullable.
fn require_nullable_fields(document: &mut Value) {
    let mut sent = BTreeSet::new();
    each_operation(document, |_, _, operation| {
        sent.extend(reachable(document, &operation["requestBody"]))
    });
    let answered = document["components"]["schemas"]
        .as_object_mut()
        .unwrap()
        .iter_mut()
        .filter(|(name, _)| !sent.contains(*name));
    for (_, schema) in answered {
        for_every_object(schema, &mut |members| {
            let Some(properties) = members.get("properties").and_then(Value::as_object) else {
                return;
            };
            let nullable = properties
                .iter()
                .filter(|(_, property)| is_nullable(property))
                .map(|(name, _)| name.clone());
            let listed = members
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|name| text(name).to_owned());
            let required: BTreeSet<String> = nullable.chain(listed).collect();
            if !required.is_empty() {
                members.insert("required".to_owned(), json!(required));
            }
        });
    }
}

fn is_nullable(property: &Value) -> bool {
    let null = |kind: &Value| kind == "null";
    let of_type = property["type"].as_array().is_some_and(|kinds| kinds.iter().any(null));
    of_type
        || property["oneOf"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| null(&kind["type"])))
}

/// Moves shared parameters to the components. Adds the two headers of every request to every path.
fn share_parameters(document: &mut Value) {
    let mut shared = Map::new();
    shared.insert(
        "X-Request-Id".to_owned(),
        json!({
            "name": "X-Request-Id", "in": "header", "required": false,
            "description": "The id of the request; the shop generates one if it is absent. The response and the logs contain it.",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" },
        }),
    );
    shared.insert(
        "traceparent".to_owned(),
        json!({
            "name": "traceparent", "in": "header", "required": false,
            "description": "The trace that the request belongs to (W3C Trace Context).",
            "schema": { "type": "string", "examples": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] },
        }),
    );
    let of_every_path: Vec<Value> = shared
        .keys()
        .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }))
        .collect();
    let mut seen: Vec<(Value, usize)> = Vec::new();
    each_operation(document, |_, _, operation| {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            match seen.iter_mut().find(|(known, _)| known == parameter) {
                Some((_, times)) => *times += 1,
                None => seen.push((parameter.clone(), 1)),
            }
        }
    });
    let several = seen
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(parameter, _)| parameter)
        .collect::<Vec<_>>();
    let one_of = |parameter: &Value| {
        let optional =
            several.iter().any(|other| other["name"] == parameter["name"] && other != parameter)
                && parameter["required"] == false;
        format!("{}{}", if optional { "Optional-" } else { "" }, text(&parameter["name"]))
    };
    for parameter in &several {
        shared.insert(one_of(parameter), parameter.clone());
    }
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            for parameter in
                operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if several.contains(parameter) {
                    *parameter =
                        json!({ "$ref": format!("#/components/parameters/{}", one_of(parameter)) });
                }
            }
        }
        item["parameters"] = json!(of_every_path);
    }
    document["components"]["parameters"] = shared.into();
}

/// Every `$ref` of a document without a target.
pub fn dangling(document: &Value) -> Vec<String> {
    let lost = |reference: &String| document.pointer(reference.trim_start_matches('#')).is_none();
    references(document).into_iter().filter(lost).collect()
}
