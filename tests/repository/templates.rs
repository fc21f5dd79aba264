//! The templates of the services fit together: the same globals, the same parameters, and no
//! service resource in the root.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tests::template::{self, Template};

use super::{none, transformed_files};

/// The resources that all services share: the API and its log, the alarm topic, and the saved
/// queries, which need the log groups of all services.
const SHARED: [&str; 9] = [
    "AlarmEmailSubscription",
    "AlarmTopic",
    "Api",
    "ApiAccessLogGroup",
    "Apiv1Stage",
    "ByOrderQuery",
    "ByTraceQuery",
    "ErrorsQuery",
    "SlowRequestsQuery",
];

/// The longest region name of AWS today.
const LONGEST_REGION: &str = "ap-southeast-1";
/// The maximum length of `Shop`.
const LONGEST_SHOP: usize = 24;
/// IAM's limit for role names.
const LONGEST_ROLE_NAME: usize = 64;

fn services() -> Vec<(String, Template)> {
    template::files().into_iter().map(|file| (file.clone(), Template::read(&file))).collect()
}

fn members<'a>(value: &'a Value, what: &str) -> &'a Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{what}: {value}"))
}

/// SAM does not pass the globals of the root to nested stacks.
#[test]
fn globals_are_the_same_in_every_service() {
    let mut seen: BTreeMap<String, (String, Value)> = BTreeMap::new();
    let mut violations = Vec::new();
    for (file, service) in services() {
        let globals = members(&service.document["Globals"]["Function"], &file).clone();
        let mut settings: BTreeMap<String, Value> =
            globals.into_iter().filter(|(name, _)| name != "Environment").collect();
        // Each service has its own alarms; tests/repository/releases.rs checks the rest.
        let release = settings.remove("DeploymentPreference").unwrap_or_default();
        settings.insert("DeploymentPreference.Type".to_owned(), release["Type"].clone());
        // Each service has a separate log group.
        let log_group = settings.remove("LoggingConfig");
        if !log_group.is_some_and(|config| {
            service.resource(config["LogGroup"]["Ref"].as_str().unwrap_or_default()).is_object()
        }) {
            violations.push(format!("{file} does not name its log group in the globals"));
        }
        let variables =
            members(&service.document["Globals"]["Function"]["Environment"]["Variables"], &file);
        settings.extend(
            variables.iter().map(|(name, value)| (name.clone(), name_of_table(&service, value))),
        );
        for (name, value) in settings {
            let (first, known) =
                seen.entry(name.clone()).or_insert_with(|| (file.clone(), value.clone()));
            if *known != value {
                violations.push(format!("{name} is {value} in {file}, but {known} in {first}"));
            }
        }
    }
    none(violations);
}

/// The owner of a table refers to it by logical id, all others by name.
fn name_of_table(service: &Template, value: &Value) -> Value {
    let table =
        value["Ref"].as_str().map(|id| service.resource(id)["Properties"]["TableName"].clone());
    table.filter(|name| !name.is_null()).unwrap_or_else(|| value.clone())
}

/// A service has the same settings whether the root deploys it or it is deployed alone.
#[test]
fn parameters_of_services_are_those_of_the_root() {
    let root = Template::read("template.yaml");
    let mut violations = Vec::new();
    for (file, service) in services() {
        let (_, nested) = root
            .resources("AWS::Serverless::Application")
            .find(|(_, nested)| nested["Properties"]["Location"] == file.as_str())
            .unwrap_or_else(|| {
                panic!("template.yaml does not deploy {file}: add an AWS::Serverless::Application")
            });
        let passed = members(&nested["Properties"]["Parameters"], &file);
        let declared = members(&service.document["Parameters"], &file);
        let names = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
        if names(passed) != names(declared) {
            violations.push(format!(
                "{file} has the parameters {:?}, but template.yaml passes {:?}",
                names(declared),
                names(passed)
            ));
        }
        for (name, value) in passed {
            let expected = match name.as_str() {
                "Shop" => "AWS::StackName",
                "ApiId" => "Api",
                // The reference makes CloudFormation create the stage before its web ACL.
                "ApiStage" => "Api.Stage",
                other => other,
            };
            if value["Ref"] != expected {
                violations.push(format!(
                    "template.yaml passes {value} as {name} of {file}, not {expected}"
                ));
            }
        }
        for (name, parameter) in declared
            .iter()
            .filter(|(name, _)| !["Shop", "ApiId", "ApiStage"].contains(&name.as_str()))
        {
            let known = &root.document["Parameters"][name];
            if (&parameter["Type"], parameter.get("Default"))
                != (&known["Type"], known.get("Default"))
            {
                violations.push(format!("the parameter {name} of {file} has another type or default than that of template.yaml"));
            }
        }
    }
    none(violations);
}

/// A resource and an output in different templates may depend on the same condition.
#[test]
fn conditions_of_the_same_name_are_the_same_in_every_template() {
    let root = ("template.yaml".to_owned(), Template::read("template.yaml"));
    let mut seen: BTreeMap<String, (String, Value)> = BTreeMap::new();
    let mut violations = Vec::new();
    for (file, template) in services().into_iter().chain([root]) {
        for (name, condition) in members(&template.document["Conditions"], &file) {
            let (first, known) =
                seen.entry(name.clone()).or_insert_with(|| (file.clone(), condition.clone()));
            if known != condition {
                violations.push(format!("{name} is {condition} in {file}, but {known} in {first}"));
            }
        }
    }
    none(violations);
}

#[test]
fn root_has_no_permission_and_no_resource_of_a_service() {
    let root = &transformed_files()["template.yaml"];
    let mut violations = Vec::new();
    for (id, resource) in members(&root["Resources"], "template.yaml") {
        let kind = resource["Type"].as_str().unwrap_or_default();
        let shared = SHARED.contains(&id.as_str()) || id.starts_with("ApiDeployment");
        if kind != "AWS::CloudFormation::Stack" && !shared {
            violations.push(format!(
                "{id} ({kind}) is in template.yaml: move it to the template of its service"
            ));
        }
    }
    none(violations);
}

/// A release moves the alias `live`. A call without the alias would run unreleased code.
#[test]
fn everything_that_calls_a_function_names_its_alias() {
    let mut violations = Vec::new();
    for (file, template) in transformed_files() {
        for (id, resource) in members(&template["Resources"], file) {
            let properties = &resource["Properties"];
            let targets: Vec<&Value> = match resource["Type"].as_str().unwrap_or_default() {
                "AWS::Lambda::EventSourceMapping" | "AWS::Lambda::Permission" => {
                    vec![&properties["FunctionName"]]
                }
                "AWS::Events::Rule" => properties["Targets"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|target| &target["Arn"])
                    .collect(),
                "AWS::SecretsManager::RotationSchedule" => vec![&properties["RotationLambdaARN"]],
                "AWS::Lambda::EventInvokeConfig" if properties["Qualifier"] == "$LATEST" => {
                    vec![properties]
                }
                _ => Vec::new(),
            };
            for target in targets {
                let is_queue =
                    target["Fn::GetAtt"][0].as_str().is_some_and(|id| id.ends_with("Queue"));
                if !is_queue
                    && !target["Ref"]
                        .as_str()
                        .is_some_and(|name| name.ends_with("FunctionAliaslive"))
                {
                    violations.push(format!(
                        "{id} in {file} calls {target}, not the alias of a function"
                    ));
                }
            }
        }
    }
    none(violations);
}

/// Policies refer to the roles of publishers by name. Unlike a principal, a condition may name a
/// role that does not exist yet.
#[test]
fn names_of_roles_fit_into_iam() {
    let mut violations = Vec::new();
    for (file, service) in services() {
        let pattern =
            service.document["Parameters"]["Shop"]["AllowedPattern"].as_str().unwrap_or_default();
        if pattern != format!("^[a-z0-9-]{{1,{LONGEST_SHOP}}}$") {
            violations.push(format!("{file} allows a Shop of {pattern}"));
        }
        for (id, role) in service.resources("AWS::IAM::Role") {
            let name = role["Properties"]["RoleName"]["Fn::Sub"].as_str().unwrap_or_default();
            let longest = name
                .replace("${Shop}", &"x".repeat(LONGEST_SHOP))
                .replace("${AWS::Region}", LONGEST_REGION);
            if name.is_empty() || longest.len() > LONGEST_ROLE_NAME {
                violations.push(format!("the role {id} in {file} would be called {longest:?}: IAM takes {LONGEST_ROLE_NAME} characters"));
            }
        }
    }
    none(violations);
}
