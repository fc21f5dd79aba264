//! The name of the shop, and the permissions to send its mails.

use serde_json::{Value, json};
use tests::template;

use super::{statements, text};

pub(super) const ANY_IDENTITY: &str = "arn:aws:ses:us-east-1:000000000000:identity/*";

pub(super) const SENDERS_OF_MAIL: [&str; 2] = ["send-notification", "send-account-notification"];

#[test]
fn shop_names_fit_into_one_mail_header_line() {
    let template = template::template();
    let parameter = &template.document["Parameters"]["ShopName"];
    let pattern =
        jsonschema::validator_for(&json!({ "pattern": parameter["AllowedPattern"] })).unwrap();
    let allowed = |name: &str| pattern.is_valid(&name.into());
    for name in [
        &text(&parameter["Default"]),
        "X",
        "Lamp, Spoon & Co.",
        "Caf\u{e9} M\u{fc}ller",
        &"x".repeat(50),
    ] {
        assert!(allowed(name), "{name}");
    }
    for name in [
        "",
        " ",
        "Shop ",
        " Shop",
        "A \"shop\"",
        "Shop <a@b.example>",
        "a\\b",
        "a\nb",
        "a\u{7f}b",
        &"x".repeat(51),
    ] {
        assert!(!allowed(name), "{name:?}");
    }
}

/// In SES's sandbox every recipient is a verified identity, and SES authorises those too.
#[test]
fn mails_may_go_to_verified_recipients_from_the_sender_alone() {
    let template = template::template();
    let granted = |function: &str, local: &str| {
        let template = template.with(&[("Local", local)]);
        let properties = template.resolve(&template.resource(function)["Properties"]);
        let statements: Vec<Value> = statements(&properties).into_iter().cloned().collect();
        statements
            .into_iter()
            .filter(|statement| statement["Action"] == json!(["ses:SendEmail"]))
            .collect::<Vec<_>>()
    };
    for function in ["SendNotificationFunction", "SendAccountNotificationFunction"] {
        let on_aws = granted(function, "false");
        assert_eq!(on_aws.len(), 2);
        assert_eq!(on_aws[0]["Resource"], ANY_IDENTITY);
        assert_eq!(
            on_aws[0]["Condition"],
            json!({ "StringEquals": { "ses:FromAddress": "SenderAddress" } })
        );
        assert_eq!(
            on_aws[1]["Resource"],
            "arn:aws:ses:us-east-1:000000000000:configuration-set/ferrocart-mail"
        );
        assert!(on_aws[1].get("Condition").is_none());
        // The emulator does not know the condition key.
        let on_the_emulator = &granted(function, "true")[0];
        assert_eq!(
            on_the_emulator["Resource"],
            "arn:aws:ses:us-east-1:000000000000:identity/SenderAddress"
        );
        assert_eq!(on_the_emulator["Condition"], json!({ "Ref": "AWS::NoValue" }));
    }
}

#[test]
fn sender_identity_is_created_only_on_request() {
    let template = template::template();
    assert_eq!(template.resource("SenderEmailIdentity")["Condition"], "CreatesSenderIdentity");
    assert!(template.condition("CreatesSenderIdentity"));
    assert!(!template.with(&[("SenderIdentity", "existing")]).condition("CreatesSenderIdentity"));
    // Each mail names the configuration set: the identity may belong to another stack.
    for function in ["SendNotificationFunction", "SendAccountNotificationFunction"] {
        let variables = template
            .resolve(&template.resource(function)["Properties"]["Environment"]["Variables"]);
        assert_eq!(variables["MAIL_CONFIGURATION_SET"], "ferrocart-mail", "{function}");
    }
}
