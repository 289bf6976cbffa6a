//! Readers of one value of the tree, and of the fields of a map, which never stop at a mistake.
//!
//! A reader takes a [`Slot`]: the value, or nothing when its absence is reported elsewhere. The reader reports a
//! mistake, gives back a placeholder and marks the place, so that no later check speaks about a value that is not in
//! the text.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer};

use super::super::bounds::Range;
use super::super::location::Location;
use super::super::mistakes::Mistakes;
use super::super::path::Path;
use super::super::source::{Key, Kind, Node};
use super::super::wording::{nearest, quoted};

/// A value to read; `None` stands for a value whose absence is reported elsewhere.
pub(super) type Slot<'n> = Option<&'n Node>;

/// The fields of one map.
pub(super) struct Fields<'n, 'p, 'm> {
    /// `None` when the value is not a map at all.
    map: Option<(Location, &'n [(Key, Node)])>,
    path: &'p Path<'p>,
    mistakes: &'m mut Mistakes,
    /// The names that were asked for: all fields that the map may have.
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

/// Reads a map; `read` asks for each field that the map may have.
pub(super) fn record<T>(
    slot: Slot<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
    read: impl FnOnce(&mut Fields<'_, '_, '_>) -> T,
) -> T {
    let map = slot.and_then(|node| match &node.kind {
        Kind::Map(fields) => Some((node.at, fields.as_slice())),
        _ => {
            expected("a map", node, path, mistakes);
            None
        }
    });
    let mut fields = Fields { map, path, mistakes, known: Vec::new(), missing: Vec::new() };
    let value = read(&mut fields);
    fields.finish();
    value
}

impl<'n> Fields<'n, '_, '_> {
    /// Reads a field that has to be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Slot<'_>, &Path<'_>, &mut Mistakes) -> T,
    ) -> T {
        let node = self.find(name);
        if node.is_none() && self.map.is_some() {
            self.missing.push(name);
        }
        read(node, &self.path.field(name), self.mistakes)
    }

    /// Reads a field that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Slot<'_>, &Path<'_>, &mut Mistakes) -> T,
    ) -> Option<T> {
        let node = self.find(name)?;
        Some(read(Some(node), &self.path.field(name), self.mistakes))
    }

    /// Reads a field that has a default.
    pub(super) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(Slot<'_>, &Path<'_>, &mut Mistakes) -> T,
    ) -> T {
        self.optional(name, read).unwrap_or(default)
    }

    fn find(&mut self, name: &'static str) -> Slot<'n> {
        self.known.push(name);
        let (_, fields) = self.map?;
        fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    fn finish(mut self) {
        let Some((at, fields)) = self.map else { return };
        let present: HashSet<&str> = fields.iter().map(|(key, _)| key.name.as_str()).collect();
        let absent: Vec<&'static str> =
            self.known.iter().copied().filter(|name| !present.contains(name)).collect();
        for (key, _) in fields.iter().filter(|(key, _)| !self.known.contains(&key.name.as_str())) {
            let (name, known) = (quoted(&key.name), self.known.join(", "));
            let message = match nearest(&key.name, absent.iter().copied()) {
                Some(meant) => {
                    // One slip is one mistake: the field that was meant is not missing too, and its value is unknown.
                    self.missing.retain(|missing| *missing != meant);
                    self.mistakes.distrust(&self.path.field(meant));
                    format!("unknown field {name}; did you mean {meant:?}? Known: {known}")
                }
                None => format!("unknown field {name}; known: {known}"),
            };
            self.mistakes.report_at(key.at, self.path, message);
        }
        for name in self.missing {
            self.mistakes.replace(at, &self.path.field(name), "required, but missing".into());
        }
    }
}

/// Reads a text.
pub(super) fn text(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> String {
    match slot.map(|node| (node, &node.kind)) {
        None => String::new(),
        Some((_, Kind::Text(text))) => text.clone(),
        Some((node, Kind::Bool(_) | Kind::Int(_) | Kind::Float(_))) => {
            let message = format!("expected a text, found {}; put it in quotes", node.description());
            mistakes.replace(node.at, path, message);
            String::new()
        }
        Some((node, _)) => {
            expected("a text", node, path, mistakes);
            String::new()
        }
    }
}

/// Reads `true` or `false`.
pub(super) fn flag(slot: Slot<'_>, path: &Path<'_>, mistakes: &mut Mistakes) -> bool {
    match slot.map(|node| (node, &node.kind)) {
        None => false,
        Some((_, Kind::Bool(value))) => *value,
        Some((node, _)) => {
            expected("true or false", node, path, mistakes);
            false
        }
    }
}

/// Reads an integer. A number that does not fit its type is refused here with the bounds; the check tests all others.
pub(super) fn integer<N>(bounds: Range) -> impl Fn(Slot<'_>, &Path<'_>, &mut Mistakes) -> N
where
    N: TryFrom<i128> + Default,
{
    move |slot, path, mistakes| match slot.map(|node| (node, &node.kind)) {
        None => N::default(),
        Some((node, Kind::Int(integer))) => N::try_from(integer.value).unwrap_or_else(|_| {
            mistakes.replace(node.at, path, bounds.refusal(&node.description()));
            N::default()
        }),
        Some((node, _)) => {
            expected("an integer", node, path, mistakes);
            N::default()
        }
    }
}

/// Reads a list into one item for each value, so that positions stay true.
pub(super) fn list<T>(
    item: impl Fn(Slot<'_>, &Path<'_>, &mut Mistakes) -> T,
) -> impl Fn(Slot<'_>, &Path<'_>, &mut Mistakes) -> Vec<T> {
    move |slot, path, mistakes| match slot.map(|node| (node, &node.kind)) {
        None => Vec::new(),
        Some((_, Kind::List(items))) => items
            .iter()
            .enumerate()
            .map(|(position, node)| item(Some(node), &path.item(position), mistakes))
            .collect(),
        Some((node, _)) => {
            expected("a list", node, path, mistakes);
            Vec::new()
        }
    }
}

/// Reads one of an enum's names, as serde knows them.
pub(super) fn choice<T: DeserializeOwned + Copy>(
    placeholder: T,
) -> impl Fn(Slot<'_>, &Path<'_>, &mut Mistakes) -> T {
    move |slot, path, mistakes| {
        let Some(node) = slot else { return placeholder };
        let name = if let Kind::Text(text) = &node.kind { text.as_str() } else { "" };
        let deserializer: StrDeserializer<'_, Allowed> = name.into_deserializer();
        T::deserialize(deserializer).unwrap_or_else(|Allowed(allowed)| {
            let mut message = format!("expected {}, found {}", alternatives(allowed), node.description());
            if let Some(meant) = nearest(name, allowed.iter().copied()) {
                message += &format!("; did you mean {meant:?}?");
            }
            mistakes.replace(node.at, path, message);
            placeholder
        })
    }
}

fn expected(what: &str, node: &Node, path: &Path<'_>, mistakes: &mut Mistakes) {
    let mut message = format!("expected {what}, found {}", node.description());
    if node.kind == Kind::Null {
        // `tiers:` with nothing behind it must not quietly mean "any tier".
        message += "; leave the field out if you do not need it";
    }
    mistakes.replace(node.at, path, message);
}

/// `A, B or C`.
fn alternatives(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The names that serde would have taken. So each enum's names stand only in its definition.
#[derive(Debug)]
struct Allowed(&'static [&'static str]);

impl de::Error for Allowed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alternatives(self.0))
    }
}

impl std::error::Error for Allowed {}
