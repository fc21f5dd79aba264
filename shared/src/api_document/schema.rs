//! Builder for schemas with an example, limits and problem codes.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::openapi::{
    RefOr,
    extensions::Extensions,
    schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type},
};

use super::patterns;

/// A schema with an example and the problem codes of rejected values.
#[must_use]
pub struct SchemaBuilder {
    object: ObjectBuilder,
    example: Value,
}

/// A text, with an example.
pub fn text(about: &str, example: &str) -> SchemaBuilder {
    let object = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    SchemaBuilder { object, example: example.into() }
}

/// Free text of 1 to `max` characters; see [`crate::text`].
pub fn free_text(about: &str, example: &str, max: usize) -> SchemaBuilder {
    text(about, example).length(1..=max).pattern(&patterns::free_text()).problem_codes(&[
        "blank",
        "too_long",
        "invalid_characters",
    ])
}

/// An integer of 64 bits, with an example.
pub fn number(about: &str, example: i64) -> SchemaBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let object = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
        .description(Some(about));
    SchemaBuilder { object, example: example.into() }
}

/// An enum of texts. The first name is the example.
pub fn one_of(about: &str, names: &[&str]) -> SchemaBuilder {
    let mut described = text(about, names.first().copied().unwrap_or_default());
    described.object = described.object.enum_values(Some(names.iter().copied()));
    described
}

pub fn id(prefix: &str) -> SchemaBuilder {
    let example = format!("{prefix}_0199c2a8-0000-7000-8000-00000000000a");
    text(
        &format!("Begins with `{prefix}_`. The other characters have no meaning for clients."),
        &example,
    )
    .pattern(&format!(
        "^{prefix}_[0-9a-f]{{8}}-[0-9a-f]{{4}}-[78][0-9a-f]{{3}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}$"
    ))
    .problem_codes(&["invalid_id"])
}

impl SchemaBuilder {
    /// Length in characters.
    pub fn length(mut self, characters: RangeInclusive<usize>) -> Self {
        self.object =
            self.object.min_length(Some(*characters.start())).max_length(Some(*characters.end()));
        self
    }

    /// Sets the pattern, an ECMA-262 expression.
    pub fn pattern(mut self, expression: &str) -> Self {
        self.object = self.object.pattern(Some(expression));
        self
    }

    pub fn format(mut self, format: &str) -> Self {
        self.object = self.object.format(Some(SchemaFormat::Custom(format.to_owned())));
        self
    }

    /// Sets the minimum and the maximum.
    pub fn within(mut self, limits: RangeInclusive<i64>) -> Self {
        // utoipa stores limits as `isize`. The document is only built on machines with 64 bits.
        let number = |limit: i64| isize::try_from(limit).unwrap_or_default();
        self.object =
            self.object.minimum(Some(number(*limits.start()))).maximum(Some(number(*limits.end())));
        self.problem_codes(&["out_of_range"])
    }

    /// Lists the codes of the problems that reject an invalid value.
    pub fn problem_codes(mut self, codes: &[&str]) -> Self {
        self.object = self
            .object
            .extensions(Some(Extensions::builder().add("x-problems", json!(codes)).build()));
        self
    }

    /// Builds the schema and parses its example as a `T`.
    ///
    /// # Panics
    /// If the example is not a valid `T`, so that the document only contains valid examples.
    pub fn build_for<T: DeserializeOwned>(self) -> RefOr<Schema> {
        let name = std::any::type_name::<T>();
        if let Err(refused) = serde_json::from_value::<T>(self.example.clone()) {
            panic!("the API document's example of {name}, {}, is refused: {refused}", self.example);
        }
        self.object.examples([self.example]).into()
    }
}
