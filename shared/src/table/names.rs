//! The names of the attributes that a type reads.

use serde::{
    Deserializer,
    de::{DeserializeOwned, Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};

/// Returns the names of the attributes that `T` reads from an item: the fields of the struct from
/// which its `Deserialize` is derived.
///
/// # Panics
/// If `T` is not deserialized as a struct with named fields, such as one with `#[serde(flatten)]`:
/// a programming error.
pub fn attribute_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names = None;
    // The only result is an error, because there is no value.
    let _ = T::deserialize(Fields(&mut names));
    names.expect("the type is deserialized as a struct")
}

/// Records the names of the fields of a struct.
struct Fields<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Some(fields);
        Err(Error::custom("only the names are read"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the names are read")]
    struct Stored {
        id: String,
        #[serde(rename = "state")]
        current: u8,
        #[serde(default)]
        note: Option<String>,
        #[serde(skip)]
        cached: bool,
    }

    #[test]
    fn names_are_those_in_the_item() {
        assert_eq!(attribute_names::<Stored>(), ["id", "state", "note"]);
    }

    #[test]
    #[should_panic(expected = "deserialized as a struct")]
    fn type_without_fields_is_a_programming_error() {
        attribute_names::<Vec<u8>>();
    }
}
