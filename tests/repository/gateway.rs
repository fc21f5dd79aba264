//! The gateway in front of the functions: the limits of methods, the cache, the routing of methods
//! and the access log; `web_acl` and `domain` have the rest. Reads the template after the SAM
//! transform.

mod domain;
mod web_acl;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::operation::allowed_methods;
use tests::template::{self, Template};

use super::{functions, none, pascal, transformed};

/// The properties of the only resource of this type.
#[track_caller]
fn only<'a>(template: &'a Template, kind: &'a str) -> (&'a Value, &'a Value) {
    let found: Vec<(&str, &Value)> = template.resources(kind).collect();
    assert_eq!(found.len(), 1, "resources of type {kind}: {found:?}");
    (found[0].1, &found[0].1["Properties"])
}

/// The limits of the stage, by method and path.
fn method_settings(template: &Template) -> BTreeMap<String, Value> {
    let (_, stage) = only(template, "AWS::ApiGateway::Stage");
    let settings = template.resolve(&stage["MethodSettings"]);
    let route = |setting: &Value| {
        format!(
            "{} {}",
            text(&setting["HttpMethod"]),
            text(&setting["ResourcePath"])[1..].replace("~1", "/")
        )
    };
    settings.as_array().unwrap().iter().map(|setting| (route(setting), setting.clone())).collect()
}

/// Lambda admits at most ten requests per second for each unit of concurrency, however short they
/// are.
const LEAST_DURATION_MS: u64 = 100;
/// The share of the concurrency that queues leave to the methods of the API, in percent.
const SHARE_OF_METHODS: u64 = 40;

/// The parts of `MethodLimits`: the names of rate and burst, the share of the account's concurrency
/// in percent, and the duration.
const LIMITS: [(&str, &str, u64, u64); 4] = [
    ("Rate", "Burst", SHARE_OF_METHODS / 2, LEAST_DURATION_MS),
    ("LoginRate", "LoginBurst", 10, LEAST_DURATION_MS),
    ("PasswordRate", "PasswordBurst", 5, LEAST_DURATION_MS),
    ("ProviderRate", "Burst", SHARE_OF_METHODS / 2, 1000),
];

#[test]
fn method_limits_are_shares_of_the_account_concurrency() {
    let template = transformed();
    let limits = template.document["Mappings"]["MethodLimits"].as_object().unwrap();
    let mut expected = serde_json::Map::new();
    for concurrency in
        template.document["Parameters"]["AccountConcurrency"]["AllowedValues"].as_array().unwrap()
    {
        let concurrency = concurrency.as_u64().unwrap();
        let mut row = serde_json::Map::new();
        for (rate, burst, share, duration) in LIMITS {
            let executions = share * concurrency / 100;
            row.insert(rate.to_owned(), (executions * 1000 / duration).into());
            row.insert(burst.to_owned(), executions.into());
        }
        expected.insert(concurrency.to_string(), row.into());
    }
    assert_eq!(*limits, expected);
}

#[test]
fn methods_that_hash_or_call_the_provider_have_limits_of_their_own() {
    let mut expected = BTreeMap::from([("* *".to_owned(), "Rate")]);
    for (name, (id, properties)) in functions(template::template()) {
        let policies = template::template().resource(&id)["Properties"]["Policies"].to_string();
        for (method, path) in super::functions::routes(&name) {
            let hashes = properties["MemorySize"].as_u64().is_some_and(|memory| memory >= 1769);
            let calls_provider = policies.contains("StripeKeySecret");
            let limit = match name.as_str() {
                "login-user" => "LoginRate",
                "request-password-reset" => "PasswordRate",
                _ if hashes => "PasswordRate",
                _ if calls_provider => "ProviderRate",
                _ => "Rate",
            };
            expected.insert(format!("{method} {path}"), limit);
        }
    }
    let template = transformed();
    let settings = method_settings(template);
    assert_eq!(settings.keys().collect::<BTreeSet<_>>(), expected.keys().collect::<BTreeSet<_>>());
    let row = &template.document["Mappings"]["MethodLimits"]["1000"];
    let mut violations = Vec::new();
    for (route, rate) in expected {
        let burst = LIMITS.iter().find(|limit| limit.0 == rate).unwrap().1;
        let setting = &settings[&route];
        if (&setting["ThrottlingRateLimit"], &setting["ThrottlingBurstLimit"])
            != (&row[rate], &row[burst])
        {
            violations.push(format!("{route} should have the limits {rate} and {burst} of MethodLimits, but has {setting}"));
        }
    }
    none(violations);
}

/// The methods that are cached while the parameter `ApiCache` has this value.
fn cached_methods(template: &Template) -> BTreeSet<String> {
    method_settings(template)
        .into_iter()
        .filter(|(_, setting)| setting["CachingEnabled"] == true)
        .map(|(route, _)| route)
        .collect()
}

#[test]
fn exactly_two_methods_are_cached_and_only_where_the_cache_is_on() {
    let off = transformed();
    assert_eq!(cached_methods(off), BTreeSet::new());
    let stage = |template: &Template, name: &str| {
        template.resolve(&only(template, "AWS::ApiGateway::Stage").1[name])
    };
    assert_eq!(stage(off, "CacheClusterEnabled"), json!(false));
    assert_eq!(stage(off, "CacheClusterSize"), json!({ "Ref": "AWS::NoValue" }));
    let sizes = &off.document["Parameters"]["ApiCache"]["AllowedValues"];
    for size in sizes.as_array().unwrap().iter().map(text).filter(|size| *size != "off") {
        let on = off.with(&[("ApiCache", size)]);
        assert_eq!(stage(&on, "CacheClusterEnabled"), json!(true));
        assert_eq!(stage(&on, "CacheClusterSize"), json!(size));
        let cached = ["GET /products", "GET /products/{product_id}"].map(str::to_owned);
        assert_eq!(cached_methods(&on), BTreeSet::from(cached.clone()));
        for route in cached {
            let setting = &method_settings(&on)[&route];
            assert_eq!(
                (&setting["CacheTtlInSeconds"], &setting["CacheDataEncrypted"]),
                (&json!(30), &json!(true)),
                "{route}"
            );
        }
    }
}

/// A method without a setting would have that of the stage. The list shows for each method that its
/// responses are not kept.
#[test]
fn every_method_declares_whether_it_is_cached() {
    let on = transformed().with(&[("ApiCache", "0.5")]);
    let settings = method_settings(&on);
    let mut violations = Vec::new();
    let routes = super::generated::routes()
        .map(|(_, route)| format!("{} {}", route.method, route.path))
        .chain(["* *".to_owned()]);
    for route in routes {
        if !settings.get(&route).is_some_and(|setting| setting["CachingEnabled"].is_boolean()) {
            violations.push(format!("{route} has no CachingEnabled: run make template"));
        }
    }
    // The gateway rejects a setting of ANY only while it deploys.
    violations.extend(
        settings
            .keys()
            .filter(|route| route.starts_with("ANY "))
            .map(|route| format!("{route} is not a method that can have settings")),
    );
    none(violations);
}

#[test]
fn cached_responses_are_public_and_keyed_by_all_they_depend_on() {
    let (_, api) = only(transformed(), "AWS::ApiGateway::RestApi");
    let mut seen = BTreeMap::new();
    for (path, item) in api["Body"]["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let integration = &operation["x-amazon-apigateway-integration"];
            let Some(key) = integration["cacheKeyParameters"].as_array() else { continue };
            let key: BTreeSet<&str> = key.iter().map(text).collect();
            assert_eq!(operation["security"], json!([{ "NONE": [] }]), "{method} {path}");
            // The gateway accepts only parameters that the method declares and passes on.
            let declared: BTreeSet<String> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parameter| {
                    let place = text(&parameter["in"]).replace("query", "querystring");
                    format!("method.request.{place}.{}", text(&parameter["name"]))
                })
                .collect();
            assert_eq!(declared.iter().map(String::as_str).collect::<BTreeSet<_>>(), key);
            let passed_on = integration["requestParameters"].as_object().unwrap();
            for (to, from) in passed_on {
                assert_eq!(to.replace("integration.", "method."), text(from));
            }
            assert_eq!(passed_on.len(), key.len());
            seen.insert(format!("{method} {path}"), key);
        }
    }
    let list = ["querystring.category", "querystring.cursor", "querystring.limit"];
    let key = |parameters: &[&str]| {
        let all = parameters.iter().chain(&["header.If-None-Match"]);
        all.map(|parameter| format!("method.request.{parameter}")).collect::<BTreeSet<_>>()
    };
    let expected = BTreeMap::from([
        ("get /products", key(&list)),
        ("get /products/{product_id}", key(&["path.product_id"])),
    ]);
    assert_eq!(json!(seen), json!(expected));
}

/// The methods of each path, each with the function that serves it. `ANY` covers the methods
/// without a separate function.
fn methods_by_path(template: &Template) -> BTreeMap<&str, BTreeMap<String, String>> {
    let (_, api) = only(template, "AWS::ApiGateway::RestApi");
    let function = |operation: &Value| {
        let uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            .as_str()
            .unwrap_or_default();
        let name = uri
            .split_once("${AWS::StackName}-")
            .and_then(|(_, rest)| rest.strip_suffix(":live/invocations"));
        name.map_or_else(String::new, |name| format!("{}Function", pascal(name)))
    };
    let method = |name: &str| {
        if name == "x-amazon-apigateway-any-method" {
            "ANY".to_owned()
        } else {
            name.to_uppercase()
        }
    };
    let methods = |item: &Value| {
        item.as_object()
            .unwrap()
            .iter()
            .map(|(name, operation)| (method(name), function(operation)))
            .collect()
    };
    api["Body"]["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.as_str(), methods(item)))
        .collect()
}

#[test]
fn get_permission_also_serves_head_and_405() {
    let (source, template) = (template::template(), transformed());
    let by_path = methods_by_path(template);
    let mut violations = Vec::new();
    for (name, (id, _)) in functions(source) {
        let routes = super::functions::routes(&name);
        let operation =
            tests::shop::operations().find(|operation| operation.name() == name).unwrap();
        // A function knows the operations of its service.
        let known: Vec<_> = tests::shop::operations()
            .filter(|other| other.service == operation.service)
            .copied()
            .collect();
        let allowed = allowed_methods(&known, operation.routes());
        for (_, path) in routes.iter().filter(|(method, _)| method == "GET") {
            let methods = &by_path[path.as_str()];
            // A cached GET is a method of its own, of the same function.
            let get = super::generated::CACHED.contains(&name.as_str()).then_some(&id);
            if methods.get("ANY") != Some(&id)
                || methods.get("GET") != get
                || methods.contains_key("HEAD")
            {
                violations.push(format!("{name} should take ANY method of {path}: {methods:?}"));
            }
            let own = methods.keys().map(String::as_str).filter(|method| *method != "ANY");
            let expected = own
                .chain(["GET", "HEAD"])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(", ");
            if allowed.as_deref() != Some(&expected) {
                violations.push(format!(
                    "{name} should allow {expected}, the methods of {path}: {allowed:?}"
                ));
            }
            let source_arn = format!(
                "${{ApiId}}/*/*{}",
                path.split('/').map(wildcard).collect::<Vec<_>>().join("/")
            );
            let permits = |(_, permission): (&str, &Value)| {
                let permission = &permission["Properties"];
                permission["FunctionName"]["Ref"] == format!("{id}Aliaslive")
                    && text(&permission["SourceArn"]["Fn::Sub"]).ends_with(&source_arn)
            };
            if !template.resources("AWS::Lambda::Permission").any(permits) {
                violations.push(format!("no permission of {name} ends with {source_arn}"));
            }
        }
    }
    none(violations);
}

/// Lambda throttles a function or the authorizer before it runs, so the client may repeat the
/// request.
#[test]
fn every_429_and_503_of_the_gateway_has_retry_after() {
    let template = template::template();
    let answers = &template.resource("Api")["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"];
    for kind in ["INTEGRATION_FAILURE", "AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"] {
        assert_eq!(answers[kind]["statusCode"], "503", "{kind}");
    }
    for (kind, answer) in answers.as_object().unwrap() {
        let refuses = ["429", "503"].contains(&text(&answer["statusCode"]));
        let wait = &answer["responseParameters"]["gatewayresponse.header.Retry-After"];
        assert_eq!(refuses, wait.is_string(), "{kind}");
    }
}

fn wildcard(segment: &str) -> &str {
    if segment.starts_with('{') { "*" } else { segment }
}

#[test]
fn every_path_answers_preflight_requests_without_a_token() {
    let (_, api) = only(transformed(), "AWS::ApiGateway::RestApi");
    for (path, item) in api["Body"]["paths"].as_object().unwrap() {
        let preflight = &item["options"];
        assert_eq!(preflight["x-amazon-apigateway-integration"]["type"], "mock", "{path}");
        assert!(preflight.get("security").is_none(), "{path}: {preflight}");
    }
}

#[test]
fn access_log_is_off_by_default_and_holds_no_path_query_or_header() {
    const FIELDS: [&str; 11] = [
        "requestId",
        "requestTimeEpoch",
        // Personal data. The log exists to identify sources of floods.
        "identity.sourceIp",
        "httpMethod",
        "resourcePath",
        "status",
        "error.responseType",
        "responseLatency",
        "integrationLatency",
        "integration.status",
        "responseLength",
    ];
    let template = transformed();
    let setting = |template: &Template| {
        template.resolve(&only(template, "AWS::ApiGateway::Stage").1["AccessLogSetting"])
    };
    assert_eq!(setting(template), json!({ "Ref": "AWS::NoValue" }));
    let on = template.with(&[("ApiAccessLog", "on")]);
    assert_eq!(setting(&on)["DestinationArn"], "arn:ApiAccessLogGroup");
    let group = on.resource("ApiAccessLogGroup");
    assert_eq!(
        (&group["Condition"], on.resolve(&group["Properties"]["RetentionInDays"])),
        (&json!("HasAccessLog"), json!("30"))
    );
    let format = text(&setting(&on)["Format"]).to_owned();
    let fields: Vec<&str> = format
        .split("$context.")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .filter(|field| !FIELDS.contains(field))
        .collect();
    assert!(fields.is_empty() && !format.contains('\n'), "{fields:?} in {format}");
    assert!(serde_json::from_str::<BTreeMap<String, String>>(&format).is_ok(), "{format}");
}

/// The gateway's logging role belongs to the account: deleting a stack that owns it would remove it
/// from all other stacks.
#[test]
fn template_does_not_set_the_gateway_account_role() {
    assert_eq!(transformed().resources("AWS::ApiGateway::Account").count(), 0);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
