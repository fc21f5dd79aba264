//! How large the stack is once SAM has spelled it out. CloudFormation refuses more than 500 resources.

use std::collections::BTreeMap;

use tests::template;

/// Above this somebody has to divide the stack, while there is still room to do it in peace.
const MOST: usize = 450;

/// SAM's own rules, from "Generated CloudFormation resources" in the AWS SAM Developer Guide: what one of its resources becomes.
fn spelled_out() -> BTreeMap<String, usize> {
    let template = template::template();
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |kind: &str, many: usize| *counted.entry(kind.to_owned()).or_default() += many;
    for (_, resource) in template.all_resources() {
        let properties = &resource["Properties"];
        match resource["Type"].as_str().unwrap() {
            "AWS::Serverless::Function" => {
                count("AWS::Lambda::Function", 1);
                count("AWS::IAM::Role", usize::from(properties.get("Role").is_none()));
                count("AWS::Lambda::EventInvokeConfig", usize::from(properties.get("EventInvokeConfig").is_some()));
                for event in properties["Events"].as_object().into_iter().flat_map(|events| events.values()) {
                    match event["Type"].as_str().unwrap() {
                        "Api" => count("AWS::Lambda::Permission", 1),
                        "Schedule" | "EventBridgeRule" | "CloudWatchEvent" => {
                            count("AWS::Events::Rule", 1);
                            count("AWS::Lambda::Permission", 1);
                        }
                        "SQS" | "DynamoDB" => count("AWS::Lambda::EventSourceMapping", 1),
                        other => panic!("this test does not know what SAM makes of an event of type {other}"),
                    }
                }
            }
            "AWS::Serverless::Api" => {
                for kind in ["AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"] {
                    count(kind, 1);
                }
                count("AWS::Lambda::Permission", properties["Auth"]["Authorizers"].as_object().map_or(0, serde_json::Map::len));
            }
            other => {
                assert!(!other.starts_with("AWS::Serverless::"), "this test does not know what SAM makes of {other}");
                count(other, 1);
            }
        }
    }
    counted
}

#[test]
fn the_stack_stays_well_below_cloudformations_limit() {
    let counted = spelled_out();
    let total: usize = counted.values().sum();
    let mut largest: Vec<(&String, &usize)> = counted.iter().collect();
    largest.sort_by_key(|(_, many)| std::cmp::Reverse(**many));
    let list: Vec<String> = largest.iter().map(|(kind, many)| format!("{many:>5}  {kind}")).collect();
    let list = format!("{total} resources, of which {MOST} are allowed here and 500 by CloudFormation:\n{}", list.join("\n"));
    assert!(total <= MOST, "{list}");
    // Shown by `cargo test -p tests --test repository -- --nocapture stack`.
    eprintln!("{list}");
}
