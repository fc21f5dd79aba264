//! Reads `template.yaml` and those of the services like CloudFormation: short tags in their long
//! form, and references resolved for one shop.
//!
//! [`template`] merges them into one. Templates refer to resources of other services by name, and
//! to their own by logical id. Here both resolve to the same text.

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

/// The stack name in tests.
pub const STACK: &str = "ferrocart";
/// The account id, as in emulators.
pub const ACCOUNT: &str = "000000000000";
pub const REGION: &str = "us-east-1";

/// The root folder of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The merged templates of this repository.
///
/// # Panics
/// If one is missing or not YAML.
pub fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let read = |file: &String| Template::read(file).document;
        Template::merged(Template::read("template.yaml").document, files().iter().map(read))
    })
}

/// The templates of the services, as paths from the root.
///
/// # Panics
/// If there is no folder of services.
pub fn files() -> Vec<String> {
    let services =
        std::fs::read_dir(root().join("functions")).expect("functions/ has the services");
    let service = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.expect("a folder").file_name().to_string_lossy().into_owned()
    };
    let mut files: Vec<String> =
        services.map(service).map(|service| format!("functions/{service}/template.yaml")).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files
}
#[derive(Debug)]
pub struct Template {
    /// The document, with `!Ref x` as `{"Ref": "x"}` and so on.
    pub document: Value,
}

impl Template {
    /// Reads one template, by its path from the root.
    ///
    /// # Panics
    /// If it is missing or not YAML.
    #[must_use]
    pub fn read(file: &str) -> Self {
        Self::parse(
            &std::fs::read_to_string(root().join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}")),
        )
    }

    /// Merges the shop's template with those of its services: every resource except the nested
    /// stacks. A function includes the globals of its template, and the policies of its role if the
    /// role is a separate resource.
    ///
    /// # Panics
    /// If two templates have a resource of the same name.
    #[must_use]
    pub fn merged(shop: Value, services: impl IntoIterator<Item = Value>) -> Self {
        let mut document = shop;
        let parameters = document["Parameters"].as_object_mut().expect("parameters");
        parameters.insert("Shop".to_owned(), json!({ "Type": "String", "Default": STACK }));
        parameters.insert("ApiId".to_owned(), json!({ "Type": "String", "Default": "Api" }));
        document["Resources"].as_object_mut().expect("resources").retain(|_, resource| {
            !["AWS::Serverless::Application", "AWS::CloudFormation::Stack"]
                .contains(&resource["Type"].as_str().unwrap_or_default())
        });
        for mut service in services {
            complete_functions(&mut service);
            for section in ["Parameters", "Conditions", "Mappings", "Resources"] {
                let Some(members) =
                    service.get_mut(section).and_then(Value::as_object_mut).map(std::mem::take)
                else {
                    continue;
                };
                for (name, member) in members {
                    // SAM adds an application of CodeDeploy to every template.
                    if name == "ServerlessDeploymentApplication" {
                        continue;
                    }
                    let there = &mut document[section][&name];
                    assert!(
                        there.is_null() || section != "Resources",
                        "two templates have a resource {name}"
                    );
                    if there.is_null() {
                        *there = member;
                    } else if section == "Mappings" {
                        add_missing(there, member);
                    }
                }
            }
        }
        Self { document }
    }

    /// Parses the text of a template.
    ///
    /// # Panics
    /// If it is not YAML.
    pub fn parse(text: &str) -> Self {
        let yaml: Yaml = serde_yaml_ng::from_str(text).expect("a template is YAML");
        Self { document: spelled_out(yaml) }
    }

    /// The template of a stack that is deployed with these parameter values.
    ///
    /// # Panics
    /// If the template has no such parameter.
    #[must_use]
    pub fn with(&self, parameters: &[(&str, &str)]) -> Self {
        let mut document = self.document.clone();
        for (name, value) in parameters {
            let parameter = &mut document["Parameters"][name];
            assert!(parameter.is_object(), "the template has no parameter {name}");
            parameter["Default"] = Value::from(*value);
        }
        Self { document }
    }

    /// Whether a condition holds.
    ///
    /// # Panics
    /// If the template has no such condition.
    pub fn condition(&self, name: &str) -> bool {
        let condition = &self.document["Conditions"][name];
        assert!(condition.is_object(), "the template has no condition {name}");
        self.holds(condition)
    }

    /// The descriptions of the assertions that reject the parameter values.
    pub fn broken_rules(&self) -> Vec<String> {
        let rules = self.document["Rules"].as_object().into_iter().flat_map(Map::values);
        let applied = rules
            .filter(|rule| rule.get("RuleCondition").is_none_or(|condition| self.holds(condition)));
        let assertions =
            applied.flat_map(|rule| rule["Assertions"].as_array().into_iter().flatten());
        let broken = assertions.filter(|assertion| !self.holds(&assertion["Assert"]));
        broken
            .map(|assertion| assertion["AssertDescription"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The resources of one type, by logical id: each with its `Properties` and its other members.
    pub fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.all_resources().filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// Every resource, by logical id.
    ///
    /// # Panics
    /// If the template has no resources.
    pub fn all_resources(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.document["Resources"]
            .as_object()
            .expect("a template has resources")
            .iter()
            .map(|(id, resource)| (id.as_str(), resource))
    }

    /// The resource with this logical id; null if it does not exist.
    pub fn resource(&self, id: &str) -> &Value {
        &self.document["Resources"][id]
    }

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
    fn holds(&self, condition: &Value) -> bool {
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

    /// The names of all queues and dead-letter queues without the stack name, sorted.
    pub fn queues(&self) -> Vec<String> {
        let name = |(_, queue): (&str, &Value)| {
            let name = self.resolve(&queue["Properties"]["QueueName"]);
            let name = name.as_str().unwrap_or_default();
            name.strip_prefix(STACK).unwrap_or(name).trim_start_matches('-').to_owned()
        };
        let mut names: Vec<String> = self.resources("AWS::SQS::Queue").map(name).collect();
        names.sort();
        names
    }

    /// `CreateTable` requests for the tables of the template, by table name, as CloudFormation
    /// would send them.
    pub fn tables(&self) -> BTreeMap<String, Value> {
        const KNOWN_TO_CREATE_TABLE: [&str; 6] = [
            "TableName",
            "BillingMode",
            "AttributeDefinitions",
            "KeySchema",
            "GlobalSecondaryIndexes",
            "StreamSpecification",
        ];
        let create = |(_, resource): (&str, &Value)| {
            let mut request = self.resolve(&resource["Properties"]);
            if let Some(members) = request.as_object_mut() {
                members.retain(|name, _| KNOWN_TO_CREATE_TABLE.contains(&name.as_str()));
                if let Some(stream) =
                    members.get_mut("StreamSpecification").and_then(Value::as_object_mut)
                {
                    stream.insert("StreamEnabled".to_owned(), true.into());
                }
            }
            (request["TableName"].as_str().unwrap_or_default().to_owned(), request)
        };
        self.resources("AWS::DynamoDB::Table").map(create).collect()
    }
}

/// Adds to each function the globals, and the policies of its separate role.
fn complete_functions(template: &mut Value) {
    let globals = template["Globals"]["Function"].clone();
    let roles = template["Resources"].clone();
    for resource in template["Resources"]
        .as_object_mut()
        .into_iter()
        .flat_map(|resources| resources.values_mut())
    {
        if resource["Type"] == "AWS::Serverless::Function" {
            let properties = &mut resource["Properties"];
            add_missing(properties, globals.clone());
            if let Some(role) = properties["Role"]["Fn::GetAtt"][0].as_str().map(str::to_owned) {
                let policies =
                    roles[&role]["Properties"]["Policies"].as_array().into_iter().flatten();
                properties["Policies"] =
                    policies.map(|policy| policy["PolicyDocument"].clone()).collect();
            }
        }
    }
}

/// Adds the members of `more` that `there` lacks, at every depth.
fn add_missing(there: &mut Value, more: Value) {
    match (there, more) {
        (Value::Object(there), Value::Object(more)) => {
            for (name, member) in more {
                add_missing(there.entry(name).or_insert(Value::Null), member);
            }
        }
        (there @ Value::Null, more) => *there = more,
        _ => {}
    }
}

/// YAML with CloudFormation's tags as JSON in the long form.
fn spelled_out(yaml: Yaml) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_spelled_out_and_references_resolved() {
        let template = Template::parse(
            "Parameters: {Days: {Type: Number, Default: 30}}\n\
             Resources:\n\
             \x20 OrdersTable:\n\
             \x20   Type: AWS::DynamoDB::Table\n\
             \x20   Properties:\n\
             \x20     TableName: !Sub ${AWS::StackName}-orders\n\
             \x20     StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}\n\
             \x20     DeletionProtectionEnabled: !Ref Days\n\
             Outputs: {Table: !Ref OrdersTable, Arn: !GetAtt OrdersTable.Arn, Index: !Sub '${OrdersTable.Arn}/index/i'}\n",
        );
        let outputs = template.resolve(&template.document["Outputs"]);
        assert_eq!(
            outputs,
            json!({ "Table": "ferrocart-orders", "Arn": "arn:OrdersTable", "Index": "arn:OrdersTable/index/i" })
        );
        let tables = template.tables();
        let stream = json!({ "StreamViewType": "NEW_AND_OLD_IMAGES", "StreamEnabled": true });
        assert_eq!(
            tables["ferrocart-orders"],
            json!({ "TableName": "ferrocart-orders", "StreamSpecification": stream })
        );
    }

    #[test]
    fn of_a_condition_that_branch_is_taken_which_the_tests_stack_has() {
        let template = Template::parse(
            "Parameters:\n\
             \x20 Provider: {Type: String, AllowedValues: [simulated, real]}\n\
             \x20 Local: {Type: String, Default: 'false', AllowedValues: ['true', 'false']}\n\
             Conditions:\n\
             \x20 OnAws: !Equals [!Ref Local, 'false']\n\
             \x20 Simulated: !Equals [!Ref Provider, simulated]\n\
             \x20 Real: !Not [!Condition Simulated]\n\
             Outputs: [!If [OnAws, 1, 2], !If [Simulated, 3, 4], !If [Real, 5, !Ref AWS::NoValue]]\n",
        );
        assert_eq!(template.resolve(&template.document["Outputs"]), json!([1, 3]));
    }

    #[test]
    fn parameters_decide_conditions_maps_and_rules() {
        let template = Template::parse(
            "Parameters: {Stage: {Type: String, Default: dev}, Size: {Type: Number, Default: 10}}\n\
             Mappings: {Limits: {'10': {Rate: 1}, '20': {Rate: 2}}}\n\
             Conditions:\n\
             \x20 Prod: !Equals [!Ref Stage, prod]\n\
             \x20 Either: !Or [!Condition Prod, !Equals [!Ref Size, '20']]\n\
             \x20 Both: !And [!Condition Prod, !Equals [!Ref Size, '20']]\n\
             Rules:\n\
             \x20 Large: {RuleCondition: !Equals [!Ref Stage, prod], Assertions: [{Assert: !Contains [['20', '30'], !Ref Size], AssertDescription: too small}]}\n\
             Outputs: {Rate: !FindInMap [Limits, !Ref Size, Rate]}\n",
        );
        let conditions =
            |template: &Template| ["Prod", "Either", "Both"].map(|name| template.condition(name));
        let large = template.with(&[("Size", "20")]);
        assert_eq!((conditions(&template), conditions(&large)), ([false; 3], [false, true, false]));
        assert_eq!(conditions(&large.with(&[("Stage", "prod")])), [true; 3]);
        assert_eq!(large.resolve(&large.document["Outputs"]), json!({ "Rate": 2 }));
        assert_eq!(template.broken_rules(), Vec::<String>::new());
        assert_eq!(template.with(&[("Stage", "prod")]).broken_rules(), ["too small"]);
        assert_eq!(large.with(&[("Stage", "prod")]).broken_rules(), Vec::<String>::new());
    }
}
