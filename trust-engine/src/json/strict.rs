//! Strict readers of values for which serde accepts too much: objects whose names repeat, lists in place of objects,
//! objects in place of words, numbers that lose digits.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::ceiling::check_amount;

/// From here on a double does not hold every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Fields by their names. Serde would read a list as fields in order, which is not seen by a reader who looks for
/// names.
pub(super) struct Named<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Named<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Named)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// One of several words. Serde would also accept an object with that word as its only name.
pub(super) struct Word<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Text<T> {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Word<T>, E> {
                T::deserialize(StrDeserializer::new(word)).map(Word)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// An object in which no name repeats, at any depth.
#[derive(Debug, Default)]
pub(super) struct StrictMap(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for StrictMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                object(map)
            }
        }
        deserializer.deserialize_map(Object).map(Self)
    }
}

fn object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Map<String, Value>, A::Error> {
    let mut object = Map::new();
    while let Some(name) = map.next_key::<String>()? {
        let value = map.next_value_seed(StrictValue)?;
        if object.contains_key(&name) {
            return Err(de::Error::custom(format!("duplicate field `{name}`")));
        }
        object.insert(name, value);
    }
    Ok(object)
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() >= EXACT {
            return Err(E::custom("a number has more digits than can be kept; send it as a string"));
        }
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(StrictValue)? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        object(map).map(Value::Object)
    }
}

/// An integer from 1 to 2^40 − 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 1 to 2^40 - 1")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Amount, E> {
                check_amount(value)
                    .map(|()| Amount(value))
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

/// Reads a value strictly, and has the schema of what it reads.
macro_rules! as_read {
    ($($type:ty as $read:ty, [$($parameters:tt)*]);* $(;)?) => {$(
        impl<$($parameters)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                <$read>::inline_schema()
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$read>::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$read>::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$read>::json_schema(generator)
            }
        }
    )*};
}

as_read! {
    Named<T> as T, [T: JsonSchema];
    Word<T> as T, [T: JsonSchema];
    StrictMap as Map<String, Value>, [];
    Amount as u64, [];
}
