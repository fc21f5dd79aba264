//! The requests of the operations, and the checks that need no table.
//!
//! The parameters are those that the shop uses. Others are rejected, so that a call does not rely
//! on a parameter without an effect.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    condition::{self, Condition, Parameters},
    error::Error,
    expression::Parsed,
    key_condition::{self, KeyCondition},
    update::{self, Update},
    value::{Attribute, Item},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeTable {
    pub(super) table_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetItem {
    pub(super) table_name: String,
    pub(super) key: Item,
    /// Every read is consistent.
    #[serde(rename = "ConsistentRead", default)]
    _consistent: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct BatchGetItem {
    pub(super) request_items: BTreeMap<String, KeysOfTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct KeysOfTable {
    pub(super) keys: Vec<Item>,
    #[serde(default)]
    pub(super) consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Query {
    pub(super) table_name: String,
    pub(super) index_name: Option<String>,
    key_condition_expression: String,
    #[serde(default)]
    expression_attribute_names: Option<BTreeMap<String, String>>,
    #[serde(default)]
    expression_attribute_values: Option<BTreeMap<String, Attribute>>,
    #[serde(default = "forward")]
    pub(super) scan_index_forward: bool,
    #[serde(default)]
    pub(super) consistent_read: bool,
    pub(super) limit: Option<usize>,
    pub(super) exclusive_start_key: Option<Item>,
}

fn forward() -> bool {
    true
}

/// A write of one item: of its own, or as a part of a transaction.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Write {
    pub(super) table_name: String,
    pub(super) item: Option<Item>,
    /// The key of the other writes.
    pub(super) key: Option<Item>,
    update_expression: Option<String>,
    condition_expression: Option<String>,
    #[serde(default)]
    expression_attribute_names: Option<BTreeMap<String, String>>,
    #[serde(default)]
    expression_attribute_values: Option<BTreeMap<String, Attribute>>,
    return_values_on_condition_check_failure: Option<OnFailure>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum OnFailure {
    None,
    AllOld,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TransactWriteItems {
    pub(super) transact_items: Vec<TransactWrite>,
    pub(super) client_request_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum TransactWrite {
    Put(Write),
    Update(Write),
    Delete(Write),
    ConditionCheck(Write),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Update,
    Delete,
    Check,
}

/// The parsed expressions of a write.
pub(super) struct Expressions {
    pub(super) condition: Option<Rc<Parsed<Condition>>>,
    pub(super) update: Option<Rc<Parsed<Update>>>,
}

thread_local! {
    static CONDITIONS: Cache<Condition> = const { RefCell::new(BTreeMap::new()) };
    static UPDATES: Cache<Update> = const { RefCell::new(BTreeMap::new()) };
    static KEY_CONDITIONS: Cache<KeyCondition> = const { RefCell::new(BTreeMap::new()) };
}

/// Parsed expressions by their text: the shop has a few hundred.
type Cache<T> = RefCell<BTreeMap<String, Rc<Parsed<T>>>>;

fn cached<T>(
    cache: &Cache<T>,
    text: &str,
    parse: impl FnOnce(&str) -> Result<Parsed<T>, String>,
) -> Result<Rc<Parsed<T>>, String> {
    if let Some(parsed) = cache.borrow().get(text) {
        return Ok(parsed.clone());
    }
    let parsed = Rc::new(parse(text)?);
    cache.borrow_mut().insert(text.to_owned(), parsed.clone());
    Ok(parsed)
}

/// Reads the body of a request.
///
/// # Errors
/// If it is not the JSON of the operation, or a number is out of range.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line").map_or(message.as_str(), |(text, _)| text);
        let is_number = ["The parameter cannot be", "Attempting to store", "Number "];
        if is_number.iter().any(|start| message.starts_with(start)) {
            Error::Validation(message.to_owned())
        } else {
            Error::Serialization(message.to_owned())
        }
    })
}

/// No names or values. Expressions without placeholders refer to it.
static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();
static NO_VALUES: BTreeMap<String, Attribute> = BTreeMap::new();

impl Write {
    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters {
            names: self.expression_attribute_names.as_ref().unwrap_or(&NO_NAMES),
            values: self.expression_attribute_values.as_ref().unwrap_or(&NO_VALUES),
        }
    }

    pub(super) fn update_text(&self) -> Option<&str> {
        self.update_expression.as_deref()
    }

    pub(super) fn condition_text(&self) -> Option<&str> {
        self.condition_expression.as_deref()
    }

    /// Whether a failed condition returns the existing item.
    pub(super) fn returns_item(&self) -> bool {
        self.return_values_on_condition_check_failure == Some(OnFailure::AllOld)
    }

    /// Parses the expressions, and checks the request without its table.
    ///
    /// # Errors
    /// With the message of DynamoDB.
    pub(super) fn expressions(&self, kind: Kind) -> Result<Expressions, Error> {
        let has_members = match kind {
            Kind::Put => {
                self.item.is_some() && self.key.is_none() && self.update_expression.is_none()
            }
            Kind::Update => self.key.is_some() && self.item.is_none(),
            Kind::Delete | Kind::Check => {
                self.key.is_some() && self.item.is_none() && self.update_expression.is_none()
            }
        };
        if !has_members || (kind == Kind::Check && self.condition_expression.is_none()) {
            return Err(Error::Serialization(format!("a {kind:?} has other members")));
        }
        let invalid = |kind: &'static str| {
            move |message: String| Error::Validation(format!("Invalid {kind}: {message}"))
        };
        let update = self
            .update_expression
            .as_deref()
            .map(|text| UPDATES.with(|cache| cached(cache, text, update::parse)));
        let update = update.transpose().map_err(invalid("UpdateExpression"))?;
        let condition = self
            .condition_expression
            .as_deref()
            .map(|text| CONDITIONS.with(|cache| cached(cache, text, condition::parse)));
        let condition = condition.transpose().map_err(invalid("ConditionExpression"))?;
        let (names, values) = (&self.expression_attribute_names, &self.expression_attribute_values);
        let parts = [
            update.as_ref().map(|parsed| Part::of("UpdateExpression", parsed)),
            condition.as_ref().map(|parsed| Part::of("ConditionExpression", parsed)),
        ];
        check_placeholders(&parts.into_iter().flatten().collect::<Vec<_>>(), names, values)
            .map_err(Error::Validation)?;
        let parameters = self.parameters();
        if let Some(update) = &update {
            update.tree.check(parameters).map_err(invalid("UpdateExpression"))?;
        }
        if let Some(condition) = &condition {
            condition.tree.check(parameters).map_err(invalid("ConditionExpression"))?;
        }
        Ok(Expressions { condition, update })
    }
}

impl Query {
    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters {
            names: self.expression_attribute_names.as_ref().unwrap_or(&NO_NAMES),
            values: self.expression_attribute_values.as_ref().unwrap_or(&NO_VALUES),
        }
    }

    /// Parses the key condition, and checks the request without its table.
    ///
    /// # Errors
    /// With the message of DynamoDB.
    pub(super) fn key_condition(&self) -> Result<Rc<Parsed<KeyCondition>>, Error> {
        if self.limit == Some(0) {
            return Err(Error::validation(
                "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
            ));
        }
        let text = &self.key_condition_expression;
        let invalid =
            |message| Error::validation(format!("Invalid KeyConditionExpression: {message}"));
        let parsed = KEY_CONDITIONS
            .with(|cache| cached(cache, text, key_condition::parse))
            .map_err(invalid)?;
        check_placeholders(
            &[Part::of("KeyConditionExpression", &parsed)],
            &self.expression_attribute_names,
            &self.expression_attribute_values,
        )
        .map_err(Error::Validation)?;
        parsed.tree.check(self.parameters()).map_err(invalid)?;
        Ok(parsed)
    }
}

/// An expression of a request: its kind, and the placeholders in it.
struct Part<'a> {
    kind: &'static str,
    names: &'a BTreeSet<String>,
    values: &'a BTreeSet<String>,
}

impl<'a> Part<'a> {
    fn of<T>(kind: &'static str, parsed: &'a Parsed<T>) -> Self {
        Self { kind, names: &parsed.names, values: &parsed.values }
    }
}

/// Checks that each placeholder of the expressions is defined, and that each definition is used.
fn check_placeholders(
    parts: &[Part<'_>],
    names: &Option<BTreeMap<String, String>>,
    values: &Option<BTreeMap<String, Attribute>>,
) -> Result<(), String> {
    let (mut used_names, mut used_values) = (0, 0);
    for part in parts {
        let undefined = |what: &str, kind: &str, placeholder: &str| {
            format!(
                "Invalid {}: An expression attribute {what} is not defined; attribute {kind}: {placeholder}",
                part.kind
            )
        };
        let has_name = |name: &&String| names.as_ref().is_some_and(|map| map.contains_key(*name));
        if let Some(name) = part.names.iter().find(|name| !has_name(name)) {
            return Err(undefined("name used in the document path", "name", name));
        }
        let has_value =
            |value: &&String| values.as_ref().is_some_and(|map| map.contains_key(*value));
        if let Some(value) = part.values.iter().find(|value| !has_value(value)) {
            return Err(undefined("value used in expression", "value", value));
        }
        used_names += part.names.len();
        used_values += part.values.len();
    }
    check_definitions("ExpressionAttributeNames", parts, names, used_names, |part| part.names)?;
    check_definitions("ExpressionAttributeValues", parts, values, used_values, |part| part.values)
}

fn check_definitions<'a, T>(
    member: &str,
    parts: &[Part<'a>],
    definitions: &Option<BTreeMap<String, T>>,
    used: usize,
    placeholders: impl Fn(&Part<'a>) -> &'a BTreeSet<String>,
) -> Result<(), String> {
    let Some(definitions) = definitions else { return Ok(()) };
    if parts.is_empty() {
        return Err(format!("{member} can only be specified when using expressions"));
    }
    if definitions.is_empty() {
        return Err(format!("{member} must not be empty"));
    }
    // With a single expression the numbers decide: each placeholder in it is defined.
    if parts.len() == 1 && used == definitions.len() {
        return Ok(());
    }
    let is_used = |name: &&String| parts.iter().any(|part| placeholders(part).contains(*name));
    let unused: Vec<&str> =
        definitions.keys().filter(|name| !is_used(name)).map(String::as_str).collect();
    if unused.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Value provided in {member} unused in expressions: keys: {{{}}}",
        unused.join(", ")
    ))
}
