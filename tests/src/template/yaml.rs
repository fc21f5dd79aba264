//! Short tags of CloudFormation in their long form.

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

/// YAML with CloudFormation's tags as JSON in the long form.
pub(super) fn spelled_out(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let value = spelled_out(tagged.value);
            match tag.trim_start_matches('!') {
                "GetAtt" => {
                    let parts = value
                        .as_str()
                        .and_then(|text| text.split_once('.'))
                        .map(|(id, attribute)| json!([id, attribute]));
                    json!({ "Fn::GetAtt": parts.unwrap_or(value) })
                }
                name @ ("Ref" | "Condition") => json!({ name: value }),
                name => json!({ format!("Fn::{name}"): value }),
            }
        }
        Yaml::Mapping(members) => {
            let key = |key: Yaml| match key {
                Yaml::String(text) => text,
                other => serde_yaml_ng::to_string(&other).unwrap_or_default().trim().to_owned(),
            };
            Value::Object(
                members.into_iter().map(|(name, value)| (key(name), spelled_out(value))).collect(),
            )
        }
        Yaml::Sequence(items) => items.into_iter().map(spelled_out).collect(),
        scalar => serde_json::to_value(scalar).unwrap_or_default(),
    }
}
