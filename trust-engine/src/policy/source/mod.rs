//! The readers: from a text to a tree of values that know their locations.
//!
//! A text that begins with `{` is JSON and read strictly as such; every other text is YAML 1.2 with the core schema.
//! The YAML reader refuses anchors, tags, merge keys and several documents, which JSON does not have either: each of
//! them lets a text mean something else than a person sees, or grow when it is read.

mod json;
mod yaml;

use std::collections::HashSet;

use super::error::{PolicyError, PolicyErrors};
use super::location::Location;
use super::path::{Step, Steps};
use super::wording::{grouped, quoted};

/// The largest text, in bytes.
const TEXT_BYTES: usize = 1 << 20;
/// The deepest nesting of lists and maps.
const DEPTH: usize = 32;
/// The most values, of all kinds together.
const NODES: usize = 100_000;

/// A value and the location at which it begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Location,
    pub(crate) kind: Kind,
}

/// The kind and the content of a value.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(Integer),
    /// A fractional number as written; nothing in a policy is fractional.
    Float(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// An integer, and its text as written.
#[derive(Debug, PartialEq)]
pub(crate) struct Integer {
    /// The value, clamped to `i128`, whose ends are far outside of all bounds.
    pub(crate) value: i128,
    pub(crate) written: String,
}

/// The key of a field.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) at: Location,
    pub(crate) name: String,
}

/// Reads a text. Errors of syntax end the reading; refused features are collected.
pub(crate) fn read(text: &str) -> Result<Node, PolicyErrors> {
    let start = Location { line: 1, column: 1 };
    if text.len() > TEXT_BYTES {
        let (most, found) = (grouped(TEXT_BYTES as u64), grouped(text.len() as u64));
        let message = format!("the text has {found} bytes; at most {most} are read");
        return Err(PolicyErrors::sorted(vec![PolicyError::in_text(start, message)]));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut budget = Budget { nodes: 0, refused: Vec::new() };
    // Only the white space of JSON is skipped; more would hand texts to a JSON reader that refuses them.
    let json = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    match if json { json::read(text, &mut budget) } else { yaml::read(text, &mut budget) } {
        Ok(root) => PolicyErrors::refuse(budget.refused).map(|()| root),
        Err(error) => {
            budget.refused.push(error);
            Err(PolicyErrors::sorted(budget.refused))
        }
    }
}

/// The count of values and the refusals, alike for both readers.
struct Budget {
    nodes: usize,
    refused: Vec<PolicyError>,
}

impl Budget {
    /// Counts one more value.
    fn spend(&mut self, at: Location) -> Result<(), PolicyError> {
        self.nodes += 1;
        if self.nodes > NODES {
            let message = format!("the text has more than {} values", grouped(NODES as u64));
            return Err(PolicyError::in_text(at, message));
        }
        Ok(())
    }

    /// Admits one more list or map, the `depth`th inside of each other.
    fn enter(&mut self, at: Location, depth: usize) -> Result<(), PolicyError> {
        if depth > DEPTH {
            return Err(PolicyError::in_text(at, format!("lists and maps are nested deeper than {DEPTH}")));
        }
        Ok(())
    }

    fn refuse(&mut self, at: Location, message: impl Into<String>) {
        self.refused.push(PolicyError::in_text(at, message));
    }

    /// Refuses a key that the map has already.
    fn key(&mut self, seen: &mut HashSet<String>, at: Location, name: &str) {
        if !seen.insert(name.to_owned()) {
            self.refuse(at, format!("the field {} is there twice", quoted(name)));
        }
    }
}

impl Node {
    /// The location of the value at `place`, or of the nearest one around it that is written out.
    pub(crate) fn nearest(&self, place: &Steps) -> Location {
        let mut here = self;
        for step in place.iter() {
            let next = match (&here.kind, step) {
                (Kind::Map(fields), Step::Field(name)) => {
                    fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
                }
                (Kind::List(items), Step::Item(position)) => items.get(position),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here.at
    }

    /// Describes the value for messages.
    pub(crate) fn description(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Int(Integer { written, .. }) | Kind::Float(written) => number(written),
            Kind::Text(text) => quoted(text),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
        }
    }
}

/// A number as written; quoted, and so clipped, when it is absurdly long.
fn number(written: &str) -> String {
    if written.len() > 40 { quoted(written) } else { written.to_owned() }
}

/// The integer of decimal digits with an optional sign.
fn decimal(written: &str) -> Integer {
    let value = written.parse().unwrap_or(if written.starts_with('-') { i128::MIN } else { i128::MAX });
    Integer { value, written: written.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// A tree without locations and spellings.
    fn bare(node: &Node) -> Value {
        match &node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(integer) => serde_json::json!({ "int": integer.value.to_string() }),
            Kind::Float(written) => serde_json::json!({ "float": written }),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(bare).collect(),
            Kind::Map(fields) => {
                fields.iter().map(|(key, node)| serde_json::json!([key.name, bare(node)])).collect()
            }
        }
    }

    fn value(text: &str) -> Value {
        bare(&read(text).unwrap())
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    fn at(text: &str, place: &[Step]) -> (u32, u32) {
        let mut here = &read(text).unwrap();
        for step in place {
            here = match (&here.kind, step) {
                (Kind::Map(fields), Step::Field(name)) => {
                    &fields.iter().find(|(key, _)| key.name == *name).unwrap().1
                }
                (Kind::List(items), Step::Item(position)) => &items[*position],
                _ => panic!("no such place"),
            };
        }
        (here.at.line, here.at.column)
    }

    #[test]
    fn plain_scalars_follow_the_core_schema_and_numbers_are_those_of_json() {
        let kind = |text: &str| value(&format!("a: {text}"))[0][1].clone();
        let int = |number: i128| serde_json::json!({ "int": number.to_string() });
        for (text, expected) in [("7", 7), ("-12", -12), ("0", 0), ("-0", 0)] {
            assert_eq!(kind(text), int(expected), "{text}");
        }
        assert_eq!(kind(&"9".repeat(60)), int(i128::MAX));
        for text in ["1.5", "0.5", "-1e3", "1.5E+3", "0e0"] {
            assert_eq!(kind(text), serde_json::json!({ "float": text }), "{text}");
        }
        for text in [
            "007", "010", "-010", "+5", "0x1F", "0o17", "00", "1.", ".5", "-.5", "+1.5", "01.5", "1.e3",
            "00e1", ".inf", "-.INF", ".nan",
        ] {
            let expected = format!("1:4: numbers are written as in JSON (10, 0.5, -1e3), found {text}");
            assert!(refusal(&format!("a: {text}")).contains(&expected), "{}", refusal(&format!("a: {text}")));
            assert_eq!(kind(&format!("'{text}'")), Value::String(text.into()), "{text}");
        }
        for text in
            ["yes", "No", "on", "0b1", "1_000", "-0x1", "0o8", "09:00", "1e", ".", "-.nan", "nULL", "e5"]
        {
            assert_eq!(kind(text), Value::String(text.into()), "{text}");
        }
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(kind(text), Value::Null, "{text}");
        }
        for (text, expected) in [("true", true), ("FALSE", false)] {
            assert_eq!(kind(text), Value::Bool(expected), "{text}");
        }
        for text in ["'5'", "\"5\"", "|-\n  5", ">-\n  5"] {
            assert_eq!(kind(text), Value::String("5".into()), "{text}");
        }
    }

    #[test]
    fn all_of_json_is_read() {
        assert_eq!(value("\u{feff}\t{\t\"a\"\t:\t1\t}\r\n"), value("a: 1"));
        assert_eq!(value(r#"{"a":"\ud83d\ude00\u00e9\/\b\f\n\r\t\"\\"}"#)[0][1], "😀é/\u{8}\u{c}\n\r\t\"\\");
        assert_eq!(
            value("{\"a\":[{},[],null,true,false,-0,12,1.0,1e-3]}")[0][1].as_array().unwrap().len(),
            9
        );
        assert_eq!(value(&format!("{{\"{}\":1}}", "k".repeat(5000)))[0][0].as_str().unwrap().len(), 5000);
    }

    #[test]
    fn broken_json_is_refused_where_it_breaks() {
        for (text, expected) in [
            ("{", "1:2: not valid JSON: expected a field name in double quotes, found the end of the text"),
            ("{a: 1}", "1:2: not valid JSON: expected a field name in double quotes, found 'a'"),
            ("{\"a\":1,}", "1:8: not valid JSON: expected a field name in double quotes, found '}'"),
            ("{\"a\":[1,]}", "1:9: not valid JSON: expected a value, found ']'"),
            ("{\"a\":01}", "1:7: not valid JSON: expected `,` or `}`, found '1'"),
            ("{\"a\":+1}", "1:6: not valid JSON: expected a value, found '+'"),
            ("{\"a\":1.}", "1:8: not valid JSON: expected a digit, found '}'"),
            ("{\"a\":nul}", "1:6: not valid JSON: expected a value, found 'n'"),
            ("{\"a\" 1}", "1:6: not valid JSON: expected `:`, found '1'"),
            ("{\"a\":1}\n x", "2:2: not valid JSON: expected the end of the text, found 'x'"),
            ("{\"é\":\"x", "1:6: this text is not closed with `\"`"),
            ("{\"a\":\"\\x\"}", "1:7: unknown escape"),
            ("{\"a\":\"\\ud83dx\"}", "1:7: half of a surrogate pair"),
            ("{\"a\":\"\\ud83d\\u0041\"}", "1:7: half of a surrogate pair"),
            ("{\"a\":\"\\ude00\"}", "1:7: half of a surrogate pair"),
            ("{\"a\":\"\\u00g0\"}", "1:7: \\u must have four hexadecimal digits"),
            ("{\"a\":1,\n\"a\":2}", "2:1: the field \"a\" is there twice"),
        ] {
            let found = refusal(text);
            assert!(found.starts_with(&format!("1 mistake in the policy:\n{expected}")), "{text}: {found}");
        }
    }

    #[test]
    fn places_are_counted_in_characters_and_all_line_ends() {
        let place = [Step::Field("ü"), Step::Item(1)];
        assert_eq!(at("{\"é\":\r\n1,\r\"ü\":[\"😀\",\t7]}", &place), (3, 11));
        assert_eq!(at("é: 1\r\nü: ['😀', 7]\n", &place), (2, 10));
        assert_eq!(at("# c\nü:\n  - 1\n  - x: 7\n", &place), (4, 5));
    }

    #[test]
    fn limits_hold_for_both_languages() {
        let nested = |depth: usize| "[".repeat(depth - 1) + &"]".repeat(depth - 1);
        let (deepest, deeper) = (nested(DEPTH), nested(DEPTH + 1));
        assert!(read(&format!("{{\"a\":{deepest}}}")).is_ok());
        assert!(read(&format!("a: {deepest}")).is_ok());
        assert!(
            refusal(&format!("{{\"a\":{deeper}}}"))
                .contains("1:37: lists and maps are nested deeper than 32")
        );
        assert!(refusal(&format!("a: {deeper}")).contains("1:35: lists and maps are nested deeper than 32"));

        let many = |count: usize| format!("[{}]", "1,".repeat(count - 1) + "1");
        // The map and the list count as well.
        assert!(read(&format!("{{\"a\":{}}}", many(NODES - 2))).is_ok());
        assert!(read(&format!("a: {}", many(NODES - 2))).is_ok());
        assert!(refusal(&format!("{{\"a\":{}}}", many(NODES - 1))).contains("more than 100,000 values"));
        assert!(refusal(&format!("a: {}", many(NODES - 1))).contains("more than 100,000 values"));
        assert!(read(&format!("a: 1{}", " ".repeat(TEXT_BYTES - 4))).is_ok());
        assert!(refusal(&" ".repeat(TEXT_BYTES + 1)).contains("1:1: the text has 1,048,577 bytes"));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~\u{80}-\u{2030}]{0,12}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-z<~#\\-]{0,4}", value, 0..6)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        /// A comment in front makes a JSON text YAML. YAML may refuse it (tabs, surrogate pairs), but when it is read
        /// it must mean the same.
        #[test]
        fn json_read_as_yaml_is_the_same_or_refused(json in any_json()) {
            for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                let as_json = value(&text);
                if let Ok(as_yaml) = read(&format!("# as YAML\n{text}")) {
                    prop_assert_eq!(bare(&as_yaml), as_json);
                }
            }
        }

        #[test]
        fn the_json_reader_takes_what_serde_json_takes(
            json in any_json(),
            cut in any::<prop::sample::Index>(),
            drop in 0usize..2,
            insert in prop::sample::select(vec![
                "", "{", "}", "[", "\"", ",", ":",
                "0", "-", ".", "\\u", "\\", "t", " ", "\n", "\u{1}",
            ]),
        ) {
            let chars: Vec<char> = json.to_string().chars().collect();
            let cut = cut.index(chars.len()).max(1);
            let mut text: String = chars.iter().take(cut).collect();
            text += insert;
            text.extend(chars.iter().skip(cut + drop));
            let mut budget = Budget { nodes: 0, refused: Vec::new() };
            let ours = json::read(&text, &mut budget).is_ok();
            let theirs = serde_json::from_str::<Value>(&text);
            let too_large = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            prop_assert!(ours == theirs.is_ok() || too_large, "{}: {:?}", text, theirs);
        }
    }
}
