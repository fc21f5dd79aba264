//! Deserializes items from DynamoDB JSON into their types, without an intermediate map of
//! attribute values.
//!
//! Format: "DynamoDB low-level API", Amazon DynamoDB Developer Guide. An attribute value is an
//! object with one member: its type and its value, such as `{"S": "pending"}`.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess,
        SeqAccess, Visitor, value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

/// An item, and the value of the attribute by which it is sorted.
pub(super) struct Row<T> {
    pub(super) sort_key: String,
    pub(super) value: T,
}

/// Reads an item as a [`Row`].
pub(super) struct RowSeed<T> {
    /// Name of the sort attribute, a text.
    sort: &'static str,
    of: PhantomData<T>,
}

impl<T> RowSeed<T> {
    pub(super) fn new(sort: &'static str) -> Self {
        Self { sort, of: PhantomData }
    }
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for RowSeed<T> {
    type Value = Row<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for RowSeed<T> {
    type Value = Row<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Row<T>, A::Error> {
        let mut sort_key = None;
        let attributes =
            ItemAttributes { map, sort: self.sort, is_sort: false, sort_key: &mut sort_key };
        let value = T::deserialize(MapAccessDeserializer::new(attributes))?;
        let sort_key = sort_key.ok_or_else(|| A::Error::custom("no sort attribute"))?;
        Ok(Row { sort_key, value })
    }
}

/// The attributes of an item. Keeps the value of the sort attribute.
struct ItemAttributes<'a, A> {
    map: A,
    sort: &'static str,
    /// Whether the next value is that of the sort attribute.
    is_sort: bool,
    sort_key: &'a mut Option<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ItemAttributes<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some((name, is_sort)) = self.map.next_key_seed(Name { seed, sort: self.sort })? else {
            return Ok(None);
        };
        self.is_sort = is_sort;
        Ok(Some(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if !self.is_sort {
            return self.map.next_value_seed(Nested(seed));
        }
        let text = self.map.next_value_seed(Nested(PhantomData::<String>))?;
        let value = seed.deserialize(text.as_str().into_deserializer())?;
        *self.sort_key = Some(text);
        Ok(value)
    }
}

/// Reads the name of an attribute, and whether it is the sort attribute.
struct Name<K> {
    seed: K,
    sort: &'static str,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Name<K> {
    type Value = (K::Value, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Name<K> {
    type Value = (K::Value, bool);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of an attribute")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok((self.seed.deserialize(name.into_deserializer())?, name == self.sort))
    }
}

struct Members<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(Nested(seed))
    }
}

struct Elements<A>(A);

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Nested(seed))
    }
}

/// Reads an attribute value with the inner seed.
struct Nested<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nested<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(AttributeValue(deserializer))
    }
}

/// Deserializes an attribute value from the object that contains it.
struct AttributeValue<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AttributeValue<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Tagged { visitor, wanted: Wanted::Value })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Tagged { visitor, wanted: Wanted::Option })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Tagged { visitor, wanted: Wanted::Enum })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Skips a value of any type, also of one that this release cannot read.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// What a type expects of an attribute value.
#[derive(Clone, Copy)]
enum Wanted {
    Value,
    Option,
    Enum,
}

/// Reads the one member of an attribute value.
struct Tagged<V> {
    visitor: V,
    wanted: Wanted,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Tagged<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an attribute value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let kind =
            map.next_key::<Kind>()?.ok_or_else(|| A::Error::custom("a value without a type"))?;
        let value = match (self.wanted, kind) {
            (Wanted::Option, Kind::Null) => {
                map.next_value::<IgnoredAny>()?;
                self.visitor.visit_none()?
            }
            (Wanted::Option, kind) => {
                self.visitor.visit_some(TypedValue { kind, map: &mut map })?
            }
            (Wanted::Enum, kind) => TypedValue { kind, map: &mut map }.read_enum(self.visitor)?,
            (Wanted::Value, kind) => TypedValue { kind, map: &mut map }.read(self.visitor)?,
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("a value with two types")),
        }
    }
}

/// The types of attribute values that items of this project have.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier)]
enum Kind {
    #[serde(rename = "S")]
    Text,
    #[serde(rename = "N")]
    Number,
    #[serde(rename = "BOOL")]
    Boolean,
    #[serde(rename = "NULL")]
    Null,
    #[serde(rename = "M")]
    Map,
    #[serde(rename = "L")]
    List,
    /// Sets and binary values.
    #[serde(other)]
    Other,
}

/// The value of an attribute whose type has been read.
struct TypedValue<'a, A> {
    kind: Kind,
    map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> TypedValue<'_, A> {
    fn read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        let kind = self.kind;
        self.map.next_value_seed(Content { kind, visitor })
    }

    fn read_enum<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        let kind = self.kind;
        self.map.next_value_seed(Variant { kind, visitor })
    }
}

/// An option's value: present, so that it has any of the types.
impl<'de, A: MapAccess<'de>> Deserializer<'de> for TypedValue<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        self.read(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.read_enum(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads the content of an attribute value for `visitor`.
struct Content<V> {
    kind: Kind,
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Content<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.kind {
            Kind::Text => deserializer.deserialize_str(self.visitor),
            Kind::Boolean => deserializer.deserialize_bool(self.visitor),
            Kind::Number => deserializer.deserialize_str(self),
            Kind::Map => deserializer.deserialize_map(self),
            Kind::List => deserializer.deserialize_seq(self),
            // An unknown attribute may be a set. `flatten` reads it, and does not use it.
            Kind::Null | Kind::Other => {
                IgnoredAny::deserialize(deserializer)?;
                self.visitor.visit_unit()
            }
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Content<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, a map or a list")
    }

    /// A number: DynamoDB sends it as a text of its digits.
    fn visit_str<E: Error>(self, digits: &str) -> Result<V::Value, E> {
        if let Ok(number) = digits.parse() {
            return self.visitor.visit_u64(number);
        }
        if let Ok(number) = digits.parse() {
            return self.visitor.visit_i64(number);
        }
        match digits.parse() {
            Ok(number) => self.visitor.visit_f64(number),
            Err(_) => Err(E::custom("not a number")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Members(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Elements(elements))
    }
}

/// Reads an enum: a text names a variant, a map contains one with its data.
struct Variant<V> {
    kind: Kind,
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Variant<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        match self.kind {
            Kind::Text => deserializer.deserialize_str(self),
            Kind::Map => deserializer.deserialize_map(self),
            _ => Err(D::Error::custom("neither the name of a variant nor its data")),
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Variant<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a variant")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.visitor.visit_enum(name.into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(MapAccessDeserializer::new(Members(map)))
    }
}

#[cfg(test)]
mod tests;
