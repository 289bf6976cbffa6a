//! The reader of JSON as RFC 8259 has it, with locations.
//!
//! YAML readers differ from JSON in corners such as tabs and escaped surrogate pairs, and a general JSON reader keeps
//! no locations, so this reader is written out.

use std::collections::HashSet;

use super::super::error::PolicyError;
use super::super::location::Location;
use super::{Budget, Key, Kind, Node, decimal};

type Result<T> = std::result::Result<T, PolicyError>;

/// Reads a text that holds one JSON value.
pub(super) fn read(text: &str, budget: &mut Budget) -> Result<Node> {
    let mut reader = Reader { rest: text, at: Location { line: 1, column: 1 }, budget };
    reader.skip_space();
    let root = reader.value(1)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(root),
        Some(_) => Err(reader.unexpected("the end of the text")),
    }
}

struct Reader<'t, 'b> {
    rest: &'t str,
    at: Location,
    budget: &'b mut Budget,
}

impl<'t> Reader<'t, '_> {
    fn value(&mut self, depth: usize) -> Result<Node> {
        let at = self.at;
        self.budget.spend(at)?;
        let kind = match self.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Kind::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('a'..='z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { at, kind })
    }

    fn map(&mut self, depth: usize) -> Result<Kind> {
        self.nest(depth)?;
        let mut fields = Vec::new();
        let mut seen = HashSet::new();
        if self.take('}') {
            return Ok(Kind::Map(fields));
        }
        loop {
            let at = self.at;
            if self.peek() != Some('"') {
                return Err(self.unexpected("a field name in double quotes"));
            }
            let name = self.string()?;
            self.budget.key(&mut seen, at, &name);
            self.skip_space();
            if !self.take(':') {
                return Err(self.unexpected("`:`"));
            }
            self.skip_space();
            fields.push((Key { at, name }, self.value(depth + 1)?));
            self.skip_space();
            if self.take('}') {
                return Ok(Kind::Map(fields));
            }
            if !self.take(',') {
                return Err(self.unexpected("`,` or `}`"));
            }
            self.skip_space();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Kind> {
        self.nest(depth)?;
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(Kind::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(']') {
                return Ok(Kind::List(items));
            }
            if !self.take(',') {
                return Err(self.unexpected("`,` or `]`"));
            }
            self.skip_space();
        }
    }

    fn nest(&mut self, depth: usize) -> Result<()> {
        self.budget.enter(self.at, depth)?;
        self.next();
        self.skip_space();
        Ok(())
    }

    fn number(&mut self) -> Result<Kind> {
        let start = self.rest;
        self.take('-');
        if !self.take('0') && self.digits() == 0 {
            return Err(self.unexpected("a digit"));
        }
        let mut whole = true;
        if self.take('.') {
            whole = false;
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if self.take('e') || self.take('E') {
            whole = false;
            if !self.take('+') {
                self.take('-');
            }
            if self.digits() == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        let written = self.since(start);
        Ok(if whole { Kind::Int(decimal(written)) } else { Kind::Float(written.to_owned()) })
    }

    fn digits(&mut self) -> usize {
        let mut count = 0;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.next();
            count += 1;
        }
        count
    }

    fn word(&mut self) -> Result<Kind> {
        let (at, start) = (self.at, self.rest);
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric()) {
            self.next();
        }
        match self.since(start) {
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            "null" => Ok(Kind::Null),
            _ => {
                (self.at, self.rest) = (at, start);
                Err(self.unexpected("a value"))
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let opened = self.at;
        self.next();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.peek() {
                None | Some('\n' | '\r') => return Err(error(opened, "this text is not closed with `\"`")),
                Some('"') => {
                    self.next();
                    return Ok(text);
                }
                Some('\\') => {
                    self.next();
                    text.push(self.escape(at)?);
                }
                Some(c) if c < ' ' => return Err(self.unexpected("control characters to be escaped")),
                Some(c) => {
                    self.next();
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self, at: Location) -> Result<char> {
        let escaped = self.peek();
        self.next();
        Ok(match escaped {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => self.unicode(at)?,
            _ => {
                return Err(error(
                    at,
                    "unknown escape; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four digits",
                ));
            }
        })
    }

    fn unicode(&mut self, at: Location) -> Result<char> {
        let high = self.code_unit(at)?;
        // Characters beyond U+FFFF are written as two units (RFC 8259, section 7).
        let code = if (0xD800..0xDC00).contains(&high) && self.take('\\') {
            let low = if self.take('u') { self.code_unit(at)? } else { 0 };
            if !(0xDC00..0xE000).contains(&low) {
                return Err(error(at, "half of a surrogate pair"));
            }
            0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| error(at, "half of a surrogate pair"))
    }

    fn code_unit(&mut self, at: Location) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(error(at, "\\u must have four hexadecimal digits"));
            };
            self.next();
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) {
        let mut rest = self.rest.chars();
        let Some(c) = rest.next() else { return };
        self.rest = rest.as_str();
        // `\r\n` is one end of line, counted at its second half.
        if c == '\n' || (c == '\r' && !self.rest.starts_with('\n')) {
            self.at = Location { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn since(&self, start: &'t str) -> &'t str {
        start.get(..start.len() - self.rest.len()).unwrap_or_default()
    }

    fn unexpected(&self, wanted: &str) -> PolicyError {
        let found = match self.peek() {
            None => "the end of the text".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        let message = format!(
            "not valid JSON: expected {wanted}, found {found} (a text that begins with `{{` is JSON)"
        );
        error(self.at, message)
    }
}

fn error(at: Location, message: impl Into<String>) -> PolicyError {
    PolicyError::in_text(at, message)
}
