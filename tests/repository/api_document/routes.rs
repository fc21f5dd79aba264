//! The document and the operations have the same routes and the same callers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shared::operation::Access;

use super::{
    assembled::{ROLES, document, function_of},
    read::{each_operation, text},
};
use crate::{generated, none};

/// Each route that an operation declares, with its function and who may call it. Pages are not
/// described.
fn declared_routes() -> BTreeMap<String, (String, Access)> {
    generated::routes()
        .filter(|(operation, _)| !operation.serves_pages())
        .map(|(operation, route)| {
            (format!("{} {}", route.method, route.path), (operation.name(), route.access))
        })
        .collect()
}

#[test]
fn exactly_the_declared_routes_are_documented() {
    let (routes, document) = (declared_routes(), document());
    let mut described = BTreeSet::new();
    let mut violations = Vec::new();
    each_operation(&document, |method, path, operation| {
        let route = format!("{method} {path}");
        let id = text(&operation["operationId"]);
        match routes.get(&route) {
            None => violations
                .push(format!("{id} is described as {route}, which operations! does not declare")),
            Some((function, _)) if *function != function_of(id).name => {
                violations.push(format!(
                    "{route} is described by {id}, but is declared as a route of {function}"
                ));
            }
            Some(_) => {}
        }
        described.insert(route);
    });
    for (route, (function, _)) in routes.iter().filter(|(route, _)| !described.contains(*route)) {
        violations.push(format!(
            "{route} is not in the API document: write #[utoipa::path(…)] on {function}, and declare it as http in its operations/mod.rs"
        ));
    }
    none(violations);
}

#[test]
fn operations_are_named_after_their_functions() {
    let document = document();
    let mut ids = BTreeSet::new();
    let mut violations = Vec::new();
    each_operation(&document, |_, path, operation| {
        let id = text(&operation["operationId"]).to_owned();
        let service = text(&operation["tags"][0]);
        let function = function_of(&id);
        if function.service != service {
            violations.push(format!(
                "{id} is described by {service}, but its function {} is in {}",
                function.name, function.service
            ));
        }
        if !ids.insert(id.clone()) {
            violations.push(format!("{id} is described twice, the second time as {path}"));
        }
    });
    let without: BTreeSet<String> =
        ids.iter().map(|id| function_of(id).name).filter(|name| !ids.contains(name)).collect();
    violations.extend(
        without.into_iter().map(|name| format!("none of the operations of {name} is called so")),
    );
    none(violations);
}

#[test]
fn documented_security_matches_the_gateway() {
    let (routes, document) = (declared_routes(), document());
    let mut violations = Vec::new();
    each_operation(&document, |method, path, operation| {
        let id = text(&operation["operationId"]);
        let Some((_, access)) = routes.get(&format!("{method} {path}")) else { return };
        let expected = match access {
            Access::Public => json!([]),
            Access::OptionalToken => json!([{}, { "bearer": [] }]),
            Access::Token => json!([{ "bearer": [] }]),
        };
        if operation["security"] != expected {
            violations.push(format!(
                "{id} is described with the security {}, but the gateway asks for {expected}",
                operation["security"]
            ));
        }
        let roles: Vec<&str> =
            operation["x-roles"].as_array().into_iter().flatten().map(text).collect();
        if roles.is_empty() || roles.iter().any(|role| !ROLES.contains(role)) {
            violations.push(format!("{id} has the x-roles {roles:?}: name some of {ROLES:?}"));
        }
        if roles.contains(&"anonymous") == (expected == json!([{ "bearer": [] }])) {
            violations.push(format!(
                "{id} has the x-roles {roles:?}, but the gateway asks for {expected}"
            ));
        }
    });
    none(violations);
}
