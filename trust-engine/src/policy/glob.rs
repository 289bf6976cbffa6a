//! Resource globs: `*` is any run of characters (also `/`), `?` exactly one, `\` takes the next one literally.
//!
//! A pattern is classified when the policy is compiled, because exact texts and prefixes, nearly all that people
//! write, can be looked up instead of tried one after the other. A match of any other pattern remembers only the last
//! `*`, so it costs at most pattern × text steps and cannot blow up.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Glob {
    /// A pattern for exactly this text.
    Exact(String),
    /// A pattern for any text that begins so.
    Prefix(String),
    /// Any other pattern.
    General(Vec<Token>),
}

/// One step of a general pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(char),
    One,
    Any,
}

impl Glob {
    /// Compiles a pattern; a lone `\` at the end stands for itself (documents with one are refused earlier).
    pub(crate) fn compile(pattern: &str) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' if tokens.last() == Some(&Token::Any) => {}
                '*' => tokens.push(Token::Any),
                '?' => tokens.push(Token::One),
                '\\' => tokens.push(Token::Literal(chars.next().unwrap_or('\\'))),
                c => tokens.push(Token::Literal(c)),
            }
        }
        let literals: String = tokens
            .iter()
            .map_while(|token| if let Token::Literal(c) = token { Some(*c) } else { None })
            .collect();
        match tokens.get(literals.chars().count()..) {
            Some([]) => Self::Exact(literals),
            Some([Token::Any]) => Self::Prefix(literals),
            _ => Self::General(tokens),
        }
    }

    /// Says whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::General(tokens) => matches_tokens(tokens, text),
        }
    }
}

fn matches_tokens(mut tokens: &[Token], text: &str) -> bool {
    let mut rest = text.chars();
    let mut retry: Option<(&[Token], std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest.clone();
        match (tokens.split_first(), ahead.next()) {
            (Some((Token::Any, after)), _) => {
                retry = Some((after, rest.clone()));
                tokens = after;
                continue;
            }
            (Some((Token::One, after)), Some(_)) => {
                (tokens, rest) = (after, ahead);
                continue;
            }
            (Some((Token::Literal(wanted), after)), Some(found)) if *wanted == found => {
                (tokens, rest) = (after, ahead);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // After a mismatch the last `*` takes one character more.
        let Some((after, mut from)) = retry.take() else { return false };
        if from.next().is_none() {
            return false;
        }
        tokens = after;
        rest = from.clone();
        retry = Some((after, from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of a match, by recursion: slow and obviously right.
    fn reference(tokens: &[Token], text: &[char]) -> bool {
        match (tokens.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Token::Any, after)), None) => reference(after, text),
            (Some((Token::Any, after)), Some((_, rest))) => reference(after, text) || reference(tokens, rest),
            (Some((Token::One, after)), Some((_, rest))) => reference(after, rest),
            (Some((Token::Literal(c), after)), Some((d, rest))) => c == d && reference(after, rest),
            _ => false,
        }
    }

    #[test]
    fn patterns_are_classified() {
        assert_eq!(Glob::compile("a/b"), Glob::Exact("a/b".into()));
        assert_eq!(Glob::compile("a/**"), Glob::Prefix("a/".into()));
        assert_eq!(Glob::compile(r"a\*"), Glob::Exact("a*".into()));
        assert!(matches!(Glob::compile("a*b"), Glob::General(_)));
        assert_eq!(Glob::compile("*"), Glob::Prefix(String::new()));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let glob = Glob::compile(&"*a".repeat(200));
        assert!(!glob.matches(&("a".repeat(199) + &"b".repeat(1000))));
        assert!(glob.matches(&"a".repeat(1000)));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in r"[ab*?é\\]{0,8}", text in "[abé*?]{0,10}") {
            let glob = Glob::compile(&pattern);
            let mut tokens = Vec::new();
            let mut chars = pattern.chars();
            while let Some(c) = chars.next() {
                tokens.push(match c {
                    '*' => Token::Any,
                    '?' => Token::One,
                    '\\' => Token::Literal(chars.next().unwrap_or('\\')),
                    c => Token::Literal(c),
                });
            }
            let text_chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob.matches(&text), reference(&tokens, &text_chars));
        }
    }
}
