//! Reads `template.yaml` and those of the services like CloudFormation: short tags in their long
//! form, and references resolved for one shop.
//!
//! [`template`] merges them into one. Templates refer to resources of other services by name, and
//! to their own by logical id. Here both resolve to the same text.

mod resolve;
mod yaml;

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

use self::yaml::spelled_out;

/// The name of the stack that tests deploy.
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
                    // SAM adds a CodeDeploy application to every template.
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

    /// How many messages of a queue its consumer receives at a time, at most.
    ///
    /// # Panics
    /// If the queue has no consumer.
    pub fn batch_size(&self, queue: &str) -> usize {
        let is_queue = |(_, resource): &(&str, &Value)| {
            let name = self.resolve(&resource["Properties"]["QueueName"]);
            name == format!("{STACK}-{queue}").as_str()
        };
        let (id, _) = self.resources("AWS::SQS::Queue").find(is_queue).expect("the queue exists");
        let mapping = |(_, mapping): (&str, &Value)| {
            let properties = self.resolve(&mapping["Properties"]);
            let is_of_queue = properties["EventSourceArn"] == format!("arn:{id}").as_str();
            is_of_queue.then(|| properties["BatchSize"].as_u64()).flatten()
        };
        let size = self.resources("AWS::Lambda::EventSourceMapping").find_map(mapping);
        usize::try_from(size.expect("the queue has a consumer")).unwrap_or(usize::MAX)
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
