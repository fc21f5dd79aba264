//! References and conditions, resolved for one shop.

use serde_json::{Map, Value, json};

use super::{ACCOUNT, REGION, STACK, Template};

impl Template {
    /// Resolves the references in a value as far as possible without a deployment: parameters
    /// (their default, else their first allowed value), pseudo parameters, conditions and
    /// `Fn::Sub`. A reference to a resource becomes its name if the template sets one, else its
    /// logical id. An ARN becomes `arn:<logical id>`.
    pub fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => self.resolve_object(members),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.resolve(item))
                    .filter(|item| *item != json!({ "Ref": "AWS::NoValue" }))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn resolve_object(&self, members: &Map<String, Value>) -> Value {
        match members
            .iter()
            .next()
            .filter(|_| members.len() == 1)
            .map(|(name, value)| (name.as_str(), value))
        {
            Some(("Ref", Value::String(name))) if name != "AWS::NoValue" => {
                self.reference(name).into()
            }
            Some(("Fn::GetAtt", Value::Array(parts))) => {
                let id = parts.first().and_then(Value::as_str).unwrap_or_default();
                match parts.get(1).and_then(Value::as_str).unwrap_or_default() {
                    "QueueName" => self.reference(id).into(),
                    "Arn" | "Id" => format!("arn:{id}").into(),
                    other => format!("arn:{id}:{other}").into(),
                }
            }
            Some(("Fn::Sub", Value::String(text))) => self.substitute(text).into(),
            Some(("Fn::FindInMap", Value::Array(keys))) => {
                let keys: Vec<Value> = keys.iter().map(|key| self.resolve(key)).collect();
                let found = keys
                    .iter()
                    .filter_map(Value::as_str)
                    .try_fold(&self.document["Mappings"], |map, key| map.get(key));
                found.cloned().unwrap_or_default()
            }
            Some(("Fn::If", Value::Array(parts))) => {
                let holds = parts
                    .first()
                    .and_then(Value::as_str)
                    .is_none_or(|name| self.holds(&self.document["Conditions"][name]));
                parts
                    .get(if holds { 1 } else { 2 })
                    .map_or(Value::Null, |value| self.resolve(value))
            }
            _ => Value::Object(
                members.iter().map(|(name, value)| (name.clone(), self.resolve(value))).collect(),
            ),
        }
    }

    /// Whether a condition holds in the test stack. Unsupported conditions hold.
    pub(super) fn holds(&self, condition: &Value) -> bool {
        match condition
            .as_object()
            .and_then(|members| members.iter().next())
            .map(|(name, value)| (name.as_str(), value))
        {
            Some(("Fn::Equals", Value::Array(sides))) => {
                self.resolve(&sides[0]) == self.resolve(&sides[1])
            }
            Some(("Fn::Not", Value::Array(denied))) => {
                !denied.iter().all(|condition| self.holds(condition))
            }
            Some(("Fn::And", Value::Array(all))) => {
                all.iter().all(|condition| self.holds(condition))
            }
            Some(("Fn::Or", Value::Array(any))) => {
                any.iter().any(|condition| self.holds(condition))
            }
            Some(("Fn::Contains", Value::Array(sides))) => {
                let wanted = self.resolve(&sides[1]);
                self.resolve(&sides[0]).as_array().is_some_and(|values| values.contains(&wanted))
            }
            Some(("Condition", Value::String(name))) => {
                self.holds(&self.document["Conditions"][name])
            }
            _ => true,
        }
    }

    fn substitute(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            match name.split_once('.') {
                Some((id, "Arn")) => result.push_str(&format!("arn:{id}")),
                Some((id, attribute)) => result.push_str(&format!("arn:{id}:{attribute}")),
                None => result.push_str(&self.reference(name)),
            }
            result.push_str(rest);
        }
        self.by_logical_id(&result).unwrap_or(result)
    }

    /// Resolves a reference by logical id in an ARN or URL of a resource of these templates.
    fn by_logical_id(&self, text: &str) -> Option<String> {
        if let Some(url) = text.strip_prefix("https://sqs.") {
            return url.rsplit('/').next().map(str::to_owned);
        }
        let mut parts = text.strip_prefix("arn:aws:")?.splitn(4, ':');
        let (service, name) = (parts.next()?, parts.nth(2)?);
        let (kind, property, name) = match service {
            "dynamodb" => ("AWS::DynamoDB::Table", "TableName", name.strip_prefix("table/")?),
            "sqs" => ("AWS::SQS::Queue", "QueueName", name),
            "secretsmanager" => (
                "AWS::SecretsManager::Secret",
                "Name",
                name.strip_prefix("secret:")?.strip_suffix("-??????")?,
            ),
            _ => return None,
        };
        let (name, rest) = if kind == "AWS::DynamoDB::Table" {
            name.split_once("/index/").unwrap_or((name, ""))
        } else {
            (name, "")
        };
        let named = |(_, resource): &(&str, &Value)| {
            self.resolve(&resource["Properties"][property]) == name
        };
        let (id, _) = self.resources(kind).find(named)?;
        Some(if rest.is_empty() { format!("arn:{id}") } else { format!("arn:{id}/index/{rest}") })
    }

    fn reference(&self, name: &str) -> String {
        // A function's alias resolves to the function.
        let name = name.strip_suffix(".Alias").unwrap_or(name);
        let pseudo = match name {
            "AWS::StackName" => STACK,
            "AWS::AccountId" => ACCOUNT,
            "AWS::Region" => REGION,
            "AWS::Partition" => "aws",
            "AWS::URLSuffix" => "amazonaws.com",
            _ => "",
        };
        if !pseudo.is_empty() {
            return pseudo.to_owned();
        }
        let parameter = &self.document["Parameters"][name];
        match parameter.get("Default").unwrap_or(&parameter["AllowedValues"][0]) {
            Value::String(text) => return text.clone(),
            Value::Null => {}
            other => return other.to_string(),
        }
        let properties = &self.document["Resources"][name]["Properties"];
        let named = ["TableName", "QueueName", "FunctionName", "Name"]
            .iter()
            .find_map(|property| properties.get(*property));
        named
            .map(|value| self.resolve(value))
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_else(|| name.to_owned())
    }
}
