//! The reader of YAML 1.2, from the events of `saphyr-parser`, with plain scalars resolved by the core schema.
//!
//! The parser expands nothing by itself: an alias arrives as an event and is refused here, so no input can grow. The
//! tree is built on an explicit stack.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::super::error::PolicyError;
use super::super::location::Location;
use super::{Budget, Integer, Key, Kind, Node, decimal, number};

const ANCHORS: &str =
    "anchors and aliases (`&`, `*`) are not part of the policy language; write the value out";
const TAGS: &str = "tags (`!`) are not part of the policy language; quote a value to make it a text";
const MERGE_KEYS: &str = "merge keys (`<<`) are not part of the policy language; write the fields out";
const KEYS: &str = "the name of a field must be a text, not a list or a map";
const DOCUMENTS: &str = "a second document begins here; a policy is one document";
const EMPTY: &str = "the text holds no document";

/// Reads a text that holds one YAML document.
pub(super) fn read(text: &str, budget: &mut Budget) -> Result<Node, PolicyError> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder { open: Vec::new(), root: None, documents: 0, budget };
    loop {
        match next(&mut parser)? {
            None => break,
            Some((event, at)) => builder.take(event, at)?,
        }
    }
    match builder.root {
        Some(root) if root.kind != Kind::Null => Ok(root),
        _ => Err(PolicyError::in_text(Location { line: 1, column: 1 }, EMPTY)),
    }
}

fn next<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> Result<Option<(Event<'t>, Location)>, PolicyError> {
    match parser.next_event() {
        None => Ok(None),
        Some(Ok((event, span))) => Ok(Some((event, location(&span.start)))),
        Some(Err(error)) => Err(syntax(&error)),
    }
}

fn location(marker: &Marker) -> Location {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Location { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

fn syntax(error: &ScanError) -> PolicyError {
    let at = location(error.marker());
    if error.info().contains("unknown anchor") {
        return PolicyError::in_text(at, ANCHORS);
    }
    PolicyError::in_text(at, format!("not valid YAML: {}", error.info()))
}

struct Builder<'b> {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    budget: &'b mut Budget,
}

/// A list or map whose end has not come yet.
enum Open {
    List { at: Location, items: Vec<Node> },
    Map { at: Location, fields: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: Location) -> Result<(), PolicyError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(PolicyError::in_text(at, DOCUMENTS));
                }
            }
            Event::Alias(_) => {
                self.budget.refuse(at, ANCHORS);
                self.scalar(at, "", ScalarStyle::Plain)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                self.scalar(at, &text, style)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                self.enter(Open::List { at, items: Vec::new() }, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.decorations(at, anchor, tag.is_some());
                let (fields, seen) = (Vec::new(), HashSet::new());
                self.enter(Open::Map { at, fields, seen, key: None }, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn decorations(&mut self, at: Location, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.budget.refuse(at, ANCHORS);
        }
        if tagged {
            self.budget.refuse(at, TAGS);
        }
    }

    fn scalar(&mut self, at: Location, text: &str, style: ScalarStyle) -> Result<(), PolicyError> {
        if let Some(Open::Map { seen, key: key @ None, .. }) = self.open.last_mut() {
            if text == "<<" && style == ScalarStyle::Plain {
                self.budget.refuse(at, MERGE_KEYS);
            } else {
                self.budget.key(seen, at, text);
            }
            *key = Some(Key { at, name: text.to_owned() });
            return Ok(());
        }
        self.budget.spend(at)?;
        let kind = if style == ScalarStyle::Plain { plain(text) } else { Kind::Text(text.to_owned()) };
        if matches!(kind, Kind::Int(_) | Kind::Float(_)) && !is_json_number(text) {
            // Readers of YAML disagree: 010 is eight to those of version 1.1.
            let found = number(text);
            self.budget.refuse(at, format!("numbers are written as in JSON (10, 0.5, -1e3), found {found}"));
        }
        self.attach(Node { at, kind });
        Ok(())
    }

    fn enter(&mut self, open: Open, at: Location) -> Result<(), PolicyError> {
        self.budget.spend(at)?;
        self.budget.enter(at, self.open.len() + 1)?;
        self.open.push(open);
        Ok(())
    }

    fn leave(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List { at, items }) => Node { at, kind: Kind::List(items) },
            Some(Open::Map { at, fields, .. }) => Node { at, kind: Kind::Map(fields) },
            None => return,
        };
        self.attach(node);
    }

    fn attach(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { fields, key, .. }) => match key.take() {
                Some(key) => fields.push((key, node)),
                None => {
                    self.budget.refuse(node.at, KEYS);
                    // A nameless key has to stand there until the value comes.
                    *key = Some(Key { at: node.at, name: String::new() });
                }
            },
        }
    }
}

/// A plain scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_decimal(text) => Kind::Int(decimal(text)),
        _ => match (radix(text, "0o", 8), radix(text, "0x", 16)) {
            (Some(integer), _) | (_, Some(integer)) => Kind::Int(integer),
            _ if is_float(text) => Kind::Float(text.to_owned()),
            _ => Kind::Text(text.to_owned()),
        },
    }
}

/// Whether RFC 8259, section 6, has this number too.
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, _) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, ""));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn radix(text: &str, prefix: &str, radix: u32) -> Option<Integer> {
    let digits = text.strip_prefix(prefix)?;
    let all_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    all_digits.then(|| {
        let value = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
        Integer { value, written: text.to_owned() }
    })
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(is_decimal)
}
