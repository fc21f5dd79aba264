//! Key condition expressions, and the range of sort keys that they select.

use super::{
    condition::{Comparator, Parameters, begins_with, check_bounds, is_between, wrong_operand},
    error::Error,
    expression::{Cursor, Name, Parsed},
    schema::Keys,
    value::Attribute,
};

/// The clauses of a key condition, joined by `AND`.
#[derive(Debug)]
pub(super) struct KeyCondition {
    clauses: Vec<(Name, Test)>,
}

/// A test of a key attribute, with the placeholders of its values.
#[derive(Debug)]
enum Test {
    Compare(Comparator, String),
    Between(String, String),
    BeginsWith(String),
}

/// The entries that a query selects.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    pub(super) partition: &'a str,
    sort: Option<SortTest<'a>>,
}

#[derive(Debug)]
enum SortTest<'a> {
    Compare(Comparator, &'a Attribute),
    Between(&'a Attribute, &'a Attribute),
    BeginsWith(&'a Attribute),
}

/// Parses a key condition.
///
/// # Errors
/// The message of DynamoDB, without the kind of the expression.
pub(super) fn parse(text: &str) -> Result<Parsed<KeyCondition>, String> {
    Parsed::of(text, |cursor| {
        let mut clauses = vec![clause(cursor)?];
        while cursor.takes("AND") {
            clauses.push(clause(cursor)?);
        }
        Ok(KeyCondition { clauses })
    })
}

fn clause(cursor: &mut Cursor<'_>) -> Result<(Name, Test), String> {
    if let Some((function, written)) = cursor.function() {
        if function != "begins_with" {
            return Err(format!("Invalid function name; function: {written}"));
        }
        cursor.next();
        cursor.expect("(")?;
        let name = cursor.name()?;
        cursor.expect(",")?;
        let prefix = cursor.value()?;
        cursor.expect(")")?;
        return Ok((name, Test::BeginsWith(prefix)));
    }
    let name = cursor.name()?;
    if cursor.takes("BETWEEN") {
        let low = cursor.value()?;
        cursor.expect("AND")?;
        return Ok((name, Test::Between(low, cursor.value()?)));
    }
    match Comparator::parse(cursor.peek()) {
        Some(comparator) if comparator != Comparator::NotEqual => {
            cursor.next();
            Ok((name, Test::Compare(comparator, cursor.value()?)))
        }
        _ => Err(cursor.syntax_error()),
    }
}

impl KeyCondition {
    /// Checks the values that the condition compares with.
    ///
    /// # Errors
    /// The message of DynamoDB, without the kind of the expression.
    pub(super) fn check(&self, parameters: Parameters<'_>) -> Result<(), String> {
        for (_, test) in &self.clauses {
            let (operator, values) = match test {
                Test::Compare(Comparator::Equal, _) => continue,
                Test::Compare(comparator, value) => (comparator.symbol(), vec![value]),
                Test::Between(low, high) => ("BETWEEN", vec![low, high]),
                Test::BeginsWith(prefix) => ("begins_with", vec![prefix]),
            };
            for value in values.into_iter().map(|value| parameters.value(value)) {
                let is_ordered = matches!(value, Attribute::S(_) | Attribute::N(_));
                let is_prefix = matches!(value, Attribute::S(_));
                if !is_ordered || (operator == "begins_with" && !is_prefix) {
                    return Err(wrong_operand(operator, value));
                }
            }
        }
        let mut names: Vec<&str> =
            self.clauses.iter().map(|(name, _)| parameters.name(name)).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(
                "KeyConditionExpressions must only contain one condition per key".to_owned()
            );
        }
        Ok(())
    }

    /// What the condition selects in a table or an index with these keys.
    ///
    /// # Errors
    /// If the condition does not fit the keys.
    pub(super) fn select<'a>(
        &'a self,
        keys: &Keys,
        parameters: Parameters<'a>,
    ) -> Result<Selection<'a>, Error> {
        let (given, defined) = (self.clauses.len(), keys.names().count());
        if given > defined {
            return Err(Error::validation(format!(
                "The number of query conditions ({given}) exceeds the number of key attributes defined in the schema ({defined})"
            )));
        }
        let missed = |name: &str| {
            Error::validation(format!("Query condition missed key schema element: {name}"))
        };
        let mut clauses = self.clauses.iter().map(|(name, test)| (parameters.name(name), test));
        let partition = match clauses.clone().find(|(name, _)| *name == keys.partition) {
            Some((_, Test::Compare(Comparator::Equal, value))) => parameters.value(value),
            Some(_) => return Err(Error::validation("Query key condition not supported")),
            None => return Err(missed(&keys.partition)),
        };
        let sort = match clauses.find(|(name, _)| *name != keys.partition) {
            None => None,
            Some((name, test)) if Some(name) == keys.sort.as_deref() => {
                Some(SortTest::new(test, parameters)?)
            }
            Some(_) => return Err(missed(keys.sort.as_deref().unwrap_or_default())),
        };
        let sort_values = sort.iter().flat_map(SortTest::values);
        let is_text = |value: &Attribute| value.text().is_some();
        if !is_text(partition) || sort_values.into_iter().any(|value| !is_text(value)) {
            return Err(Error::validation(
                "One or more parameter values were invalid: Condition parameter type does not match schema type",
            ));
        }
        Ok(Selection { partition: partition.text().unwrap_or_default(), sort })
    }
}

impl<'a> SortTest<'a> {
    fn new(test: &'a Test, parameters: Parameters<'a>) -> Result<Self, Error> {
        let value = |placeholder: &String| parameters.value(placeholder);
        Ok(match test {
            Test::Compare(comparator, placeholder) => {
                Self::Compare(*comparator, value(placeholder))
            }
            Test::BeginsWith(placeholder) => Self::BeginsWith(value(placeholder)),
            Test::Between(low, high) => {
                let (low, high) = (value(low), value(high));
                let check = check_bounds(low, high);
                check.map_err(|message| {
                    Error::validation(format!("Invalid KeyConditionExpression: {message}"))
                })?;
                Self::Between(low, high)
            }
        })
    }

    fn values(&self) -> Vec<&'a Attribute> {
        match self {
            Self::Compare(_, value) | Self::BeginsWith(value) => vec![value],
            Self::Between(low, high) => vec![low, high],
        }
    }
}

impl Selection<'_> {
    /// Whether the selection contains entries with this sort key.
    pub(super) fn contains(&self, sort: &str) -> bool {
        let sort = Attribute::S(sort.to_owned());
        match &self.sort {
            None => true,
            Some(SortTest::Compare(comparator, value)) => comparator.holds(&sort, value),
            Some(SortTest::Between(low, high)) => is_between(&sort, low, high),
            Some(SortTest::BeginsWith(prefix)) => begins_with(&sort, prefix),
        }
    }

    /// Whether the selection is restricted to a part of its partition.
    pub(super) fn has_sort_test(&self) -> bool {
        self.sort.is_some()
    }

    /// The smallest sort key that may be selected, and one above all selected ones. Other sort keys
    /// may be between them.
    pub(super) fn bounds(&self) -> (&str, Option<String>) {
        fn text(value: &Attribute) -> &str {
            value.text().unwrap_or_default()
        }
        let above = |value: &Attribute| Some(format!("{}\0", text(value)));
        match &self.sort {
            None => ("", None),
            Some(SortTest::Compare(comparator, value)) => match comparator {
                Comparator::Less | Comparator::LessOrEqual => ("", above(value)),
                Comparator::Greater | Comparator::GreaterOrEqual => (text(value), None),
                Comparator::Equal | Comparator::NotEqual => (text(value), above(value)),
            },
            Some(SortTest::Between(low, high)) => (text(low), above(high)),
            Some(SortTest::BeginsWith(prefix)) => (text(prefix), after_prefix(text(prefix))),
        }
    }
}

/// The smallest text above all texts with this prefix.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}
