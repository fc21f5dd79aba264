//! The domain of the API, and HTTPS in production.

use serde_json::{Value, json};
use tests::template::{self, Template};

use super::{only, text};
use crate::transformed;

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
    assert_eq!(
        (&mapping["Condition"], &properties["Stage"]),
        (&json!("HasDomain"), &json!({ "Ref": "ApiStage" }))
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
fn root_has_the_outputs_of_the_domain() {
    let [root, platform] =
        ["template.yaml", "functions/platform/template.yaml"].map(Template::read);
    for name in ["DomainUrl", "DomainTarget"] {
        let output = &root.document["Outputs"][name];
        let nested = json!({ "Fn::GetAtt": ["Platform", format!("Outputs.{name}")] });
        assert_eq!((&output["Condition"], &output["Value"]), (&json!("HasDomain"), &nested));
        assert_eq!(platform.document["Outputs"][name]["Condition"], "HasDomain", "{name}");
    }
    let url = |base: &str| {
        let output = &platform.document["Outputs"]["DomainUrl"]["Value"];
        platform.with(&DOMAIN).with(&[("DomainBasePath", base)]).resolve(output)
    };
    assert_eq!(url(""), "https://api.example.com");
    assert_eq!(url("v1"), "https://api.example.com/v1");
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
