//! Every route, as the services declare it and the API document describes it.

use std::sync::LazyLock;

use serde_json::Value;
use shared::operation::{Access, Operation};

use crate::{shop, template};

/// The callers that a route accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anybody,
    /// Public; logged-in users get more.
    Visitor,
    User,
    Admin,
}

/// Whether a change requires the version that it is based on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    Ignored,
    Optional,
    Needed,
}

/// A route: its operation, its callers, and its path parameter with the code of the 404.
pub struct Route {
    pub operation: &'static str,
    pub who: Who,
    pub path: Option<(&'static str, &'static str)>,
    /// Whether it takes a JSON body of this API, whether the body is optional, and whether it
    /// requires an `Idempotency-Key`.
    pub body: bool,
    pub bare: bool,
    pub key: bool,
    /// Whether it returns a paginated list.
    pub list: bool,
    pub if_match: IfMatch,
}

pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text =
        std::fs::read_to_string(template::root().join("functions/platform/openapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
});

/// Every route of the API document; of an operation with several paths the longest.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    shop::operations().filter(|operation| !operation.serves_pages()).filter_map(route).collect()
});

fn route(operation: &Operation) -> Option<Route> {
    let declared = operation.routes().iter().max_by_key(|route| route.path.len())?;
    let described = &DOCUMENT["paths"][declared.path][declared.method.to_lowercase()];
    let parameters: Vec<&Value> =
        described["parameters"].as_array().into_iter().flatten().map(resolved).collect();
    let header = |name: &str| {
        parameters.iter().find(|parameter| parameter["in"] == "header" && parameter["name"] == name)
    };
    let who = match declared.access {
        Access::Public => Who::Anybody,
        Access::OptionalToken => Who::Visitor,
        Access::Token if described["x-roles"] == serde_json::json!(["admin"]) => Who::Admin,
        Access::Token => Who::User,
    };
    let if_match = match header("If-Match") {
        None => IfMatch::Ignored,
        Some(parameter) if parameter["required"] == true => IfMatch::Needed,
        Some(_) => IfMatch::Optional,
    };
    // What the first parameter names is looked up first.
    let not_found = |parameter: &str| {
        let named = described["responses"]["404"]["$ref"].as_str();
        let code = named.and_then(|name| name.rsplit('/').next()).map(str::to_owned);
        code.unwrap_or_else(|| format!("{}_not_found", parameter.trim_end_matches("_id")))
    };
    let in_path = parameters.iter().find(|parameter| parameter["in"] == "path");
    // The provider defines the body of a webhook: `webhooks` covers it.
    let body =
        described["requestBody"].is_object() && operation.module != "receive_payment_webhook";
    Some(Route {
        operation: operation.name().leak(),
        who,
        path: in_path.map(|parameter| {
            let name = parameter["name"].as_str().unwrap();
            (name, &*not_found(name).leak())
        }),
        body,
        bare: body && described["requestBody"]["required"] != true,
        key: header("Idempotency-Key").is_some(),
        list: parameters.iter().any(|parameter| parameter["name"] == "cursor"),
        if_match,
    })
}

/// Resolves a `$ref` in the document.
pub fn resolved(part: &'static Value) -> &'static Value {
    part["$ref"]
        .as_str()
        .map_or(part, |name| DOCUMENT.pointer(name.trim_start_matches('#')).unwrap())
}
