//! The web ACL in front of the gateway limits each address.

use serde_json::{Value, json};
use tests::template;

use super::{only, text};
use crate::transformed;

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
    let (_, stage) = only(template, "AWS::ApiGateway::Stage");
    assert_eq!(stage["StageName"], "v1");
    assert_eq!(
        properties["ResourceArn"]["Fn::Sub"],
        "arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${ApiId}/stages/${ApiStage}"
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
