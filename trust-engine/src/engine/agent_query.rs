//! Lists of agents: the query, the page, and the cursor between two pages.

use crate::agent::{Agent, AgentStatus};
use crate::bounds::{MAX_NAME_BYTES, check_optional_line};
use crate::error::{Error, Result};
use crate::ids::{AgentId, OrganizationId};
use crate::log::cursor;
use crate::log::recorded::{FAMILY, STATUS, TIER};
use crate::storage::{DocumentFilter, DocumentKind, DocumentPlace, Tag};

/// Most agents per page.
const MAX_PAGE: usize = 1000;

/// A query for agents. A condition that is not set does not restrict it.
///
/// ```
/// use trust_engine::{AgentQuery, AgentStatus};
///
/// let query = AgentQuery::new().tier("VERIFIED").status(AgentStatus::Suspended).limit(100);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentQuery {
    tier: Option<String>,
    status: Option<AgentStatus>,
    family: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A page of agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPage {
    /// The agents, in the order of their registration; there may be fewer than asked for, or none, although there are
    /// more to come.
    pub agents: Vec<Agent>,
    /// The cursor to go on with; `None` after the last page. Agents that are registered or changed meanwhile
    /// neither shift nor repeat any.
    pub next: Option<String>,
}

impl AgentQuery {
    /// A query for all agents.
    pub fn new() -> Self {
        Self::default()
    }
    /// Agents that hold a tier.
    #[must_use]
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.tier = Some(tier.into());
        self
    }
    /// Agents with a status.
    #[must_use]
    pub fn status(mut self, status: AgentStatus) -> Self {
        self.status = Some(status);
        self
    }
    /// Agents of a family: the agent at its root, and all that descend from it.
    #[must_use]
    pub fn family(mut self, root: impl Into<String>) -> Self {
        self.family = Some(root.into());
        self
    }
    /// Agents per page, 1 to 1,000; 20 by default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
    /// Goes on where a page ended. The rest of the query must be the same.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    pub(super) fn page_size(&self) -> usize {
        self.limit.unwrap_or(20)
    }

    /// Checks the values, and that the cursor is one of this query.
    pub(super) fn check(
        &self,
        organization: &OrganizationId,
    ) -> Result<(DocumentFilter, Option<DocumentPlace>)> {
        let limit = self.page_size();
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; it must be 1 to {MAX_PAGE}")));
        }
        check_optional_line("tier", self.tier.as_deref(), MAX_NAME_BYTES)?;
        let family =
            self.family.as_deref().map(|family| AgentId::parse_field("family", family)).transpose()?;
        let tags = [
            family.map(|family| Tag::new(FAMILY, family.as_str())),
            self.status.map(|status| Tag::new(STATUS, status.as_str())),
            self.tier.as_deref().map(|tier| Tag::new(TIER, tier)),
        ];
        let filter = DocumentFilter {
            kind: DocumentKind::Agent,
            organization: organization.clone(),
            tags: tags.into_iter().flatten().collect(),
        };
        let after = self.cursor.as_deref().map(|text| resume(text, &filter)).transpose()?;
        Ok((filter, after))
    }

    /// The cursor for the agents after a place.
    pub(super) fn cursor(filter: &DocumentFilter, place: &DocumentPlace) -> Result<String> {
        cursor::write(place, filter)
    }
}

/// The place in a cursor, which anybody may have made.
fn resume(text: &str, filter: &DocumentFilter) -> Result<DocumentPlace> {
    let place: DocumentPlace = cursor::read(text, filter)?;
    AgentId::recorded(&place.id).map_err(|_| cursor::malformed())?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_cursor_made_by_hand_is_refused_here_and_not_by_a_server() {
        let (filter, _) = AgentQuery::new().check(&OrganizationId::default()).unwrap();
        let place = |id: &str| DocumentPlace { created: Timestamp::from_micros(1), id: id.to_owned() };
        let cursor = |id: &str| AgentQuery::cursor(&filter, &place(id)).unwrap();
        assert_eq!(resume(&cursor("a"), &filter).unwrap(), place("a"));
        for id in ["", "a\0b", " a", &"x".repeat(257)] {
            let error = resume(&cursor(id), &filter).unwrap_err();
            assert_eq!(error.field(), Some("cursor"), "{id:?}");
        }
    }
}
