//! The gateway in front of the functions: the web ACL, the limits of methods, the cache, the routing
//! of methods, HTTPS in production, the domain, and the access log. Reads the template after the
//! SAM transform.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::template::{self, Template};

use shared::operation::allowed_methods;

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

#[test]
fn web_acl_limits_the_requests_of_each_address_on_the_stage() {
    let template = transformed();
    let (acl, properties) = only(template, "AWS::WAFv2::WebACL");
    assert_eq!(
        (&properties["Scope"], &properties["DefaultAction"]),
        (&json!("REGIONAL"), &json!({ "Allow": {} }))
    );
    let rules = template.resolve(&properties["Rules"]);
    for rule in rules.as_array().unwrap() {
        let rate = &rule["Statement"]["RateBasedStatement"];
        assert_eq!(
            (&rate["AggregateKeyType"], &rate["EvaluationWindowSec"]),
            (&json!("IP"), &json!(300)),
            "{rule}"
        );
        assert_eq!(
            (&rule["Action"], &rule["VisibilityConfig"]["SampledRequestsEnabled"]),
            (&json!({ "Block": {} }), &json!(false))
        );
    }
    // Together the rules count every request: one covers webhooks, the other everything else.
    let scope = |rule: usize| &rules[rule]["Statement"]["RateBasedStatement"]["ScopeDownStatement"];
    assert_eq!(rules.as_array().unwrap().len(), 2);
    assert_eq!(scope(0)["NotStatement"]["Statement"], *scope(1));
    assert_eq!(scope(1)["RegexMatchStatement"]["RegexString"], "/webhooks/payments/[a-z]+$");

    let (association, properties) = only(template, "AWS::WAFv2::WebACLAssociation");
    assert_eq!(
        (&acl["Condition"], &association["Condition"]),
        (&json!("HasWebAcl"), &json!("HasWebAcl"))
    );
    assert_eq!(template.resolve(&properties["WebACLArn"]), "arn:WebAcl");
    // The reference to the stage is also what makes CloudFormation create the stage first.
    let (_, stage) = only(template, "AWS::ApiGateway::Stage");
    assert_eq!(stage["StageName"], "v1");
    let (stage, _) = template.resources("AWS::ApiGateway::Stage").next().unwrap();
    let arn = properties["ResourceArn"]["Fn::Sub"].as_str().unwrap();
    assert_eq!(
        arn,
        format!(
            "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/restapis/${{Api}}/stages/${{{stage}}}"
        )
    );
}

#[test]
fn web_acl_is_on_in_prod_and_elsewhere_where_a_limit_is_set() {
    let template = transformed();
    for (stage, limit, local, expected) in [
        ("prod", "", "false", Some(2000)),
        ("prod", "5000", "false", Some(5000)),
        ("prod", "off", "false", None),
        ("staging", "", "false", None),
        ("dev", "", "false", None),
        ("dev", "300", "false", Some(300)),
        ("dev", "off", "false", None),
        // The emulator rejects the association.
        ("prod", "", "true", None),
        ("dev", "300", "true", None),
    ] {
        let template =
            template.with(&[("Stage", stage), ("WebAclRateLimit", limit), ("Local", local)]);
        let (_, properties) = only(&template, "AWS::WAFv2::WebACL");
        let found =
            template.resolve(&properties["Rules"][0]["Statement"]["RateBasedStatement"]["Limit"]);
        let found = text(&found)
            .parse()
            .ok()
            .or(found.as_u64())
            .filter(|_| template.condition("HasWebAcl"));
        assert_eq!(found, expected, "Stage {stage}, WebAclRateLimit {limit:?}, Local {local}");
    }
}

#[test]
fn web_acl_answers_429_as_a_problem() {
    let template = template::template();
    let response = &template.resource("Api")["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
        ["WAF_FILTERED"];
    let headers = &response["responseParameters"];
    assert_eq!(
        (&response["statusCode"], &headers["gatewayresponse.header.Retry-After"]),
        (&json!("429"), &json!("'300'"))
    );
    let body = template.resolve(&response["responseTemplates"]["application/json"]);
    let problem: Value = serde_json::from_str(text(&body)).unwrap();
    assert_eq!(problem["code"], "too_many_requests");
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
fn every_method_says_whether_it_is_cached() {
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

/// The values with which a stack has a domain.
const DOMAIN: [(&str, &str); 2] = [
    ("DomainName", "api.example.com"),
    (
        "CertificateArn",
        "arn:aws:acm:us-east-1:000000000000:certificate/11111111-2222-3333-4444-555555555555",
    ),
];

#[test]
fn domain_has_the_tls_policy_of_the_api() {
    let template = transformed();
    let (domain, properties) = only(template, "AWS::ApiGateway::DomainName");
    let api = &template::template().resource("Api")["Properties"];
    for name in ["SecurityPolicy", "EndpointAccessMode"] {
        assert_eq!(properties[name], api[name], "{name}");
    }
    assert_eq!(properties["EndpointConfiguration"], json!({ "Types": ["REGIONAL"] }));
    assert_eq!(properties["RegionalCertificateArn"], json!({ "Ref": "CertificateArn" }));
    assert_eq!(domain["Condition"], "HasDomain");

    let (mapping, properties) = only(template, "AWS::ApiGateway::BasePathMapping");
    let (stage, _) = template.resources("AWS::ApiGateway::Stage").next().unwrap();
    assert_eq!(
        (&mapping["Condition"], &properties["Stage"]),
        (&json!("HasDomain"), &json!({ "Ref": stage }))
    );
    let base = |path: &str| {
        template.with(&DOMAIN).with(&[("DomainBasePath", path)]).resolve(&properties["BasePath"])
    };
    assert_eq!((base("v1"), base("")), (json!("v1"), json!({ "Ref": "AWS::NoValue" })));

    let (record, properties) = only(template, "AWS::Route53::RecordSet");
    assert_eq!(record["Condition"], "HasDomainRecord");
    let target = &properties["AliasTarget"];
    for (name, attribute) in
        [("DNSName", "RegionalDomainName"), ("HostedZoneId", "RegionalHostedZoneId")]
    {
        assert_eq!(target[name], json!({ "Fn::GetAtt": ["ApiDomain", attribute] }));
    }
}

#[test]
fn gateway_problems_link_to_their_page_at_the_domain_or_the_stage() {
    let template = template::template();
    let answers = &template.resource("Api")["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"];
    let check = |template: &Template, root: &str| {
        for (kind, answer) in answers.as_object().unwrap() {
            let body = template.resolve(&answer["responseTemplates"]["application/json"]);
            let problem: Value = serde_json::from_str(text(&body)).unwrap();
            let header = &answer["responseParameters"]["gatewayresponse.header.Link"];
            let link = format!("'<{root}/problems/{}>; rel=\"help\"'", text(&problem["code"]));
            assert_eq!(template.resolve(header), link, "{kind}");
        }
    };
    check(template, "/v1");
    let with_domain = template.with(&DOMAIN);
    check(&with_domain, "https://api.example.com");
    check(&with_domain.with(&[("DomainBasePath", "shop")]), "https://api.example.com/shop");
    // The emulator has no domains.
    check(&with_domain.with(&[("Local", "true")]), "/v1");
}

#[test]
fn domain_needs_a_certificate_and_the_other_parameters_need_a_domain() {
    let template = transformed();
    let zone = [("HostedZoneId", "Z0123456789ABCDEFGHIJ")];
    let base = [("DomainBasePath", "v1")];
    let holds = |template: &Template, name: &str| {
        assert_eq!(template.broken_rules(), Vec::<String>::new(), "{name}");
        (template.condition("HasDomain"), template.condition("HasDomainRecord"))
    };
    assert_eq!(holds(template, "none"), (false, false));
    let with = template.with(&DOMAIN);
    assert_eq!(holds(&with, "domain"), (true, false));
    assert_eq!(holds(&with.with(&zone).with(&base), "zone"), (true, true));
    // The emulator has no domains.
    assert_eq!(holds(&with.with(&zone).with(&[("Local", "true")]), "local"), (false, false));
    for incomplete in [&DOMAIN[..1], &DOMAIN[1..], &zone[..], &base[..]] {
        assert_eq!(template.with(incomplete).broken_rules().len(), 1, "{incomplete:?}");
    }
}

#[test]
fn domain_parameters_accept_only_what_the_gateway_does() {
    let check = |parameter: &str, good: &[&str], bad: &[&str]| {
        let pattern = &transformed().document["Parameters"][parameter]["AllowedPattern"];
        let pattern = jsonschema::validator_for(&json!({ "pattern": pattern })).unwrap();
        for value in good.iter().chain(&[""]) {
            assert!(pattern.is_valid(&json!(value)), "{parameter} {value}");
        }
        for value in bad {
            assert!(!pattern.is_valid(&json!(value)), "{parameter} {value}");
        }
    };
    check(
        "DomainName",
        &["api.example.com", "a-b.example", "xn--bcher-kva.example"],
        &[
            "https://a.example",
            "a.example/",
            "localhost",
            "A.example",
            "-a.example",
            "a..b",
            "*.a.example",
        ],
    );
    check("CertificateArn", &[DOMAIN[1].1], &["arn:aws:iam::000000000000:role/a", "certificate/1"]);
    check("DomainBasePath", &["v1", "shop-api"], &["/v1", "v1/", "shop/v1", "V1", "-"]);
    check("HostedZoneId", &["Z0123456789ABCDEFGHIJ"], &["/hostedzone/Z01", "example.com", "z01"]);
}

/// The gateway's logging role belongs to the account: deleting a stack that owns it would remove it
/// from all other stacks.
#[test]
fn template_does_not_set_the_gateway_account_role() {
    assert_eq!(transformed().resources("AWS::ApiGateway::Account").count(), 0);
}

#[test]
fn prod_rejects_addresses_that_are_not_https() {
    let template = transformed();
    let good = [
        ("Stage", "prod"),
        ("PaymentProvider", "stripe"),
        ("StoreUrl", "https://shop.example"),
        ("CorsOrigin", "https://shop.example"),
    ];
    assert_eq!(template.with(&good).broken_rules(), Vec::<String>::new());
    for parameter in ["StoreUrl", "CorsOrigin"] {
        let pattern = jsonschema::validator_for(
            &json!({ "pattern": template.document["Parameters"][parameter]["AllowedPattern"] }),
        )
        .unwrap();
        let allowed = |value: &str| pattern.is_valid(&value.into());
        let rejected = |value: &str| {
            template.with(&good).with(&[(parameter, value)]).broken_rules().len() == 1
        };
        for good in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://localhost.example",
            "https://xn--bcher-kva.example",
        ] {
            assert!(allowed(good) && !rejected(good), "{parameter} {good}");
        }
        for bad in [
            "http://shop.example",
            "https://localhost",
            "https://localhost:3000",
            "https://127.0.0.1",
            "https://[::1]",
            "http://",
            "",
        ] {
            assert!(!allowed(bad), "{parameter} {bad}");
        }
        // The rule rejects every http address that the pattern accepts.
        let development: Vec<String> = (0..65_536)
            .map(|port| format!("http://localhost:{port}"))
            .filter(|address| allowed(address))
            .collect();
        assert!(
            development.contains(&"http://localhost:3000".to_owned()),
            "{parameter}: {development:?}"
        );
        for address in development {
            assert!(rejected(&address), "{parameter} {address} is accepted where Stage is prod");
            assert!(
                template.with(&[(parameter, &address)]).broken_rules().is_empty(),
                "{parameter} {address}"
            );
        }
        assert!(
            !allowed("http://localhost")
                && !allowed("http://localhost:3000/")
                && !allowed("http://localhost:3000/shop")
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
