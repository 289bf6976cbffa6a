//! The published policies, as commented YAML that is also the best introduction to the language.

use super::document::PolicyDocument;
use super::error::PolicyErrors;

/// The published default: five tiers, eight roles.
const DEFAULT: &str = include_str!("presets/default.yaml");
/// The second published model: eight tiers by score, nine roles.
const T0_T7: &str = include_str!("presets/t0-t7.yaml");

impl PolicyDocument {
    /// The published default: tiers UNKNOWN to PRIVILEGED, eight roles, hourly ceilings.
    ///
    /// The text is part of the crate and its tests read it, so this does not fail; the result type is that of
    /// [`parse`](Self::parse), so `?` does the rest.
    ///
    /// ```
    /// let document = trust_engine::PolicyDocument::published_default()?;
    /// assert_eq!(document.tiers[2].name, "VERIFIED");
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn published_default() -> Result<Self, PolicyErrors> {
        Self::parse(DEFAULT)
    }

    /// The second published model: tiers T0 to T7 by trust score, roles R_L0 to R_L8, no ceilings.
    ///
    /// Like [`published_default`](Self::published_default) it does not fail.
    ///
    /// ```
    /// let document = trust_engine::PolicyDocument::t0_t7()?;
    /// assert_eq!(document.roles[8].minimum_tier, "T7");
    /// # Ok::<(), trust_engine::PolicyErrors>(())
    /// ```
    pub fn t0_t7() -> Result<Self, PolicyErrors> {
        Self::parse(T0_T7)
    }
}
