//! New versions get traffic in steps: after the hook has checked them, and while no alarm fires.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::template::{self, Template};

use super::{generated, none, pascal, services, transformed_files};

/// The hook itself is replaced at once: a broken hook could otherwise never be replaced.
const HOOK: &str = "check-release";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The resources of a transformed template of a type, by their logical ids.
fn resources<'a>(document: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = document["Resources"].as_object().expect("resources");
    all.iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str(), resource))
        .collect()
}

/// Whether a value names a resource of the shop: by reference in the template that owns it, by its
/// name elsewhere.
fn names(value: &Value, reference: &Value, name: &str) -> bool {
    value == reference || text(&value["Fn::Sub"]).ends_with(name)
}

#[test]
fn every_function_gets_traffic_in_steps_after_a_check() {
    let mut violations = Vec::new();
    for operation in tests::shop::operations() {
        let (name, file) =
            (operation.name(), format!("functions/{}/template.yaml", operation.service));
        let document = &transformed_files()[&file];
        let alias = &document["Resources"][format!("{}FunctionAliaslive", pascal(&name))];
        let update = &alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"];
        if name == HOOK {
            assert!(update.is_null(), "the hook cannot check itself");
            continue;
        }
        let hook = json!({ "Ref": "CheckReleaseFunction" });
        if !names(&update["BeforeAllowTrafficHook"], &hook, "${Shop}-check-release") {
            violations.push(format!("{name}: its new version is not checked by {HOOK}: see DeploymentPreference in the globals of {file}"));
            continue;
        }
        let group = text(&update["DeploymentGroupName"]["Ref"]);
        let properties = &document["Resources"][group]["Properties"];
        let config = &properties["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"];
        let default = &Template::read("template.yaml").document["Parameters"]["Canary"]["Default"];
        if config != default {
            violations.push(format!(
                "{name}: traffic is shifted by {config}, not by the parameter Canary"
            ));
        }
        let role = json!({ "Fn::GetAtt": ["ShiftTrafficRole", "Arn"] });
        if !names(&properties["ServiceRoleArn"], &role, "role/${Shop}-${AWS::Region}-shift-traffic")
        {
            violations.push(format!(
                "{name}: CodeDeploy uses another role, {}",
                properties["ServiceRoleArn"]
            ));
        }
        let events = &properties["AutoRollbackConfiguration"]["Events"];
        if !events
            .as_array()
            .is_some_and(|events| events.contains(&"DEPLOYMENT_STOP_ON_ALARM".into()))
        {
            violations.push(format!("{name}: an alarm does not roll its release back"));
        }
    }
    none(violations);
}

/// The alarms of the service's deployment groups, and the functions whose errors they watch.
#[test]
fn errors_of_routes_and_of_the_money_path_roll_a_release_back() {
    let mut violations = Vec::new();
    for service in services() {
        let document = &transformed_files()[&format!("functions/{service}/template.yaml")];
        let expected: BTreeSet<String> = generated::watched(&service)
            .iter()
            .map(|name| format!("{}Function", pascal(name)))
            .collect();
        let (mut watched, mut alarms, mut watches_5xx) = (BTreeSet::new(), BTreeSet::new(), false);
        let all = resources(document, "AWS::CloudWatch::Alarm");
        for (id, alarm) in all.into_iter().filter(|(_, alarm)| alarm["Condition"] == "HasCanary") {
            alarms.insert(id.to_owned());
            let metrics = alarm["Properties"]["Metrics"].as_array().expect("metrics");
            assert!(metrics.len() <= 11, "{id} has more than ten metrics");
            for metric in metrics.iter().map(|metric| &metric["MetricStat"]["Metric"]) {
                let value = |name: &str| {
                    let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
                    dimensions.filter(|one| one["Name"] == name).map(|one| &one["Value"]).next()
                };
                if metric["MetricName"] == "ServerErrors" {
                    watches_5xx |= value("service") == Some(&json!(service))
                        && value("stack") == Some(&json!({ "Ref": "Shop" }));
                }
                if metric["MetricName"] != "Errors" {
                    continue;
                }
                let function = text(&value("FunctionName").expect("a function")["Ref"]).to_owned();
                let alias = value("Resource").map(|alias| text(&alias["Fn::Sub"]));
                assert_eq!(alias, Some(format!("${{{function}}}:live").as_str()), "{id}");
                // The version of this release, which the alias gets.
                let version = &document["Resources"][format!("{function}Aliaslive")]["Properties"]
                    ["FunctionVersion"];
                assert_eq!(
                    value("ExecutedVersion"),
                    Some(version),
                    "{id} watches another version of {function}"
                );
                watched.insert(function);
            }
        }
        if watched != expected {
            violations.push(format!(
                "{service}: the alarms of releases watch {watched:?}, not {expected:?}"
            ));
        }
        if !expected.is_empty() && !watches_5xx {
            violations
                .push(format!("{service}: no alarm of releases watches the service's own 5xx"));
        }
        for (group, resource) in resources(document, "AWS::CodeDeploy::DeploymentGroup") {
            let configured = &resource["Properties"]["AlarmConfiguration"]["Fn::If"][1]["Alarms"];
            let configured: BTreeSet<String> = configured
                .as_array()
                .into_iter()
                .flatten()
                .map(|alarm| text(&alarm["Name"]["Ref"]).to_owned())
                .collect();
            if configured != alarms {
                violations.push(format!(
                    "{group} in {service} listens to {configured:?}, not to {alarms:?}"
                ));
            }
        }
    }
    none(violations);
}

/// CodeDeploy's role may shift traffic of this shop's functions and invoke the hook, and nothing
/// else. `DescribeAlarms` cannot be limited to alarms.
#[test]
fn role_of_deployments_is_limited_to_the_shop() {
    let template = template::template();
    let role = template.resolve(&template.resource("ShiftTrafficRole")["Properties"]);
    let statements = &role["Policies"][0]["PolicyDocument"]["Statement"];
    let wide: Vec<&Value> = statements
        .as_array()
        .into_iter()
        .flatten()
        .filter(|statement| statement["Resource"] == "*")
        .map(|statement| &statement["Action"])
        .collect();
    assert_eq!(wide, [&json!("cloudwatch:DescribeAlarms")]);
    assert_eq!(statements.as_array().map(Vec::len), Some(3));
    assert_eq!(
        statements[0]["Resource"],
        "arn:aws:lambda:us-east-1:000000000000:function:ferrocart-*"
    );
    assert_eq!(statements[1]["Resource"], "arn:CheckReleaseFunction");
    assert_eq!(role["RoleName"], "ferrocart-us-east-1-shift-traffic");
}

/// The other services name platform's role and hook, so platform is deployed first.
#[test]
fn platform_is_deployed_before_the_services_that_need_its_hook() {
    let root = Template::read("template.yaml");
    let mut violations = Vec::new();
    for (id, nested) in
        root.resources("AWS::Serverless::Application").filter(|(id, _)| *id != "Platform")
    {
        if nested["DependsOn"] != "Platform" {
            violations.push(format!("{id} in template.yaml: add DependsOn: Platform"));
        }
    }
    none(violations);
}
