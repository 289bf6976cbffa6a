//! The index of rules, which finds the first matching rule without trying them all.
//!
//! Every value that a rule can name has the set of rules that it satisfies, as bits; a request looks up one set per
//! condition and the common bits, in order, are the candidates. Only the conditions that no set can answer (general
//! globs, attestations, time) are tested on the candidates themselves. So a thousand rules cost little more than ten,
//! and a trace has to remember only the sets that were looked up and those tests.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::daily_window::DailyWindow;
use super::document::{Conditions, Rule};
use super::glob::Glob;

/// The name of a set of rules in a [`RuleIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetId(u32);

/// The sets of rules that a request satisfies, one per indexed condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hits {
    pub(crate) role: SetId,
    pub(crate) tier: SetId,
    pub(crate) action: SetId,
    pub(crate) resource: SetId,
    pub(crate) environment: SetId,
    pub(crate) organization: SetId,
}

/// The conditions of a rule that are tested on a candidate itself.
#[derive(Debug, Default)]
pub(crate) struct Residual {
    pub(crate) globs: Vec<Glob>,
    pub(crate) attestations: Vec<String>,
    pub(crate) time: Option<DailyWindow>,
}

/// The request's side of the look-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'a> {
    pub(crate) role: usize,
    pub(crate) tier: usize,
    pub(crate) action: Option<&'a str>,
    pub(crate) resource: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) organization: &'a str,
}

#[derive(Debug)]
pub(crate) struct RuleIndex {
    /// The number of 64-bit words per set.
    words: usize,
    sets: Vec<u64>,
    /// The span of each set that holds all its words that are not zero; few sets of a large policy are wide.
    spans: Vec<Span>,
    roles: Vec<SetId>,
    tiers: Vec<SetId>,
    actions: ByName,
    environments: ByName,
    organizations: ByName,
    resources: ByResource,
    residuals: Vec<Option<Residual>>,
    /// The rules with general globs; they may match although no exact text or prefix did.
    general: SetId,
}

/// Sets by the exact value of a condition; an unknown or absent value satisfies the rules without that condition.
#[derive(Debug)]
struct ByName {
    known: HashMap<Box<str>, SetId, RandomState>,
    otherwise: SetId,
}

/// Sets by resource: exact texts in a map, prefixes sorted. The set of each includes the rules of all prefixes that it
/// begins with.
#[derive(Debug)]
struct ByResource {
    exact: HashMap<Box<str>, SetId, RandomState>,
    prefixes: Vec<Prefix>,
    otherwise: SetId,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    /// The next shorter prefix that this one begins with.
    parent: Option<usize>,
    set: SetId,
}

impl RuleIndex {
    /// Builds the sets. Names are indices into the policy's roles and tiers, resolved by `role` and `tier`.
    pub(crate) fn build(
        rules: &[Rule],
        roles: usize,
        tiers: usize,
        role: impl Fn(&str) -> Option<usize>,
        tier: impl Fn(&str) -> Option<usize>,
    ) -> Self {
        let mut builder = Builder::new(rules.len());
        let by_position =
            |builder: &mut Builder, count: usize, of: &dyn Fn(&Conditions) -> Option<Vec<usize>>| {
                let wanted: Vec<_> = rules.iter().map(|rule| of(&rule.when)).collect();
                (0..count)
                    .map(|position| {
                        builder.set(|rule| match wanted.get(rule) {
                            Some(Some(positions)) => positions.contains(&position),
                            _ => true,
                        })
                    })
                    .collect::<Vec<_>>()
            };
        let resolve = |names: &Option<Vec<String>>, find: &dyn Fn(&str) -> Option<usize>| {
            names.as_ref().map(|names| names.iter().filter_map(|name| find(name)).collect())
        };
        let roles = by_position(&mut builder, roles, &|when| resolve(&when.roles, &role));
        let tiers = by_position(&mut builder, tiers, &|when| resolve(&when.tiers, &tier));
        let actions = ByName::build(&mut builder, rules, |when| when.actions.as_ref());
        let environments = ByName::build(&mut builder, rules, |when| when.environments.as_ref());
        let organizations = ByName::build(&mut builder, rules, |when| when.organizations.as_ref());
        let globs: Vec<Option<Vec<Glob>>> = rules
            .iter()
            .map(|rule| {
                rule.when.resources.as_ref().map(|list| list.iter().map(|g| Glob::compile(g)).collect())
            })
            .collect();
        let resources = ByResource::build(&mut builder, &globs);
        let residuals: Vec<_> = rules
            .iter()
            .zip(globs)
            .map(|(rule, globs)| Residual::of(&rule.when, globs.unwrap_or_default()))
            .collect();
        let general = builder.set(|rule| {
            residuals.get(rule).and_then(Option::as_ref).is_some_and(|residual| !residual.globs.is_empty())
        });
        let Builder { words, sets, .. } = builder;
        Self {
            words,
            spans: sets.chunks(words.max(1)).map(Span::of).collect(),
            sets,
            roles,
            tiers,
            actions,
            environments,
            organizations,
            resources,
            residuals,
            general,
        }
    }

    /// Looks up the sets that a request satisfies; `None` for positions outside the policy.
    pub(crate) fn hits(&self, lookup: &Lookup<'_>) -> Option<Hits> {
        Some(Hits {
            role: *self.roles.get(lookup.role)?,
            tier: *self.tiers.get(lookup.tier)?,
            action: self.actions.find(lookup.action),
            resource: self.resources.find(lookup.resource),
            environment: self.environments.find(lookup.environment),
            organization: self.organizations.find(Some(lookup.organization)),
        })
    }

    /// Offers the candidates to `accept` in order, and gives the first that it takes.
    pub(crate) fn first(
        &self,
        hits: &Hits,
        mut accept: impl FnMut(usize, Option<&Residual>) -> bool,
    ) -> Option<usize> {
        let every = [hits.role, hits.tier, hits.action, hits.environment, hits.organization];
        let either = self.span(hits.resource).union(self.span(self.general));
        let span = every.into_iter().fold(either, |span, set| span.intersection(self.span(set)));
        let words_of = |set| self.words_of(set).get(span.start..span.end).unwrap_or_default();
        let role = words_of(hits.role);
        let tier = words_of(hits.tier);
        let action = words_of(hits.action);
        let resource = words_of(hits.resource);
        let general = words_of(self.general);
        let environment = words_of(hits.environment);
        let organization = words_of(hits.organization);
        let words =
            role.iter().zip(tier).zip(action).zip(resource).zip(general).zip(environment).zip(organization);
        for (at, ((((((role, tier), action), resource), general), environment), organization)) in
            (span.start..).zip(words)
        {
            let mut candidates = role & tier & action & (resource | general) & environment & organization;
            while candidates != 0 {
                let rule = at * 64 + candidates.trailing_zeros() as usize;
                if accept(rule, self.residual(rule)) {
                    return Some(rule);
                }
                candidates &= candidates - 1;
            }
        }
        None
    }

    /// Says whether `rule` is in `set`.
    pub(crate) fn contains(&self, set: SetId, rule: usize) -> bool {
        self.words_of(set).get(rule / 64).is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    pub(crate) fn residual(&self, rule: usize) -> Option<&Residual> {
        self.residuals.get(rule).and_then(Option::as_ref)
    }

    fn span(&self, set: SetId) -> Span {
        self.spans.get(set.0 as usize).copied().unwrap_or_default()
    }

    fn words_of(&self, set: SetId) -> &[u64] {
        let start = set.0 as usize * self.words;
        self.sets.get(start..start + self.words).unwrap_or_default()
    }
}

/// A range of words; empty where `start` is not below `end`.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The span from the first to the last word with a member.
    fn of(words: &[u64]) -> Self {
        let member = |word: &u64| *word != 0;
        let start = words.iter().position(member).unwrap_or(0);
        Self { start, end: words.iter().rposition(member).map_or(0, |last| last + 1) }
    }

    fn union(self, other: Self) -> Self {
        match (self.end, other.end) {
            (0, _) => other,
            (_, 0) => self,
            _ => Self { start: self.start.min(other.start), end: self.end.max(other.end) },
        }
    }

    fn intersection(self, other: Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}

impl Residual {
    fn of(when: &Conditions, globs: Vec<Glob>) -> Option<Self> {
        let globs: Vec<_> = globs.into_iter().filter(|glob| matches!(glob, Glob::General(_))).collect();
        let attestations = when.attestations.clone().unwrap_or_default();
        let time = when.time.as_ref().and_then(DailyWindow::compile);
        (!globs.is_empty() || !attestations.is_empty() || time.is_some()).then_some(Self {
            globs,
            attestations,
            time,
        })
    }
}

impl ByName {
    fn build<'a>(
        builder: &mut Builder,
        rules: &'a [Rule],
        of: impl Fn(&'a Conditions) -> Option<&'a Vec<String>>,
    ) -> Self {
        let otherwise = builder.set(|rule| rules.get(rule).is_some_and(|rule| of(&rule.when).is_none()));
        let mut named: HashMap<Box<str>, Vec<usize>, RandomState> = HashMap::default();
        for (position, rule) in rules.iter().enumerate() {
            for name in of(&rule.when).into_iter().flatten() {
                named.entry(name.as_str().into()).or_default().push(position);
            }
        }
        let known =
            named.into_iter().map(|(name, rules)| (name, builder.set_with(otherwise, &rules))).collect();
        Self { known, otherwise }
    }

    fn find(&self, name: Option<&str>) -> SetId {
        match name {
            Some(name) if !self.known.is_empty() => self.known.get(name).copied().unwrap_or(self.otherwise),
            _ => self.otherwise,
        }
    }
}

impl ByResource {
    fn build(builder: &mut Builder, globs: &[Option<Vec<Glob>>]) -> Self {
        let otherwise = builder.set(|rule| matches!(globs.get(rule), Some(None)));
        let mut exact: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut prefixed: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (position, list) in globs.iter().enumerate() {
            for glob in list.iter().flatten() {
                match glob {
                    Glob::Exact(text) => exact.entry(text).or_default().push(position),
                    Glob::Prefix(text) => prefixed.entry(text).or_default().push(position),
                    Glob::General(_) => {}
                }
            }
        }
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(prefixed.len());
        for (text, rules) in prefixed {
            let parent = nearest_prefix(&prefixes, text, prefixes.len().checked_sub(1));
            let below = parent.and_then(|at| prefixes.get(at)).map_or(otherwise, |prefix| prefix.set);
            prefixes.push(Prefix { text: text.into(), parent, set: builder.set_with(below, &rules) });
        }
        let mut resources = Self { exact: HashMap::default(), prefixes, otherwise };
        for (text, rules) in exact {
            let below = resources.find_prefix(text);
            resources.exact.insert(text.into(), builder.set_with(below, &rules));
        }
        resources
    }

    fn find(&self, resource: Option<&str>) -> SetId {
        let Some(resource) = resource else { return self.otherwise };
        match self.exact.get(resource) {
            Some(set) => *set,
            None => self.find_prefix(resource),
        }
    }

    fn find_prefix(&self, resource: &str) -> SetId {
        let last = self.prefixes.partition_point(|prefix| *prefix.text <= *resource).checked_sub(1);
        nearest_prefix(&self.prefixes, resource, last)
            .and_then(|at| self.prefixes.get(at))
            .map_or(self.otherwise, |prefix| prefix.set)
    }
}

/// Finds the longest prefix of `text`. In sorted order every prefix between it and `text` begins with it, so it is
/// `last`, the last prefix that is not after `text`, or one of the parents of `last`.
fn nearest_prefix(prefixes: &[Prefix], text: &str, last: Option<usize>) -> Option<usize> {
    let mut at = last;
    while let Some(prefix) = at.and_then(|at| prefixes.get(at)) {
        if text.starts_with(&*prefix.text) {
            return at;
        }
        at = prefix.parent;
    }
    None
}

struct Builder {
    rules: usize,
    words: usize,
    sets: Vec<u64>,
}

impl Builder {
    fn new(rules: usize) -> Self {
        Self { rules, words: rules.div_ceil(64), sets: Vec::new() }
    }

    fn set(&mut self, member: impl Fn(usize) -> bool) -> SetId {
        let members: Vec<usize> = (0..self.rules).filter(|rule| member(*rule)).collect();
        let id = self.next_id();
        self.sets.resize(self.sets.len() + self.words, 0);
        self.insert(id, &members);
        id
    }

    fn set_with(&mut self, base: SetId, members: &[usize]) -> SetId {
        let id = self.next_id();
        let start = base.0 as usize * self.words;
        self.sets.extend_from_within(start..start + self.words);
        self.insert(id, members);
        id
    }

    fn next_id(&self) -> SetId {
        // With no rules every set is empty, and all sets are the same one.
        SetId(u32::try_from(self.sets.len().checked_div(self.words).unwrap_or(0)).unwrap_or(u32::MAX))
    }

    fn insert(&mut self, set: SetId, members: &[usize]) {
        for member in members {
            if let Some(word) = self.sets.get_mut(set.0 as usize * self.words + member / 64) {
                *word |= 1 << (member % 64);
            }
        }
    }
}
