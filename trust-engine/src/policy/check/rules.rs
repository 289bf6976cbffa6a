//! Rules and their conditions.

use std::collections::HashSet;

use jiff::tz::TimeZone;

use super::super::bounds;
use super::super::daily_window::minute_of_day;
use super::super::document::{Conditions, Day, Decision, Rule, TimeWindow};
use super::super::mistakes::Mistakes;
use super::super::path::Path;
use super::super::wording::quoted;
use super::{Names, count, description, text};

const MINUTES_PER_DAY: u16 = 24 * 60;

pub(super) fn check(
    rules: &[Rule],
    roles: &Names<'_>,
    tiers: &Names<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
) {
    count(rules.len(), bounds::RULES, path, mistakes);
    let ids = rules.iter().map(|rule| rule.id.as_str());
    Names::collect("rule", ids, path, Some("id"), mistakes);
    for (position, rule) in rules.iter().enumerate() {
        let path = path.item(position);
        description(rule.description.as_ref(), &path, mistakes);
        if let Some(reason) = &rule.reason {
            text(reason, bounds::REASON, &path.field("reason"), mistakes);
        }
        if let Some(escalation_path) = &rule.escalation_path {
            let place = path.field("escalationPath");
            text(escalation_path, bounds::ESCALATION_PATH, &place, mistakes);
            if rule.effect != Decision::Escalate && !mistakes.distrusts(&path.field("effect")) {
                mistakes.report(&place, "only a rule with effect ESCALATE has one");
            }
        }
        conditions(&rule.when, roles, tiers, &path.field("when"), mistakes);
    }
}

fn conditions(
    when: &Conditions,
    roles: &Names<'_>,
    tiers: &Names<'_>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
) {
    let role = |name: &str, path: &Path<'_>, mistakes: &mut Mistakes| roles.resolve(name, path, mistakes);
    let tier = |name: &str, path: &Path<'_>, mistakes: &mut Mistakes| tiers.resolve(name, path, mistakes);
    values(when.roles.as_deref(), &path.field("roles"), mistakes, role);
    values(when.tiers.as_deref(), &path.field("tiers"), mistakes, tier);
    values(when.actions.as_deref(), &path.field("actions"), mistakes, value);
    values(when.resources.as_deref(), &path.field("resources"), mistakes, glob);
    values(when.environments.as_deref(), &path.field("environments"), mistakes, value);
    values(when.attestations.as_deref(), &path.field("attestations"), mistakes, value);
    values(when.organizations.as_deref(), &path.field("organizations"), mistakes, value);
    if let Some(window) = &when.time {
        time(window, &path.field("time"), mistakes);
    }
}

/// Checks a condition list; `each` checks one value.
fn values(
    list: Option<&[String]>,
    path: &Path<'_>,
    mistakes: &mut Mistakes,
    each: impl Fn(&str, &Path<'_>, &mut Mistakes),
) {
    let Some(list) = list else { return };
    count(list.len(), bounds::CONDITION_VALUES, path, mistakes);
    let mut seen = HashSet::new();
    for (position, found) in list.iter().enumerate() {
        let place = path.item(position);
        if mistakes.distrusts(&place) {
            continue;
        }
        each(found, &place, mistakes);
        if !seen.insert(found) {
            mistakes.report(&place, format!("{} is in the list already", quoted(found)));
        }
    }
}

fn value(found: &str, path: &Path<'_>, mistakes: &mut Mistakes) {
    trimmed(found, bounds::VALUE, path, mistakes);
}

/// Checks a text of a condition. A rule that can never match is a denial that is not there, so a text that no request
/// can hold is a mistake.
fn trimmed(found: &str, bounds: bounds::Text, path: &Path<'_>, mistakes: &mut Mistakes) {
    if let Some(fault) = bounds.fault(found) {
        mistakes.report(path, fault);
    } else if found.trim() != found {
        mistakes.report(path, "must not begin or end with white space, as no request does");
    }
}

fn glob(pattern: &str, path: &Path<'_>, mistakes: &mut Mistakes) {
    trimmed(pattern, bounds::GLOB, path, mistakes);
    let trailing = pattern.len() - pattern.trim_end_matches('\\').len();
    if trailing % 2 == 1 {
        mistakes.report(
            path,
            r"must not end with a lone `\`, which takes the next character literally; write `\\`",
        );
    }
}

fn time(window: &TimeWindow, path: &Path<'_>, mistakes: &mut Mistakes) {
    zone(&window.zone, &path.field("zone"), mistakes);
    if let Some(found) = &window.days {
        days(found, &path.field("days"), mistakes);
    }
    let (from_place, to_place) = (path.field("from"), path.field("to"));
    let from = minute_of_day(&window.from).filter(|minute| *minute < MINUTES_PER_DAY);
    if from.is_none() {
        mistakes.report(
            &from_place,
            format!("must be a time from 00:00 to 23:59, found {}", quoted(&window.from)),
        );
    }
    let to = minute_of_day(&window.to);
    if to.is_none() {
        mistakes
            .report(&to_place, format!("must be a time from 00:00 to 24:00, found {}", quoted(&window.to)));
    }
    if from.is_some() && from == to {
        let message = "the same as `from`: an empty or a whole day? Leave `time` out or say 00:00 to 24:00";
        mistakes.report(&to_place, message);
    }
}

fn zone(name: &str, path: &Path<'_>, mistakes: &mut Mistakes) {
    // The database ignores the case of letters, but then one zone would have many hashes and other readers would refuse
    // it.
    let known = TimeZone::get(name).is_ok_and(|zone| !zone.is_unknown() && zone.iana_name() == Some(name));
    if known || mistakes.distrusts(path) {
        return;
    }
    let names = jiff::tz::db().available().map(|zone| zone.as_str().to_owned());
    let message = match mistakes.suggestion(name, names) {
        Some(meant) => format!("unknown time zone {}; did you mean {meant:?}?", quoted(name)),
        None => format!(
            "unknown time zone {}; expected an IANA name such as \"Europe/Berlin\" or \"UTC\"",
            quoted(name)
        ),
    };
    mistakes.report(path, message);
}

fn days(found: &[Day], path: &Path<'_>, mistakes: &mut Mistakes) {
    if found.is_empty() {
        mistakes.report(path, "must name at least one day; leave `days` out for every day");
    }
    for (position, day) in found.iter().enumerate() {
        let place = path.item(position);
        let earlier = found.iter().take(position).any(|other| other == day);
        if earlier && !mistakes.distrusts(path) {
            mistakes.report(&place, "this day is in the list already");
        }
    }
}
