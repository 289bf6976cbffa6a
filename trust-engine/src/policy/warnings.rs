//! Warnings about parts of a policy that may mean something else than their author thinks. A policy with warnings is valid, and
//! decides as it says.

use std::fmt;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::daily_window::minute_of_day;
use super::document::{Decision, PolicyDocument, Rule, TimeWindow};
use crate::clock::Timestamp;

/// A part of a policy that may mean something else than it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWarning {
    /// The part, as in `rules[3].when.time`.
    pub path: String,
    /// The meaning that it has.
    pub issue: String,
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.issue)
    }
}

/// Changes of a zone's offset that are looked at: those of some two years.
const TRANSITIONS: usize = 4;

impl PolicyDocument {
    /// Parts of a valid policy that may mean something else than they seem to: characters that other globs give a meaning
    /// to, denials that do not see requests without a resource, windows that daylight saving skips or repeats after `now`.
    pub fn warnings(&self, now: Timestamp) -> Vec<PolicyWarning> {
        let of_rule = |(place, rule): (usize, &Rule)| {
            let path = format!("rules[{place}].when");
            let resources = rule.when.resources.iter().flatten().enumerate().filter_map({
                let path = path.clone();
                move |(place, glob)| Some(warning(format!("{path}.resources[{place}]"), literal(glob)?))
            });
            let unseen = (rule.effect == Decision::Deny && rule.when.resources.is_some()).then(|| {
                let issue = "a request that names no resource is not denied by this rule".to_owned();
                warning(format!("{path}.resources"), issue)
            });
            let time = rule.when.time.iter().flat_map(|window| daylight_saving(window, now));
            let time = time.map(move |issue| warning(format!("{path}.time"), issue));
            resources.chain(unseen).chain(time).collect::<Vec<_>>()
        };
        self.rules.iter().enumerate().flat_map(of_rule).collect()
    }
}

fn warning(path: String, issue: String) -> PolicyWarning {
    PolicyWarning { path, issue }
}

/// The warning about characters of a glob that stand for themselves here and not elsewhere.
fn literal(glob: &str) -> Option<String> {
    let mut plain = String::with_capacity(glob.len());
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
            plain.push('\\');
        } else {
            plain.push(c);
        }
    }
    let pair = |open: char, close: char| {
        plain.find(open).is_some_and(|at| plain.get(at..).is_some_and(|rest| rest.contains(close)))
    };
    let (what, instead) = if pair('{', '}') {
        ("{ and }", "write one glob for each alternative")
    } else if pair('[', ']') {
        ("[ and ]", "write one glob for each character, or ?")
    } else if plain.starts_with('!') {
        ("!", "negate by a rule before this one")
    } else {
        return None;
    };
    Some(format!(
        "{what} stand for themselves in a glob: {instead} (or put \\ before it, if that is what is meant)"
    ))
}

/// The warnings about days on which a window does not open, or opens twice, because clocks are changed.
fn daylight_saving(window: &TimeWindow, now: Timestamp) -> Vec<String> {
    let times = (minute_of_day(&window.from), minute_of_day(&window.to), TimeZone::get(&window.zone));
    let (Some(from), Some(to), Ok(zone)) = times else { return Vec::new() };
    let mut issues = Vec::new();
    for change in zone.following(now.to_jiff()).take(TRANSITIONS) {
        let at = change.timestamp();
        let Ok(before) = at.checked_sub(SignedDuration::from_secs(1)) else { break };
        let (old, new) = (zone.to_offset(before).to_datetime(at), change.offset().to_datetime(at));
        let (first, last) = (old.min(new), old.max(new));
        let minute = |time: jiff::civil::DateTime| {
            u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
        };
        let named = |days: &Vec<super::Day>| {
            days.iter().any(|day| *day as i8 == first.weekday().to_monday_zero_offset())
        };
        let on_this_day = window.days.as_ref().is_none_or(named);
        let within = from < to && minute(first) <= from && to <= minute(last);
        if first.date() != last.date() || !on_this_day || !within {
            continue;
        }
        let what = if old < new { "does not open at all" } else { "opens twice" };
        issues.push(format!(
            "the window {what} on {}: clocks go from {} to {} in {}",
            first.date(),
            old.strftime("%H:%M"),
            new.strftime("%H:%M"),
            window.zone
        ));
    }
    issues
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn warnings(rule: &str) -> Vec<String> {
        let mut document = PolicyDocument::published_default().unwrap();
        document.rules = vec![serde_json::from_str(rule).unwrap()];
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        document.warnings(now).iter().map(ToString::to_string).collect()
    }

    fn of_glob(glob: &str) -> Vec<String> {
        warnings(&format!(
            r#"{{"id":"r","effect":"ALLOW","when":{{"resources":[{}]}}}}"#,
            serde_json::json!(glob)
        ))
    }

    #[test]
    fn characters_that_mean_nothing_in_a_glob_are_named() {
        for (glob, part) in [("pay/{a,b}", "{ and }"), ("x[ab]", "[ and ]"), ("!secret/*", "! stand")] {
            let found = of_glob(glob);
            assert!(found.len() == 1 && found[0].starts_with("rules[0].when.resources[0]: "), "{found:?}");
            assert!(found[0].contains(part), "{found:?}");
        }
        for glob in ["pay/*", r"pay/\{a,b}", "a}b{c", "a]b[", "wow!", r"\!x"] {
            assert_eq!(of_glob(glob), Vec::<String>::new(), "{glob}");
        }
    }

    #[test]
    fn a_denial_that_does_not_see_requests_without_a_resource_is_named() {
        let found = warnings(r#"{"id":"r","effect":"DENY","when":{"resources":["payroll/*"]}}"#);
        assert_eq!(
            found,
            ["rules[0].when.resources: a request that names no resource is not denied by this rule"]
        );
        assert!(warnings(r#"{"id":"r","effect":"DENY","when":{"roles":["READER"]}}"#).is_empty());
    }

    #[test]
    fn windows_that_daylight_saving_skips_or_repeats_are_named_with_the_day() {
        let window = |zone: &str, from: &str, to: &str, more: &str| {
            warnings(&format!(
                r#"{{"id":"r","effect":"ALLOW","when":{{"time":{{"zone":"{zone}","from":"{from}","to":"{to}"{more}}}}}}}"#
            ))
        };
        let berlin = |from: &str, to: &str, more: &str| window("Europe/Berlin", from, to, more);
        let found = berlin("02:15", "02:45", "");
        assert!(
            found[0].contains("does not open at all on 2027-03-28: clocks go from 02:00 to 03:00"),
            "{found:?}"
        );
        assert!(found[1].contains("opens twice on 2027-10-31: clocks go from 03:00 to 02:00"), "{found:?}");
        assert_eq!(berlin("02:15", "02:45", r#","days":["SUN"]"#).len(), 4);
        assert!(berlin("02:15", "02:45", r#","days":["MON"]"#).is_empty());
        assert!(berlin("01:00", "04:00", "").is_empty());
        assert!(berlin("22:00", "06:00", "").is_empty());
        assert!(window("Asia/Kolkata", "02:15", "02:45", "").is_empty());
    }
}
