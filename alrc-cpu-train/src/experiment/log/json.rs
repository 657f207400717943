//! Lines of JSON: one object each, of which one field is taken.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::number;

/// Whether a line is JSON, or begins a document of several lines.
pub(super) fn is_json(line: &str) -> bool {
    let read = parse(line.as_bytes(), |line| serde_json::from_slice::<IgnoredAny>(line));
    read.map_or_else(|error| error.is_eof(), |_| true)
}

/// The names of the fields of a line that may be losses: numbers, perhaps in quotes, and nulls. None where the line
/// is no object.
pub(super) fn names(line: &[u8]) -> impl Iterator<Item = String> {
    let object: serde_json::Map<String, serde_json::Value> =
        parse(line, |line| serde_json::from_slice(line)).unwrap_or_default();
    let numbers = object
        .into_iter()
        .filter(|(_, value)| value.is_number() || value.is_null() || is_number_in_quotes(value));
    numbers.map(|(name, _)| name)
}

/// The number in a field of a line; none where there is no such field.
pub(super) fn value(line: &[u8], name: &str) -> serde_json::Result<Option<f64>> {
    parse(line, |line| field(line, name))
}

/// Reads a line of JSON, in which there may be words for what JSON cannot express.
fn parse<T>(line: &[u8], read: impl Fn(&[u8]) -> serde_json::Result<T>) -> serde_json::Result<T> {
    read(line).or_else(|_| read(&quote_non_finite(line)))
}

/// Puts the words that some programs write into JSON for what JSON cannot express between quotes, but for those that
/// stand in a string.
fn quote_non_finite(line: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(line) else { return Cow::Borrowed(line) };
    let (mut quoted, mut in_string) = (String::new(), false);
    for part in text.split_inclusive('"') {
        let before_quote = part.trim_end_matches('"');
        let backslashes = before_quote.len() - before_quote.trim_end_matches('\\').len();
        if in_string {
            quoted += part;
            in_string = backslashes % 2 == 1;
        } else {
            quoted += &part
                .replace("NaN", "\"NaN\"")
                .replace("Infinity", "\"inf\"")
                .replace("-\"inf\"", "\"-inf\"");
            in_string = true;
        }
    }
    Cow::Owned(quoted.into_bytes())
}

fn is_number_in_quotes(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<f64>().is_ok())
}

/// The number in a field of a JSON object; none where there is no such field.
fn field(line: &[u8], name: &str) -> serde_json::Result<Option<f64>> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let value = json.deserialize_map(Field(name))?;
    json.end()?;
    Ok(value)
}

/// Takes one field of an object and passes over the others.
struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut value = None;
        while let Some(is_wanted) = map.next_key_seed(IsKey(self.0))? {
            if is_wanted {
                value = map.next_value_seed(Number)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(value)
    }
}

/// Whether a key is the one that is wanted.
struct IsKey<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// A number, perhaps in quotes, or null.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<f64>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Option<f64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Number {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value as f64))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        number(text.as_bytes()).map_err(E::custom)
    }
}
