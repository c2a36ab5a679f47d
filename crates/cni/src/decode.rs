//! JSON as Go decodes it.
//!
//! The reference plugins are written in Go, and runtimes rely on Go's decoder: keys match in any case (containerd sends
//! `IngressRate`), `null` means absent, and unknown keys are ignored, unless the type denies them with
//! `#[serde(deny_unknown_fields)]` because a typo must not go unnoticed. Numbers that went through a float arrive as
//! `1e7` or `10000000.0`. This module decodes JSON that way into any type that derives `Deserialize`. Its errors name
//! the key and the value.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::failure::{Failure, code};

/// An invalid value, with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    path: String,
    value: Option<String>,
    problem: String,
}

impl DecodeError {
    /// Returns the key, such as `ipam.ranges[0][1].subnet`; empty for the whole document.
    pub fn key(&self) -> &str {
        &self.path
    }

    fn at(mut self, value: &Value) -> Self {
        if self.value.is_none() {
            self.value = Some(excerpt(value));
        }
        self
    }

    fn inside(mut self, key: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{key}{joint}{}", self.path);
        self
    }
}

fn excerpt(value: &Value) -> String {
    const MOST: usize = 120;
    let mut text = value.to_string();
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, " (got {value})"))
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: String::new(), value: None, problem: message.to_string() }
    }

    /// Only for types with `#[serde(deny_unknown_fields)]`.
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let problem = format!("no such key; allowed are {}", expected.join(", "));
        Self { path: field.to_owned(), value: None, problem }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(code::INVALID_CONFIG, format!("invalid network config: {error}"))
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        de::Error::custom(error)
    }
}

/// Reads `value` into `T`, as Go's decoder would.
///
/// # Errors
/// [`DecodeError`] with the key and the value that do not fit.
pub fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    T::deserialize(Document(value))
}

/// A JSON value, decoded as by Go; see [`decode`].
#[derive(Clone, Copy)]
pub(crate) struct Document<'de>(pub(crate) &'de Value);

/// Decodes a key whose empty text means absent, as for addresses in the reference:
/// `#[serde(default, deserialize_with = "cni::optional")]`.
///
/// # Errors
/// Those of `T`'s parser.
pub fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = <Option<String> as serde::Deserialize>::deserialize(deserializer)?;
    match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(de::Error::custom),
    }
}

impl<'de> Document<'de> {
    fn integer(self) -> Option<i128> {
        let Value::Number(number) = self.0 else { return None };
        number.as_i128().or_else(|| {
            let float = number.as_f64()?;
            let whole = float.is_finite() && float.fract() == 0.0 && float.abs() < 1e30;
            // The bounds above make the conversion exact.
            #[allow(clippy::cast_possible_truncation)]
            whole.then_some(float as i128)
        })
    }

    fn visit_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let outcome = match self.integer() {
            Some(integer) => match (u64::try_from(integer), i64::try_from(integer)) {
                (Ok(unsigned), _) => visitor.visit_u64(unsigned),
                (_, Ok(signed)) => visitor.visit_i64(signed),
                _ => Err(de::Error::custom("the number is too large")),
            },
            None => self.0.deserialize_any(visitor).map_err(DecodeError::from),
        };
        outcome.map_err(|error: DecodeError| error.at(self.0))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.visit_integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Document<'de> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.deserialize_any(visitor).map_err(|error| DecodeError::from(error).at(self.0))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), next: 0 }),
            Value::Null => visitor.visit_seq(Items { items: [].iter(), next: 0 }),
            other => Err(wants("a list", other)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
                visitor.visit_map(Fields { entries, next: 0 })
            }
            Value::Null => visitor.visit_map(Fields { entries: Vec::new(), next: 0 }),
            other => Err(wants("an object", other)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let map = match self.0 {
            Value::Object(map) => map,
            Value::Null => return visitor.visit_map(Fields { entries: Vec::new(), next: 0 }),
            other => return Err(wants("an object", other)),
        };
        let mut entries = Vec::with_capacity(map.len());
        for field in fields {
            let exact = map.get(*field);
            let folded =
                || map.iter().find(|(key, _)| key.eq_ignore_ascii_case(field)).map(|(_, value)| value);
            if let Some(value) = exact.or_else(folded).filter(|value| !value.is_null()) {
                entries.push((*field, value));
            }
        }
        // Under their own names: a type that denies unknown fields refuses them, others do not look.
        let is_known = |key: &str| fields.iter().any(|field| key.eq_ignore_ascii_case(field));
        let unknown = map.iter().filter(|(key, value)| !value.is_null() && !is_known(key));
        entries.extend(unknown.map(|(key, value)| (key.as_str(), value)));
        visitor.visit_map(Fields { entries, next: 0 })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.0.deserialize_enum(name, variants, visitor).map_err(|error| DecodeError::from(error).at(self.0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        identifier
    }
}

fn wants(what: &str, got: &Value) -> DecodeError {
    <DecodeError as de::Error>::custom(format!("want {what}")).at(got)
}

/// The keys of an object; those that the type knows under the type's own spelling.
struct Fields<'de> {
    entries: Vec<(&'de str, &'de Value)>,
    next: usize,
}

impl<'de> de::MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.entries.get(self.next) {
            Some((key, _)) => seed.deserialize((*key).into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let (key, value) = self.entries[self.next];
        self.next += 1;
        seed.deserialize(Document(value)).map_err(|error| error.at(value).inside(key))
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Document(value))
            .map(Some)
            .map_err(|error| error.at(value).inside(&format!("[{index}]")))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Config {
        ingress_rate: u64,
        is_gateway: bool,
        ranges: Vec<Vec<Range>>,
        table: Option<i32>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Range {
        subnet: String,
        #[serde(deserialize_with = "optional")]
        gateway: Option<IpAddr>,
    }

    #[test]
    fn keys_match_in_any_case_and_the_exact_one_wins() {
        assert_eq!(decode::<Config>(&json!({"IngressRate": 5})).unwrap().ingress_rate, 5);
        let both = json!({"INGRESSRATE": 1, "ingressRate": 2});
        assert_eq!(decode::<Config>(&both).unwrap().ingress_rate, 2);
    }

    #[test]
    fn null_is_absent_everywhere() {
        let config = json!({"ingressRate": null, "ranges": [null, [{"subnet": null}]], "isGateway": null});
        let config: Config = decode(&config).unwrap();
        assert_eq!(config.ranges, [vec![], vec![Range::default()]]);
        assert_eq!(decode::<Config>(&Value::Null).unwrap(), Config::default());
    }

    #[test]
    fn numbers_that_went_through_a_float_are_integers() {
        for number in ["1e7", "10000000.0", "10000000"] {
            let value: Value = serde_json::from_str(&format!("{{\"ingressRate\": {number}}}")).unwrap();
            assert_eq!(decode::<Config>(&value).unwrap().ingress_rate, 10_000_000, "{number}");
        }
        assert_eq!(decode::<Config>(&json!({"table": -1.0})).unwrap().table, Some(-1));
    }

    #[test]
    fn an_invalid_integer_is_refused_with_key_and_value() {
        let error = decode::<Config>(&json!({"IngressRate": 1.5})).unwrap_err().to_string();
        assert!(error.starts_with("ingressRate: ") && error.ends_with("(got 1.5)"), "{error}");
        assert!(decode::<Config>(&json!({"ingressRate": -1})).is_err());
        assert!(decode::<Config>(&json!({"ingressRate": 1e300})).is_err());
        assert!(decode::<Config>(&json!({"table": 5_000_000_000u64})).is_err());
    }

    #[test]
    fn an_error_names_the_whole_path() {
        let config = json!({"ranges": [[{"subnet": "10.0.0.0/8"}, {"subnet": 7}]]});
        let error = decode::<Config>(&config).unwrap_err();
        assert_eq!(error.key(), "ranges[0][1].subnet");
        assert!(error.to_string().ends_with("(got 7)"), "{error}");
        let error = decode::<Config>(&json!({"ranges": {"subnet": 1}})).unwrap_err();
        assert_eq!(error.to_string(), "ranges: want a list (got {\"subnet\":1})");
    }

    #[test]
    fn an_empty_address_is_absent_and_a_bad_one_is_named() {
        let read = |gateway: &str| decode::<Range>(&json!({ "gateway": gateway }));
        assert_eq!(read("").unwrap().gateway, None);
        assert_eq!(read("10.0.0.1").unwrap().gateway, Some(IpAddr::from([10, 0, 0, 1])));
        let error = read("10.0.0").unwrap_err().to_string();
        assert!(error.contains("gateway") && error.contains("\"10.0.0\""), "{error}");
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
    struct Policy {
        max_rate: u64,
        min_rate: u64,
    }

    #[test]
    fn a_type_that_denies_unknown_keys_names_them_and_those_that_it_knows() {
        assert_eq!(decode::<Policy>(&json!({"MAXRATE": 5, "x": null})).unwrap().max_rate, 5);
        assert_eq!(decode::<Policy>(&json!({"MaxRate": 1, "maxRate": 2})).unwrap().max_rate, 2);
        let error = decode::<Vec<Policy>>(&json!([{"maxRates": 5}])).unwrap_err();
        assert_eq!(error.key(), "[0].maxRates");
        assert!(error.to_string().contains("no such key; allowed are maxRate, minRate"), "{error}");
    }

    #[test]
    fn unknown_keys_are_ignored() {
        assert!(decode::<Config>(&json!({"addIf": "true", "x": [1, {"y": null}]})).is_ok());
    }
}
