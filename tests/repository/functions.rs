//! The permissions, the callers and the timeouts of each function.

mod mails;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::template::{self, Template};

use self::mails::{ANY_IDENTITY, SENDERS_OF_MAIL};
use super::{functions, generated, none, operations, timeout, transformed, transformed_with};

/// Public routes besides pages. Adding one is a security decision.
const PUBLIC: [&str; 15] = [
    "POST /users",
    "POST /users/login",
    // The token in the body identifies the caller.
    "POST /users/token/refresh",
    "POST /users/password-reset/confirm",
    "POST /users/verify-email",
    "POST /users/email-change/withdraw",
    "POST /users/password-reset",
    "GET /.well-known/jwks.json",
    "GET /products",
    "GET /products/{product_id}",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/{service}",
    // The provider's signature identifies the sender.
    "POST /webhooks/payments/{provider}",
];

/// Public routes that return more to an admin, and those of prices and carts, where an invalid
/// access token is an error.
const PUBLIC_WITH_TOKEN: [&str; 6] = [
    "GET /inventory/{product_id}",
    "POST /prices/preview",
    // The header `X-Cart-Token` opens the cart of a guest.
    "POST /carts",
    "GET /carts/{cart_id}",
    "POST /carts/{cart_id}/changes",
    "GET /carts/{cart_id}/shipping-options",
];

/// X-Ray has no resources, so its managed policies grant writing on `*`. SAM attaches the first
/// one; our own roles use the second one, which every partition has.
const XRAY_POLICIES: [&str; 2] = [
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
    "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess",
];

/// Lets a function write its log.
const LOG_POLICY: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";

/// The hook of CodeDeploy invokes the new version of any function of the shop, and reads any of its
/// deployments: neither has a name before the deployment.
const DURING_DEPLOYMENTS: [(&str, &str); 4] = [
    ("codedeploy:GetDeployment", "codedeploy:us-east-1:000000000000:deploymentgroup:ferrocart-*"),
    (
        "codedeploy:PutLifecycleEventHookExecutionStatus",
        "codedeploy:us-east-1:000000000000:deploymentgroup:ferrocart-*",
    ),
    (
        "codedeploy:GetApplicationRevision",
        "codedeploy:us-east-1:000000000000:application:ferrocart-*",
    ),
    ("lambda:InvokeFunction", "lambda:us-east-1:000000000000:function:ferrocart-*:*"),
];

/// The health check reads the ages of messages. Metrics have no resources: a permission to read
/// them is one on `*`.
const READS_METRICS: (&str, &str) = ("check-health", "cloudwatch:GetMetricData");

/// The timeout of API Gateway.
const GATEWAY_SECONDS: u64 = 29;

/// The routes of a function: method and path.
pub fn routes(function: &str) -> Vec<(String, String)> {
    let of_function = generated::routes().filter(|(operation, _)| operation.name() == function);
    of_function.map(|(_, route)| (route.method.to_owned(), route.path.to_owned())).collect()
}

/// The authorizer of each route of the API after the SAM transform, by method and path. `GET`
/// represents a method that serves all others.
fn authorizers_of_routes() -> BTreeMap<String, String> {
    let (_, api) = transformed().resources("AWS::ApiGateway::RestApi").next().unwrap();
    let mut authorizers = BTreeMap::new();
    for (path, item) in api["Properties"]["Body"]["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(method, _)| *method != "options")
        {
            let method = if method == "x-amazon-apigateway-any-method" {
                "GET".to_owned()
            } else {
                method.to_uppercase()
            };
            let schemes = operation["security"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|one| one.as_object().unwrap().keys());
            let schemes: Vec<&str> = schemes.map(String::as_str).collect();
            authorizers.insert(format!("{method} {path}"), schemes.join(" and "));
        }
    }
    authorizers
}

#[test]
fn every_route_has_an_authorizer_or_is_on_the_public_list() {
    let template = template::template();
    let (_, api) = template.resources("AWS::Serverless::Api").next().unwrap();
    let authorizers = &api["Properties"]["Auth"]["Authorizers"];
    let default = text(&api["Properties"]["Auth"]["DefaultAuthorizer"]);
    assert!(
        authorizers.get(&default).is_some(),
        "the API has no default authorizer: a route without an authorizer would be public"
    );
    let mut violations = Vec::new();
    let seen = authorizers_of_routes();
    let pages: BTreeSet<String> = generated::routes()
        .filter(|(operation, _)| operation.serves_pages())
        .map(|(_, route)| format!("{} {}", route.method, route.path))
        .collect();
    for (route, authorizer) in &seen {
        let expected = match route.as_str() {
            open if PUBLIC.contains(&open) || pages.contains(open) => "NONE",
            optional if PUBLIC_WITH_TOKEN.contains(&optional) => "OptionalBearer",
            _ => &default,
        };
        if authorizer != expected {
            violations.push(format!("{route} has the authorizer {authorizer}, but the list of public routes in this test says {expected}"));
        }
    }
    for (operation, route) in generated::routes()
        .filter(|(_, route)| !seen.contains_key(&format!("{} {}", route.method, route.path)))
    {
        violations.push(format!(
            "{} {} ({}) is not a route of the API",
            route.method,
            route.path,
            operation.name()
        ));
    }
    assert_eq!(seen.len(), generated::routes().count(), "two functions serve the same route");
    for route in PUBLIC.iter().chain(&PUBLIC_WITH_TOKEN).filter(|route| !seen.contains_key(**route))
    {
        violations.push(format!("{route} is on the list of public routes, but does not exist"));
    }
    none(violations);
}

fn statements(properties: &Value) -> Vec<&Value> {
    let policies = properties["Policies"].as_array().into_iter().flatten();
    policies.flat_map(|policy| policy["Statement"].as_array().into_iter().flatten()).collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_function_has_its_own_role_with_exact_actions_on_exact_resources() {
    let mut violations = Vec::new();
    let mut roles = BTreeSet::new();
    for (name, (_, properties)) in functions(template::template()) {
        if properties.get("Role").is_some_and(|role| !roles.insert(role.to_string())) {
            violations.push(format!("{name} borrows a role: every function has its own"));
        }
        for policy in properties["Policies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|policy| policy.get("Statement").is_none())
        {
            violations.push(format!(
                "{name} uses a ready-made policy, {policy}: write exact statements instead"
            ));
        }
        for statement in statements(&properties) {
            if statement["Effect"] != "Allow" {
                violations
                    .push(format!("{name} has a statement that is not an Allow: {statement}"));
            }
            let (actions, resources) = (texts(&statement["Action"]), texts(&statement["Resource"]));
            if actions.is_empty() || resources.is_empty() {
                violations.push(format!(
                    "{name} has a statement without actions or resources: {statement}"
                ));
            }
            // SES authorises recipients as well: any identity, as long as the sender is fixed.
            if SENDERS_OF_MAIL.contains(&name.as_str())
                && actions == ["ses:SendEmail"]
                && resources == [ANY_IDENTITY]
            {
                let sender = template::template().resolve(&json!({ "Ref": "SenderAddress" }));
                if statement["Condition"]
                    != json!({ "StringEquals": { "ses:FromAddress": sender } })
                {
                    violations.push(format!("{name} may send from any address: {statement}"));
                }
                continue;
            }
            let is_exempt = |action: &String| {
                resources.iter().all(|resource| {
                    let resource = resource.strip_prefix("arn:aws:").unwrap_or(resource);
                    DURING_DEPLOYMENTS.contains(&(action, resource))
                })
            };
            if name == "check-release" && actions.iter().all(is_exempt) {
                continue;
            }
            if (name.as_str(), actions.as_slice())
                == (READS_METRICS.0, &[READS_METRICS.1.to_owned()])
                && resources == ["*"]
            {
                continue;
            }
            for wide in actions.iter().chain(&resources).filter(|text| text.contains('*')) {
                violations.push(format!("{name} may do more than it must: {wide}"));
            }
        }
    }
    none(violations);
}

/// The managed policies of each function's role, by the role's logical id.
fn managed_policies(template: &Template) -> BTreeMap<String, Vec<String>> {
    let policies = |(id, role): (&str, &Value)| {
        let managed = template.resolve(&role["Properties"]["ManagedPolicyArns"]);
        (id.to_owned(), texts(&managed))
    };
    template.resources("AWS::IAM::Role").map(policies).collect()
}

#[test]
fn functions_trace_with_x_ray_only_if_the_parameter_enables_it() {
    let active = transformed_with("XRay", "Active");
    for (template, mode) in [(transformed(), Value::Null), (&active, "Active".into())] {
        let is_active = mode == "Active";
        let mut functions = 0;
        for (id, function) in template.resources("AWS::Lambda::Function") {
            let tracing = template.resolve(&function["Properties"]["TracingConfig"]["Mode"]);
            assert_eq!(tracing, mode, "{id}");
            functions += 1;
        }
        assert_eq!(functions, operations().len());
        let stage = template.resource("Apiv1Stage");
        assert_eq!(template.resolve(&stage["Properties"]["TracingEnabled"]), is_active);
        let roles = managed_policies(template).into_iter();
        for (role, policies) in roles.filter(|(role, _)| role != "ShiftTrafficRole") {
            let [log, others @ ..] = &policies[..] else { panic!("{role} has no policy") };
            assert_eq!(log, LOG_POLICY, "{role}");
            assert_eq!(others.len(), usize::from(is_active), "{role}: {others:?}");
            assert!(others.iter().all(|arn| XRAY_POLICIES.contains(&arn.as_str())), "{others:?}");
        }
    }
}

/// Operators find the queries by name, and make trace searches the same log groups.
#[test]
fn saved_queries_search_the_log_group_of_every_service() {
    let template = template::template();
    let services: BTreeSet<String> =
        operations().into_iter().map(|operation| operation.service).collect();
    let expected: BTreeSet<String> =
        services.iter().map(|service| format!("/aws/lambda/ferrocart-{service}")).collect();
    let mut names = BTreeSet::new();
    for (id, query) in template.resources("AWS::Logs::QueryDefinition") {
        assert_eq!(query["Condition"], "OnAws", "{id}: the emulator has no saved queries");
        let properties = template.resolve(&query["Properties"]);
        let groups: BTreeSet<String> = texts(&properties["LogGroupNames"]).into_iter().collect();
        assert_eq!(groups, expected, "{id}");
        names.insert(text(&properties["Name"]));
    }
    let expected = ["by order", "by trace", "errors", "slow requests"];
    assert_eq!(names, BTreeSet::from(expected.map(|name| format!("ferrocart/{name}"))));
}

/// The emulator has no metrics of queues, and does not read the SDK's requests for metrics.
#[test]
fn ages_of_messages_are_read_on_aws_only() {
    for (local, expected) in [("false", "on"), ("true", "")] {
        let template = template::template().with(&[("Local", local)]);
        let properties = &template.resource("CheckHealthFunction")["Properties"];
        let variables = template.resolve(&properties["Environment"]["Variables"]);
        assert_eq!(variables["QUEUE_AGES"], expected, "Local={local}");
    }
}

#[test]
fn a_table_is_written_by_exactly_one_service() {
    const WRITES: [&str; 4] = [
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
    ];
    let functions = functions(template::template());
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations() {
        let Some((_, properties)) = functions.get(&operation.name) else { continue };
        for statement in statements(properties) {
            if texts(&statement["Action"]).iter().any(|action| WRITES.contains(&action.as_str())) {
                for table in texts(&statement["Resource"]) {
                    writers
                        .entry(table.trim_start_matches("arn:").to_owned())
                        .or_default()
                        .insert(operation.service.clone());
                }
            }
        }
    }
    none(
        writers
            .iter()
            .filter(|(_, services)| services.len() > 1)
            .map(|(table, services)| {
                format!("{table} is written by {services:?}: it has one owner")
            })
            .collect(),
    );
    for (id, _) in template::template().resources("AWS::DynamoDB::Table") {
        assert!(writers.contains_key(id), "no function may write {id}");
    }
}

/// Tests use the simulated provider, so they would not notice that a function cannot reach the real
/// one.
#[test]
fn functions_with_the_simulator_have_access_to_the_real_provider() {
    let template = template::template();
    let (mut violations, mut seen) = (Vec::new(), 0);
    for (name, (id, _)) in functions(template) {
        let policies = template.resource(&id)["Properties"]["Policies"].to_string();
        // The owner refers to a resource by logical id, all others by name.
        let names = |id: &str, name: &str| policies.contains(id) || policies.contains(name);
        let asks = names("PaymentSimulatorTable", "${Shop}-payment-simulator")
            && !policies.contains("dynamodb:DescribeTable");
        let has_key = names("StripeKeySecret", "${Shop}/stripe-key");
        seen += usize::from(asks);
        if asks && !has_key {
            violations.push(format!(
                "{name} may use the table of the simulated provider, but not the key of Stripe"
            ));
        }
        if !asks && has_key {
            violations.push(format!(
                "{name} may use the key of Stripe, but not the table of the simulated provider"
            ));
        }
    }
    none(violations);
    assert!(seen >= 8, "only {seen} functions call the provider");
}

#[test]
fn no_function_may_scan() {
    let functions = functions(template::template());
    let scans = functions.iter().filter(|(_, (_, properties))| {
        statements(properties).iter().any(|statement| {
            texts(&statement["Action"]).iter().any(|action| action == "dynamodb:Scan")
        })
    });
    none(
        scans
            .map(|(name, _)| {
                format!(
                    "{name} may scan a table: its cost would grow with everything that is stored"
                )
            })
            .collect(),
    );
}

#[test]
fn time_limits_fit_into_those_of_the_gateway() {
    let mut violations = Vec::new();
    for (name, (_, properties)) in functions(template::template()) {
        let seconds = timeout(&properties);
        if !routes(&name).is_empty() && seconds > GATEWAY_SECONDS {
            violations.push(format!(
                "{name} may run for {seconds} s, but the gateway times out after {GATEWAY_SECONDS}"
            ));
        }
        if seconds * 1000
            < 3 * u64::try_from(shared::aws::timeouts().operation_timeout().unwrap().as_millis())
                .unwrap()
                / 2
        {
            violations.push(format!("{name} may run for {seconds} s: that is not enough for one call of AWS with all its tries and an answer"));
        }
    }
    none(violations);
}

#[test]
fn every_function_has_a_log_group_with_retention() {
    let template = template::template();
    let mut violations = Vec::new();
    for operation in operations() {
        let service = &operation.service;
        let (id, properties) = &functions(template)[&operation.name];
        let group = properties["LoggingConfig"]["LogGroup"].as_str().unwrap_or_default().to_owned();
        let group = template.resources("AWS::Logs::LogGroup").find(|(log, _)| *log == group);
        let kept = group.map(|(_, group)| template.resolve(&group["Properties"]));
        match kept {
            Some(kept) if kept["LogGroupName"] == format!("/aws/lambda/ferrocart-{service}") && !kept["RetentionInDays"].is_null() => {}
            _ => violations.push(format!(
                "{id} does not log to /aws/lambda/<shop>-{service} with a retention: Lambda would create a log group without retention"
            )),
        }
    }
    none(violations);
}

#[test]
fn every_table_is_retained_and_restorable() {
    let template = template::template();
    let mut violations = Vec::new();
    for (id, resource) in template.resources("AWS::DynamoDB::Table") {
        let table = template.resolve(&resource["Properties"]);
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                violations.push(format!("{id} {what}"));
            }
        };
        expect(table["BillingMode"] == "PAY_PER_REQUEST", "is not on demand");
        expect(
            table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] == true,
            "cannot be restored to a point in time",
        );
        expect(table["SSESpecification"]["SSEEnabled"] == true, "is not encrypted with a KMS key");
        expect(
            resource["DeletionPolicy"] == "RetainExceptOnCreate",
            "has a DeletionPolicy other than RetainExceptOnCreate",
        );
        expect(
            resource["UpdateReplacePolicy"] == "Retain",
            "has an UpdateReplacePolicy other than Retain",
        );
        expect(
            table.get("DeletionProtectionEnabled").is_none(),
            "sets DeletionProtectionEnabled: a first deployment that fails could not be rolled back. make deploy turns it on",
        );
        expect(
            table["TableName"].as_str().is_some_and(|name| name.len() >= 11),
            "has a name of fewer than 11 letters",
        );
        let stream = &table["StreamSpecification"]["StreamViewType"];
        expect(
            stream.is_null() || stream == "NEW_AND_OLD_IMAGES",
            "has a stream without both images",
        );
    }
    none(violations);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
