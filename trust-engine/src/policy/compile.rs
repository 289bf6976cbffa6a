//! A checked document made ready to decide: names interned, minimum tiers as a matrix, rules indexed, hash taken.
//!
//! A [`Policy`] never changes. Another policy is compiled from another document, and engines swap the whole.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;
use sha2::{Digest as _, Sha256};

use super::ceiling_index::CeilingIndex;
use super::document::PolicyDocument;
use super::error::PolicyErrors;
use super::index::RuleIndex;
use crate::error::{Error, Result};

/// SHA-256 of a policy's canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyHash([u8; 32]);

impl PolicyHash {
    /// Makes a hash from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash of a document's canonical JSON.
    pub(crate) fn of_canonical(json: &str) -> Self {
        Self(Sha256::digest(json.as_bytes()).into())
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyHash {
    /// Writes 64 lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compiled, immutable policy.
#[derive(Debug)]
pub struct Policy {
    document: PolicyDocument,
    hash: PolicyHash,
    tiers: HashMap<Box<str>, usize, RandomState>,
    roles: HashMap<Box<str>, usize, RandomState>,
    gates: Vec<RoleGate>,
    rules: RuleIndex,
    pub(super) ceilings: CeilingIndex,
}

/// The kernel's row for one role.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoleGate {
    pub(crate) enabled: bool,
    /// Bit t is set if tier t may take the role.
    pub(crate) permitted: u64,
}

impl Policy {
    /// Reads, checks and compiles a YAML or JSON document.
    ///
    /// ```
    /// let policy = trust_engine::Policy::parse(
    ///     "policyFormat: 1
    /// name: tiny
    /// tiers: [{name: LOW}, {name: HIGH}]
    /// roles: [{name: READER, minimumTier: HIGH}]
    /// defaultEffect: ALLOW",
    /// )?;
    /// assert_eq!(policy.name(), "tiny");
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, PolicyErrors> {
        Ok(Self::compile_checked(PolicyDocument::parse(text)?))
    }

    /// Checks and compiles a document.
    pub fn compile(document: PolicyDocument) -> Result<Self, PolicyErrors> {
        document.check()?;
        Ok(Self::compile_checked(document))
    }

    fn compile_checked(document: PolicyDocument) -> Self {
        let tiers: HashMap<Box<str>, usize, RandomState> =
            document.tiers.iter().enumerate().map(|(rank, tier)| (tier.name.as_str().into(), rank)).collect();
        let roles: HashMap<Box<str>, usize, RandomState> =
            document.roles.iter().enumerate().map(|(at, role)| (role.name.as_str().into(), at)).collect();
        let gates = document
            .roles
            .iter()
            .map(|role| {
                // An unknown minimum cannot pass the check; here it would shut the role for everyone.
                let minimum = tiers.get(role.minimum_tier.as_str()).copied().unwrap_or(usize::MAX);
                let permitted =
                    if role.enabled { u64::MAX.checked_shl(minimum.min(64) as u32).unwrap_or(0) } else { 0 };
                RoleGate { enabled: role.enabled, permitted }
            })
            .collect();
        let rules = RuleIndex::build(
            &document.rules,
            document.roles.len(),
            document.tiers.len(),
            |name| roles.get(name).copied(),
            |name| tiers.get(name).copied(),
        );
        let ceilings = CeilingIndex::build(&document, |name| tiers.get(name).copied());
        let hash = PolicyHash(document.hash());
        Self { document, hash, tiers, roles, gates, rules, ceilings }
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// The document that the policy was compiled from.
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// The hash that records name this policy by.
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    pub(crate) fn tier_rank(&self, name: &str) -> Option<usize> {
        self.tiers.get(name).copied()
    }

    pub(crate) fn tier_name(&self, rank: usize) -> &str {
        self.document.tiers.get(rank).map_or("", |tier| &tier.name)
    }

    pub(crate) fn lowest_tier(&self) -> &str {
        self.tier_name(0)
    }

    /// Gives the name back, if it is a tier of this policy.
    pub(crate) fn known_tier<'a>(&self, name: &'a str) -> Result<&'a str> {
        match self.tier_rank(name) {
            Some(_) => Ok(name),
            None => {
                let known: Vec<_> = self.document.tiers.iter().map(|tier| tier.name.as_str()).collect();
                Err(Error::invalid(
                    "tier",
                    format!("{name:?} is unknown; the policy has {}", known.join(", ")),
                ))
            }
        }
    }

    pub(crate) fn tier_of_score(&self, score: u32) -> Option<&str> {
        let holds = |band: &super::document::ScoreBand| (band.min..=band.max).contains(&score);
        let tier = self.document.tiers.iter().find(|tier| tier.scores.as_ref().is_some_and(holds))?;
        Some(&tier.name)
    }

    pub(crate) fn role(&self, name: &str) -> Option<(usize, RoleGate)> {
        let at = *self.roles.get(name)?;
        Some((at, *self.gates.get(at)?))
    }

    pub(crate) fn rules(&self) -> &RuleIndex {
        &self.rules
    }
}
