//! The alarms that roll a release back, one or more for each service.

use std::fmt::Write;

use shared::operation::{Operation, Trigger};
use tests::{
    api::routes::{ROUTES, Who},
    shop,
};

use crate::pascal;

/// The operations between an order and its money, and those that make its price, that no request of
/// a buyer reaches. Together with the routes of buyers, the errors of their new versions roll a
/// release back.
const MONEY_PATH: [&str; 14] = [
    "compile-market",
    "publish-pricing-events",
    "create-refund",
    "ship-order",
    "advance-order",
    "publish-order-events",
    "open-payment",
    "charge-payment",
    "cancel-payment",
    "refund-payment",
    "publish-payment-events",
    "reserve-stock",
    "commit-stock",
    "release-stock",
];

/// Routes of buyers that a purchase does not need. No release alarm watches them, because each
/// metric of an alarm costs money.
const BESIDE_PURCHASES: [&str; 4] =
    ["create-address", "delete-address", "list-addresses", "update-address"];

/// CloudWatch's limit for the metrics of an alarm is ten. The first alarm of a service also watches
/// the service's own 5xx.
const ERRORS_PER_ALARM: usize = 9;

/// The operations of a service whose errors roll a release back: the routes that buyers need for a
/// purchase, and the money path.
pub fn watched(service: &str) -> Vec<String> {
    let is_for_admins =
        |name: &str| ROUTES.iter().any(|route| route.operation == name && route.who == Who::Admin);
    let is_watched = |operation: &&Operation| {
        let name = operation.name();
        let is_route = matches!(operation.trigger, Trigger::Http(_)) && !is_for_admins(&name);
        let is_beside = BESIDE_PURCHASES.contains(&name.as_str());
        let is_needed = is_route && !is_beside;
        operation.service == service && (is_needed || MONEY_PATH.contains(&name.as_str()))
    };
    shop::operations().filter(is_watched).map(Operation::name).collect()
}

/// The alarms that roll a release of a service back. An error of a new version counts as five 5xx,
/// so that one threshold serves both.
pub fn release_alarms(service: &str) -> String {
    let mut text = String::new();
    for (number, functions) in watched(service).chunks(ERRORS_PER_ALARM).enumerate() {
        let is_first = number == 0;
        let suffix = if is_first { String::new() } else { (number + 1).to_string() };
        let errors = (0..functions.len()).map(|at| format!("5 * FILL(e{at}, 0)"));
        let terms: Vec<String> = errors.chain(is_first.then(|| "FILL(s, 0)".to_owned())).collect();
        let fault = if is_first {
            "failed once, or its service answered 5xx at least five times in a minute"
        } else {
            "failed once"
        };
        writeln!(text, "  {}Release{suffix}Alarm:", pascal(service)).unwrap();
        text.push_str(
            "    Type: AWS::CloudWatch::Alarm\n    Condition: HasCanary\n    Properties:\n",
        );
        let anchor = format!("{}release{suffix}alarm", service);
        writeln!(text, "      AlarmDescription: !Sub \"A new version of a function of {service} {fault}. CodeDeploy rolls it back. ${{RunbookUrl}}#{anchor}\"").unwrap();
        text.push_str("      Metrics:\n");
        let expression = format!("SUM([{}])", terms.join(", "));
        writeln!(text, "        - {{Id: release, Expression: \"{expression}\"}}").unwrap();
        for (at, name) in functions.iter().enumerate() {
            write_metric(&mut text, &format!("e{at}"), "AWS/Lambda", "Errors");
            let function = format!("{}Function", pascal(name));
            text.push_str("              Dimensions:\n");
            writeln!(text, "                - {{Name: FunctionName, Value: !Ref {function}}}")
                .unwrap();
            writeln!(
                text,
                "                - {{Name: Resource, Value: !Sub \"${{{function}}}:live\"}}"
            )
            .unwrap();
            writeln!(text, "                - {{Name: ExecutedVersion, Value: !GetAtt {function}.Version.Version}}").unwrap();
        }
        if is_first {
            write_metric(&mut text, "s", "Ferrocart", "ServerErrors");
            writeln!(text, "              Dimensions: [{{Name: service, Value: {service}}}, {{Name: stack, Value: !Ref Shop}}]").unwrap();
        }
        text.push_str(
            "      ComparisonOperator: GreaterThanOrEqualToThreshold\n      Threshold: 5\n",
        );
        text.push_str("      EvaluationPeriods: 1\n      TreatMissingData: notBreaching\n");
        text.push_str("      AlarmActions: [!Sub \"arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:${Shop}-alarms\"]\n\n");
    }
    text
}

fn write_metric(text: &mut String, id: &str, namespace: &str, metric: &str) {
    writeln!(text, "        - Id: {id}").unwrap();
    text.push_str("          ReturnData: false\n          MetricStat:\n            Stat: Sum\n            Period: 60\n            Metric:\n");
    writeln!(text, "              Namespace: {namespace}").unwrap();
    writeln!(text, "              MetricName: {metric}").unwrap();
}
