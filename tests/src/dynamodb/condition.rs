//! Condition expressions.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap};

use super::{
    expression::{Cursor, Name, Parsed},
    value::{Attribute, Item},
};

/// The values of the placeholders in an expression.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub(super) names: &'a BTreeMap<String, String>,
    pub(super) values: &'a BTreeMap<String, Attribute>,
}

#[derive(Debug)]
pub(super) enum Condition {
    Compare(Operand, Comparator, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Name),
    NotExists(Name),
    HasType(Name, Operand),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, PartialEq)]
pub(super) enum Operand {
    Attribute(Name),
    Value(String),
    Size(Name),
}

impl<'a> Parameters<'a> {
    /// The name of an attribute.
    ///
    /// # Panics
    /// If the placeholder is not defined: [`super::request`] checks that before.
    pub(super) fn name(self, name: &'a Name) -> &'a str {
        if name.starts_with('#') { &self.names[name] } else { name }
    }

    /// The value of a placeholder.
    ///
    /// # Panics
    /// Like [`Parameters::name`].
    pub(super) fn value(self, placeholder: &str) -> &'a Attribute {
        &self.values[placeholder]
    }
}

impl Comparator {
    pub(super) fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "=" => Self::Equal,
            "<>" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(super) fn holds(self, one: &Attribute, other: &Attribute) -> bool {
        match self {
            Self::Equal => one == other,
            Self::NotEqual => one != other,
            Self::Less => one.order(other) == Some(Ordering::Less),
            Self::LessOrEqual => one.order(other).is_some_and(Ordering::is_le),
            Self::Greater => one.order(other) == Some(Ordering::Greater),
            Self::GreaterOrEqual => one.order(other).is_some_and(Ordering::is_ge),
        }
    }
}

/// Parses a condition.
///
/// # Errors
/// The message of DynamoDB, without the kind of the expression.
pub(super) fn parse(text: &str) -> Result<Parsed<Condition>, String> {
    Parsed::of(text, alternatives)
}

fn alternatives(cursor: &mut Cursor<'_>) -> Result<Condition, String> {
    let mut condition = conjunction(cursor)?;
    while cursor.takes("OR") {
        condition = Condition::Or(Box::new(condition), Box::new(conjunction(cursor)?));
    }
    Ok(condition)
}

fn conjunction(cursor: &mut Cursor<'_>) -> Result<Condition, String> {
    let mut condition = negation(cursor)?;
    while cursor.takes("AND") {
        condition = Condition::And(Box::new(condition), Box::new(negation(cursor)?));
    }
    Ok(condition)
}

fn negation(cursor: &mut Cursor<'_>) -> Result<Condition, String> {
    if cursor.takes("NOT") {
        return Ok(Condition::Not(Box::new(negation(cursor)?)));
    }
    if cursor.peek() == "(" {
        return cursor.group(alternatives);
    }
    match cursor.function() {
        Some((function, _)) if function == "size" => comparison(cursor),
        Some((function, written)) => call(cursor, &function, written),
        None => comparison(cursor),
    }
}

fn call(cursor: &mut Cursor<'_>, function: &str, written: &str) -> Result<Condition, String> {
    const FUNCTIONS: [&str; 5] =
        ["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"];
    if !FUNCTIONS.contains(&function) {
        return Err(format!("Invalid function name; function: {written}"));
    }
    cursor.next();
    cursor.expect("(")?;
    let condition = match function {
        "attribute_exists" => Condition::Exists(cursor.name()?),
        "attribute_not_exists" => Condition::NotExists(cursor.name()?),
        "attribute_type" => {
            let name = cursor.name()?;
            cursor.expect(",")?;
            Condition::HasType(name, operand(cursor)?)
        }
        _ => {
            let first = operand(cursor)?;
            cursor.expect(",")?;
            let second = operand(cursor)?;
            match function {
                "begins_with" => Condition::BeginsWith(first, second),
                _ => Condition::Contains(first, second),
            }
        }
    };
    cursor.expect(")")?;
    Ok(condition)
}

fn comparison(cursor: &mut Cursor<'_>) -> Result<Condition, String> {
    let left = operand(cursor)?;
    if let Some(comparator) = Comparator::parse(cursor.peek()) {
        cursor.next();
        return Ok(Condition::Compare(left, comparator, operand(cursor)?));
    }
    if cursor.takes("BETWEEN") {
        let low = operand(cursor)?;
        cursor.expect("AND")?;
        return Ok(Condition::Between(left, low, operand(cursor)?));
    }
    if cursor.takes("IN") {
        cursor.expect("(")?;
        let mut candidates = vec![operand(cursor)?];
        while cursor.takes(",") {
            candidates.push(operand(cursor)?);
        }
        cursor.expect(")")?;
        return Ok(Condition::In(left, candidates));
    }
    Err(cursor.syntax_error())
}

fn operand(cursor: &mut Cursor<'_>) -> Result<Operand, String> {
    if cursor.peek().starts_with(':') {
        return Ok(Operand::Value(cursor.value()?));
    }
    if cursor.function().is_some_and(|(function, _)| function == "size") {
        cursor.next();
        cursor.expect("(")?;
        let name = cursor.name()?;
        cursor.expect(")")?;
        return Ok(Operand::Size(name));
    }
    Ok(Operand::Attribute(cursor.name()?))
}

impl Condition {
    /// Whether an item meets the condition. An absent item has no attributes.
    pub(super) fn holds(&self, item: Option<&Item>, parameters: Parameters<'_>) -> bool {
        let resolve = |operand| resolve(operand, item, parameters);
        let attribute = |name| item.and_then(|item| item.get(parameters.name(name)));
        match self {
            Self::Compare(left, comparator, right) => match (resolve(left), resolve(right)) {
                (Some(left), Some(right)) => comparator.holds(&left, &right),
                _ => *comparator == Comparator::NotEqual,
            },
            Self::Between(operand, low, high) => {
                match (resolve(operand), resolve(low), resolve(high)) {
                    (Some(value), Some(low), Some(high)) => is_between(&value, &low, &high),
                    _ => false,
                }
            }
            Self::In(operand, candidates) => resolve(operand).is_some_and(|value| {
                candidates.iter().any(|candidate| resolve(candidate).as_ref() == Some(&value))
            }),
            Self::Exists(name) => attribute(name).is_some(),
            Self::NotExists(name) => attribute(name).is_none(),
            Self::HasType(name, kind) => match (attribute(name), resolve(kind)) {
                (Some(value), Some(kind)) => kind.text() == Some(value.type_name()),
                _ => false,
            },
            Self::BeginsWith(operand, prefix) => match (resolve(operand), resolve(prefix)) {
                (Some(value), Some(prefix)) => begins_with(&value, &prefix),
                _ => false,
            },
            Self::Contains(operand, part) => match (resolve(operand), resolve(part)) {
                (Some(value), Some(part)) => contains(&value, &part),
                _ => false,
            },
            Self::And(one, other) => one.holds(item, parameters) && other.holds(item, parameters),
            Self::Or(one, other) => one.holds(item, parameters) || other.holds(item, parameters),
            Self::Not(denied) => !denied.holds(item, parameters),
        }
    }

    /// Checks the values that the condition compares with.
    ///
    /// # Errors
    /// The message of DynamoDB, without the kind of the expression.
    pub(super) fn check(&self, parameters: Parameters<'_>) -> Result<(), String> {
        match self {
            Self::Between(_, Operand::Value(low), Operand::Value(high)) => {
                check_bounds(parameters.value(low), parameters.value(high))
            }
            Self::Contains(first, second) if first == second => {
                let name = match first {
                    Operand::Attribute(name) | Operand::Size(name) => parameters.name(name),
                    Operand::Value(placeholder) => placeholder,
                };
                Err(format!(
                    "The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [{name}]"
                ))
            }
            Self::BeginsWith(_, Operand::Value(prefix)) => match parameters.value(prefix) {
                Attribute::S(_) => Ok(()),
                other => Err(wrong_operand("begins_with", other)),
            },
            Self::And(one, other) | Self::Or(one, other) => {
                one.check(parameters)?;
                other.check(parameters)
            }
            Self::Not(denied) => denied.check(parameters),
            _ => Ok(()),
        }
    }
}

fn resolve<'a>(
    operand: &'a Operand,
    item: Option<&'a Item>,
    parameters: Parameters<'a>,
) -> Option<Cow<'a, Attribute>> {
    let attribute = |name| item.and_then(|item| item.get(parameters.name(name)));
    match operand {
        Operand::Attribute(name) => attribute(name).map(Cow::Borrowed),
        Operand::Value(placeholder) => Some(Cow::Borrowed(parameters.value(placeholder))),
        Operand::Size(name) => {
            let size = match attribute(name)? {
                Attribute::S(text) => text.encode_utf16().count(),
                Attribute::M(members) => members.len(),
                Attribute::L(values) => values.len(),
                _ => return None,
            };
            Some(Cow::Owned(Attribute::N(size.into())))
        }
    }
}

/// Whether a value is within two bounds, which belong to the range.
pub(super) fn is_between(value: &Attribute, low: &Attribute, high: &Attribute) -> bool {
    Comparator::GreaterOrEqual.holds(value, low) && Comparator::LessOrEqual.holds(value, high)
}

/// Whether a text begins with another one.
pub(super) fn begins_with(value: &Attribute, prefix: &Attribute) -> bool {
    value.text().zip(prefix.text()).is_some_and(|(text, prefix)| text.starts_with(prefix))
}

fn contains(value: &Attribute, part: &Attribute) -> bool {
    match (value, part) {
        (Attribute::S(text), Attribute::S(part)) => text.contains(part.as_str()),
        (Attribute::L(values), part) => values.contains(part),
        _ => false,
    }
}

/// Checks the bounds of a `BETWEEN`.
///
/// # Errors
/// The message of DynamoDB, without the kind of the expression.
pub(super) fn check_bounds(low: &Attribute, high: &Attribute) -> Result<(), String> {
    let rule = if low.type_name() != high.type_name() {
        "same data type for lower and upper bounds"
    } else if low.order(high) == Some(Ordering::Greater) {
        "upper bound to be greater than or equal to lower bound"
    } else {
        return Ok(());
    };
    Err(format!(
        "The BETWEEN operator requires {rule}; lower bound operand: AttributeValue: {{{}}}, upper bound operand: AttributeValue: {{{}}}",
        quoted(low),
        quoted(high)
    ))
}

fn quoted(value: &Attribute) -> String {
    match value {
        Attribute::S(text) => format!("S:{text}"),
        Attribute::N(number) => format!("N:{}", number.text()),
        other => format!("{}:...", other.type_name()),
    }
}

/// The message about an operand of a type that the operator does not take.
pub(super) fn wrong_operand(operator: &str, value: &Attribute) -> String {
    format!(
        "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {}",
        value.type_name()
    )
}
