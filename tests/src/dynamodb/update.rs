//! Update expressions.

use std::collections::BTreeSet;

use super::{
    condition::{Parameters, wrong_operand},
    expression::{Cursor, Name, Parsed},
    value::{Attribute, Item},
};

/// The changes of an update. No update of the shop changes a set, so there is no `DELETE`.
#[derive(Debug, Default)]
pub(super) struct Update {
    sets: Vec<(Name, SetValue)>,
    removals: Vec<Name>,
    /// Attributes with the placeholders of the numbers that are added to them.
    additions: Vec<(Name, String)>,
}

#[derive(Debug)]
enum SetValue {
    Operand(SetOperand),
    Sum(SetOperand, SetOperand),
    Difference(SetOperand, SetOperand),
}

#[derive(Debug)]
enum SetOperand {
    Attribute(Name),
    Value(String),
    IfNotExists(Name, Box<SetOperand>),
    ListAppend(Box<SetOperand>, Box<SetOperand>),
}

const MISSING_ATTRIBUTE: &str =
    "The provided expression refers to an attribute that does not exist in the item";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

/// Parses an update.
///
/// # Errors
/// The message of DynamoDB, without the kind of the expression.
pub(super) fn parse(text: &str) -> Result<Parsed<Update>, String> {
    Parsed::of(text, |cursor| {
        let (mut update, mut seen) = (Update::default(), BTreeSet::new());
        loop {
            let clause = cursor.peek().to_ascii_uppercase();
            let is_clause = ["SET", "REMOVE", "ADD"].contains(&clause.as_str());
            if !is_clause {
                return if seen.is_empty() { Err(cursor.syntax_error()) } else { Ok(update) };
            }
            if !seen.insert(clause.clone()) {
                return Err(format!(
                    "The \"{clause}\" section can only be used once in an update expression;"
                ));
            }
            cursor.next();
            loop {
                update.read_action(&clause, cursor)?;
                if !cursor.takes(",") {
                    break;
                }
            }
        }
    })
}

fn set_value(cursor: &mut Cursor<'_>) -> Result<SetValue, String> {
    let left = set_operand(cursor)?;
    if cursor.takes("+") {
        return Ok(SetValue::Sum(left, set_operand(cursor)?));
    }
    if cursor.takes("-") {
        return Ok(SetValue::Difference(left, set_operand(cursor)?));
    }
    Ok(SetValue::Operand(left))
}

fn set_operand(cursor: &mut Cursor<'_>) -> Result<SetOperand, String> {
    match cursor.function() {
        Some((function, _)) if function == "if_not_exists" => {
            let (name, fallback) = arguments(cursor, |cursor| cursor.name())?;
            Ok(SetOperand::IfNotExists(name, Box::new(fallback)))
        }
        Some((function, _)) if function == "list_append" => {
            let (first, second) = arguments(cursor, set_operand)?;
            Ok(SetOperand::ListAppend(Box::new(first), Box::new(second)))
        }
        Some((_, written)) => Err(format!("Invalid function name; function: {written}")),
        None if cursor.peek().starts_with(':') => Ok(SetOperand::Value(cursor.value()?)),
        None => Ok(SetOperand::Attribute(cursor.name()?)),
    }
}

/// Reads the two arguments of a function.
fn arguments<T>(
    cursor: &mut Cursor<'_>,
    first: impl FnOnce(&mut Cursor<'_>) -> Result<T, String>,
) -> Result<(T, SetOperand), String> {
    cursor.next();
    cursor.expect("(")?;
    let first = first(cursor)?;
    cursor.expect(",")?;
    let second = set_operand(cursor)?;
    cursor.expect(")")?;
    Ok((first, second))
}

impl Update {
    fn read_action(&mut self, clause: &str, cursor: &mut Cursor<'_>) -> Result<(), String> {
        let name = cursor.name()?;
        match clause {
            "SET" => {
                cursor.expect("=")?;
                self.sets.push((name, set_value(cursor)?));
            }
            "REMOVE" => self.removals.push(name),
            _ => self.additions.push((name, cursor.value()?)),
        }
        Ok(())
    }

    /// The attributes that the update changes, in the order of the expression's clauses.
    pub(super) fn targets<'a>(&'a self, parameters: Parameters<'a>) -> Vec<&'a str> {
        let names = self.sets.iter().map(|(name, _)| name).chain(&self.removals);
        let names = names.chain(self.additions.iter().map(|(name, _)| name));
        names.map(|name| parameters.name(name)).collect()
    }

    /// Checks the attributes and the types of the values.
    ///
    /// # Errors
    /// The message of DynamoDB, without the kind of the expression.
    pub(super) fn check(&self, parameters: Parameters<'_>) -> Result<(), String> {
        for (_, placeholder) in &self.additions {
            let value = parameters.value(placeholder);
            if !matches!(value, Attribute::N(_)) {
                return Err(format!(
                    "Incorrect operand type for operator or function; operator: ADD, operand type: {}, typeSet: ALLOWED_FOR_ADD_OPERAND",
                    spelled_out(value)
                ));
            }
        }
        for (_, value) in &self.sets {
            value.check(parameters)?;
        }
        let mut seen = BTreeSet::new();
        match self.targets(parameters).into_iter().find(|target| !seen.insert(*target)) {
            Some(target) => Err(format!(
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [{target}], path two: [{target}]"
            )),
            None => Ok(()),
        }
    }

    /// The item after the update. Each operand is read from the item before it.
    ///
    /// # Errors
    /// The message of DynamoDB if an operand is missing or has the wrong type.
    pub(super) fn apply(&self, item: &Item, parameters: Parameters<'_>) -> Result<Item, String> {
        let mut updated = item.clone();
        for (name, placeholder) in &self.additions {
            let name = parameters.name(name);
            let sum = match (item.get(name), parameters.value(placeholder)) {
                (None, value) => value.clone(),
                (Some(Attribute::N(number)), Attribute::N(added)) => {
                    Attribute::N(number.plus(added)?)
                }
                _ => return Err(WRONG_TYPE.to_owned()),
            };
            updated.insert(name.to_owned(), sum);
        }
        for (name, value) in &self.sets {
            updated.insert(parameters.name(name).to_owned(), value.evaluate(item, parameters)?);
        }
        for name in &self.removals {
            updated.remove(parameters.name(name));
        }
        Ok(updated)
    }
}

impl SetValue {
    fn check(&self, parameters: Parameters<'_>) -> Result<(), String> {
        let (operator, left, right) = match self {
            Self::Operand(operand) => return operand.check(parameters),
            Self::Sum(left, right) => ("+", left, right),
            Self::Difference(left, right) => ("-", left, right),
        };
        for operand in [left, right] {
            operand.check(parameters)?;
            match operand.literal(parameters) {
                None | Some(Attribute::N(_)) => {}
                Some(other) => return Err(wrong_operand(operator, other)),
            }
        }
        Ok(())
    }

    fn evaluate(&self, item: &Item, parameters: Parameters<'_>) -> Result<Attribute, String> {
        let (left, right) = match self {
            Self::Operand(operand) => return operand.evaluate(item, parameters),
            Self::Sum(left, right) | Self::Difference(left, right) => (left, right),
        };
        match (left.evaluate(item, parameters)?, right.evaluate(item, parameters)?) {
            (Attribute::N(left), Attribute::N(right)) => {
                let is_sum = matches!(self, Self::Sum(..));
                let result = if is_sum { left.plus(&right) } else { left.minus(&right) };
                Ok(Attribute::N(result?))
            }
            _ => Err(WRONG_TYPE.to_owned()),
        }
    }
}

impl SetOperand {
    /// The value that the request contains for the operand.
    fn literal<'a>(&self, parameters: Parameters<'a>) -> Option<&'a Attribute> {
        match self {
            Self::Value(placeholder) => Some(parameters.value(placeholder)),
            _ => None,
        }
    }

    fn check(&self, parameters: Parameters<'_>) -> Result<(), String> {
        match self {
            Self::ListAppend(first, second) => {
                [first, second].into_iter().try_for_each(|operand| {
                    match operand.literal(parameters) {
                        None => operand.check(parameters),
                        Some(Attribute::L(_)) => Ok(()),
                        Some(other) => Err(wrong_operand("list_append", other)),
                    }
                })
            }
            Self::IfNotExists(_, fallback) => fallback.check(parameters),
            Self::Attribute(_) | Self::Value(_) => Ok(()),
        }
    }

    fn evaluate(&self, item: &Item, parameters: Parameters<'_>) -> Result<Attribute, String> {
        match self {
            Self::Value(placeholder) => Ok(parameters.value(placeholder).clone()),
            Self::Attribute(name) => {
                item.get(parameters.name(name)).cloned().ok_or(MISSING_ATTRIBUTE.to_owned())
            }
            Self::IfNotExists(name, fallback) => match item.get(parameters.name(name)) {
                Some(present) => Ok(present.clone()),
                None => fallback.evaluate(item, parameters),
            },
            Self::ListAppend(first, second) => {
                match (first.evaluate(item, parameters)?, second.evaluate(item, parameters)?) {
                    (Attribute::L(first), Attribute::L(second)) => {
                        Ok(Attribute::L([first, second].concat()))
                    }
                    _ => Err(WRONG_TYPE.to_owned()),
                }
            }
        }
    }
}

fn spelled_out(value: &Attribute) -> &'static str {
    match value {
        Attribute::S(_) => "STRING",
        Attribute::N(_) => "NUMBER",
        Attribute::M(_) => "MAP",
        Attribute::L(_) => "LIST",
        Attribute::Bool(_) | Attribute::Null(_) | Attribute::Texts(_) => value.type_name(),
    }
}
