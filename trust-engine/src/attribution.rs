//! The attribution of a request: who asked, for whom the agent acts, and the trace that the request belongs to.

use crate::bounds::check_optional_id;
use crate::error::{Error, Result};

/// The longest traceparent, in bytes: versions after 00 may add fields.
const MAX_TRACEPARENT_BYTES: usize = 128;

/// The attribution as a request holds it.
pub(crate) struct Attribution<'a> {
    pub(crate) caller: Option<&'a str>,
    pub(crate) on_behalf_of: Option<&'a str>,
    pub(crate) traceparent: Option<&'a str>,
}

impl Attribution<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        check_optional_id("caller", self.caller)?;
        check_optional_id("onBehalfOf", self.on_behalf_of)?;
        match self.traceparent {
            Some(text) if !is_traceparent(text) => {
                let issue = "is no traceparent of W3C Trace Context, as 00-<32 hex>-<16 hex>-<2 hex>";
                Err(Error::invalid("traceparent", issue))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a text is a `traceparent` as section 3.2 of W3C Trace Context defines it: version, trace, parent and flags in
/// lower-case hexadecimal. Versions after 00 may add fields.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let mut fields = text.split('-');
    let mut next = |digits: usize| {
        let field = fields.next().unwrap_or_default();
        let hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(field).filter(|_| hex && field.len() == digits)
    };
    let (Some(version), Some(trace), Some(parent), Some(_)) = (next(2), next(32), next(16), next(2)) else {
        return false;
    };
    let not_zero = |id: &str| id.bytes().any(|byte| byte != b'0');
    let plain = text.len() <= MAX_TRACEPARENT_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain
        && version != "ff"
        && not_zero(trace)
        && not_zero(parent)
        && (version != "00" || fields.next().is_none())
}

/// Gives a request with the fields `caller`, `on_behalf_of` and `traceparent` the methods that set and check them.
macro_rules! attributed {
    ($request:ident) => {
        impl $request {
            /// The caller that makes the request: a service or the name of a key. The host vouches for the name, which
            /// is recorded.
            #[must_use]
            pub fn caller(mut self, caller: impl Into<String>) -> Self {
                self.caller = Some(caller.into());
                self
            }

            /// The person or service on whose behalf the agent acts, which is recorded; 1 to 256 bytes.
            #[must_use]
            pub fn on_behalf_of(mut self, principal: impl Into<String>) -> Self {
                self.on_behalf_of = Some(principal.into());
                self
            }

            /// The `traceparent` of the request (W3C Trace Context), which is recorded.
            #[must_use]
            pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
                self.traceparent = Some(traceparent.into());
                self
            }

            pub(crate) fn attribution(&self) -> $crate::attribution::Attribution<'_> {
                $crate::attribution::Attribution {
                    caller: self.caller.as_deref(),
                    on_behalf_of: self.on_behalf_of.as_deref(),
                    traceparent: self.traceparent.as_deref(),
                }
            }
        }
    };
}

pub(crate) use attributed;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_what_the_recommendation_says() {
        for text in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("cc-{TRACE}-{SPAN}-00"),
            format!("01-{TRACE}-{SPAN}-00-of-the-future"),
        ] {
            assert!(is_traceparent(&text), "{text}");
        }
        let zero = |digits: usize| "0".repeat(digits);
        for text in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zero(32)),
            format!("00-{TRACE}-{}-01", zero(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-00-{}", "x".repeat(80)),
            format!("01-{TRACE}-{SPAN}-00-a b"),
        ] {
            assert!(!is_traceparent(&text), "{text}");
        }
    }

    #[test]
    fn each_part_is_refused_in_its_own_name() {
        let none = Attribution { caller: None, on_behalf_of: None, traceparent: None };
        none.check().unwrap();
        for (wrong, field) in [
            (Attribution { caller: Some(""), ..none }, "caller"),
            (Attribution { on_behalf_of: Some(" x"), ..none }, "onBehalfOf"),
            (Attribution { traceparent: Some("00"), ..none }, "traceparent"),
        ] {
            assert_eq!(wrong.check().unwrap_err().field(), Some(field));
        }
    }
}
