//! The environment variables of a function.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::template::{ACCOUNT, REGION, Template, template};

/// The properties of a function in the templates, resolved.
fn properties(name: &str) -> Value {
    let template: Template = template().with(&[("PaymentProvider", "simulated")]);
    let full_name = format!("ferrocart-{name}");
    let mut functions = template
        .resources("AWS::Serverless::Function")
        .map(|(_, resource)| template.resolve(&resource["Properties"]));
    functions
        .find(|properties| properties["FunctionName"] == full_name.as_str())
        .unwrap_or_else(|| panic!("no template has a function {full_name}"))
}

/// The memory size of a function in megabytes.
pub(crate) fn megabytes(name: &str) -> f64 {
    properties(name)["MemorySize"].as_f64().expect("a function has a memory size")
}

/// The variables of a function: those of the template and those that Lambda sets.
pub(crate) fn variables(name: &str, endpoint: &str, runtime: &str) -> BTreeMap<String, String> {
    let properties = properties(name);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let declared = properties["Environment"]["Variables"].as_object().into_iter().flatten();
    let mut variables: BTreeMap<String, String> =
        declared.map(|(name, value)| (name.clone(), text(value))).collect();
    for (variable, value) in &mut variables {
        // The resolved templates have the name of a queue instead of its URL.
        if variable.ends_with("QUEUE_URL") {
            *value = format!("{endpoint}/{ACCOUNT}/{value}");
        }
    }
    variables.extend(lambda(name, &text(&properties["MemorySize"]), endpoint, runtime));
    variables
}

/// The variables that Lambda sets, and the address of the endpoint.
pub(crate) fn lambda(
    name: &str,
    megabytes: &str,
    endpoint: &str,
    runtime: &str,
) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_LAMBDA_RUNTIME_API", runtime),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("AWS_SESSION_TOKEN", "bench"),
        ("AWS_LAMBDA_FUNCTION_NAME", &format!("ferrocart-{name}")),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", megabytes),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
