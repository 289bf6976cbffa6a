//! Request ids of checks that this engine has seen admitted lately, so that a retry costs not even a look-up, and the
//! requests that are being decided. What is forgotten here is found in the store.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use futures_channel::oneshot;
use parking_lot::Mutex;

use super::verdict::CeilingVerdict;
use crate::ceiling::CeilingRequest;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::log::recorded::is_current;

/// Most ids that are remembered.
const CAPACITY: usize = 65_536;

/// The requests that were admitted lately or are being decided, by id. The lock guards everything here, and is never
/// held while a request is decided.
#[derive(Default)]
pub(super) struct RecentRequests(Mutex<KnownRequests>);

#[derive(Default)]
struct KnownRequests {
    known: HashMap<Arc<str>, Known, RandomState>,
    admitted: Admissions,
}

/// The admitted ids of each organization in their order, each with the number of its admission: an id may be admitted again.
#[derive(Default)]
struct Admissions {
    number: u64,
    total: usize,
    of: HashMap<OrganizationId, VecDeque<(u64, Arc<str>)>, RandomState>,
    /// The organizations by the number of their ids.
    by_size: BTreeSet<(usize, OrganizationId)>,
}

enum Known {
    /// The request is being decided. Those who wait hear when it is not any more, as their sender is dropped then.
    Open(Vec<oneshot::Sender<()>>),
    Admitted(Box<Admitted>),
}

struct Admitted {
    admission: u64,
    request: CeilingRequest,
    verdict: CeilingVerdict,
}

/// The result of a look-up by id.
pub(super) enum Seen {
    /// The request is new; its id is open until the pending request is admitted or dropped.
    New(PendingRequest),
    /// The request was admitted before, with this verdict.
    Before(CeilingVerdict),
    /// A request with this id is being decided; the id is to be looked up again when this ends.
    Open(oneshot::Receiver<()>),
}

/// A request that is being decided under its id. A drop without an admission frees the id.
pub(super) struct PendingRequest {
    recent: Arc<RecentRequests>,
    key: Arc<str>,
}

impl RecentRequests {
    /// Looks an id up, and opens it if the request is new. Both happen under one lock, so of two requests with the same
    /// id only one is decided at a time.
    pub(super) fn begin(
        self: &Arc<Self>,
        id: &str,
        request: &CeilingRequest,
        now: Timestamp,
    ) -> Result<Seen> {
        let key = key(id, request);
        let mut requests = self.0.lock();
        match requests.known.get_mut(&key) {
            None => {}
            Some(Known::Open(waiting)) => {
                let (wake, woken) = oneshot::channel();
                // Callers that gave up go when the others have doubled.
                if waiting.len().is_power_of_two() {
                    waiting.retain(|wake| !wake.is_canceled());
                }
                waiting.push(wake);
                return Ok(Seen::Open(woken));
            }
            Some(Known::Admitted(known)) if is_current(known.verdict.evaluated_at(), now) => {
                if !known.request.is_retried_as(request) {
                    let issue = format!("requestId {id:?} was used for a request with other content");
                    return Err(Error::new(ErrorKind::Conflict, issue).with("requestId", id));
                }
                return Ok(Seen::Before(known.verdict.clone()));
            }
            Some(Known::Admitted(_)) => {}
        }
        requests.known.insert(Arc::clone(&key), Known::Open(Vec::new()));
        Ok(Seen::New(PendingRequest { recent: Arc::clone(self), key }))
    }

    /// Adds the receipt of an admission that is remembered, so that a retry has it.
    pub(super) fn acknowledge(&self, id: &str, request: &CeilingRequest, verdict: &CeilingVerdict) {
        let key = key(id, request);
        if let Some(Known::Admitted(known)) = self.0.lock().known.get_mut(&*key)
            && known.verdict.id() == verdict.id()
        {
            known.verdict = verdict.clone();
        }
    }
}

/// No id contains a zero.
fn key(id: &str, request: &CeilingRequest) -> Arc<str> {
    format!("{}\0{}\0{id}", request.organization_id(), request.agent_name()).into()
}

impl PendingRequest {
    /// Lets those who wait look again: it is not known how this one ends.
    pub(super) fn wake(&self) {
        let waiting = match self.recent.0.lock().known.get_mut(&self.key) {
            Some(Known::Open(waiting)) => std::mem::take(waiting),
            _ => Vec::new(),
        };
        // Behind the lock: a waker may look at once.
        drop(waiting);
    }

    /// Remembers that the request was admitted, so that a retry gets the same verdict. If there are too many, the oldest
    /// admission is forgotten of the organization that has most: no organization can push out those of one that has few.
    pub(super) fn admitted(self, request: &CeilingRequest, verdict: &CeilingVerdict) {
        let mut requests = self.recent.0.lock();
        let admission = requests.admitted.add(request.organization_id(), &self.key);
        let known = Admitted { admission, request: request.clone(), verdict: verdict.clone() };
        let before = requests.known.insert(Arc::clone(&self.key), Known::Admitted(Box::new(known)));
        if requests.admitted.total > CAPACITY
            && let Some((oldest, key)) = requests.admitted.forget_one()
            && matches!(requests.known.get(&key), Some(Known::Admitted(known)) if known.admission == oldest)
        {
            requests.known.remove(&key);
        }
        drop(requests);
        // Behind the lock: the waker of one who waits may look at once, and `self` takes the lock again.
        drop(before);
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let mut requests = self.recent.0.lock();
        // An admitted id is not open any more, and stays.
        let open = match requests.known.get(&self.key) {
            Some(Known::Open(_)) => requests.known.remove(&self.key),
            _ => None,
        };
        drop(requests);
        drop(open);
    }
}

impl Admissions {
    /// Adds an id and gives the number of its admission.
    fn add(&mut self, organization: &OrganizationId, key: &Arc<str>) -> u64 {
        self.number += 1;
        self.total += 1;
        let ids = self.of.entry(organization.clone()).or_default();
        self.by_size.remove(&(ids.len(), organization.clone()));
        ids.push_back((self.number, Arc::clone(key)));
        self.by_size.insert((ids.len(), organization.clone()));
        self.number
    }

    /// Takes the oldest id out of the organization that has most.
    fn forget_one(&mut self) -> Option<(u64, Arc<str>)> {
        let (size, organization) = self.by_size.pop_last()?;
        let ids = self.of.get_mut(&organization)?;
        let oldest = ids.pop_front();
        self.total -= 1;
        if size > 1 {
            self.by_size.insert((size - 1, organization));
        } else {
            self.of.remove(&organization);
        }
        oldest
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_organization_that_has_most_forgets_first() {
        let mut admissions = Admissions::default();
        let [few, many] = ["few", "many"].map(|name| OrganizationId::parse(name).unwrap());
        admissions.add(&few, &"few_0".into());
        for n in 0..100 {
            admissions.add(&many, &format!("many_{n}").into());
        }
        admissions.add(&few, &"few_1".into());
        for n in 0..98 {
            assert_eq!(*admissions.forget_one().unwrap().1, format!("many_{n}"));
        }
        let rest: BTreeSet<String> =
            std::iter::from_fn(|| admissions.forget_one()).map(|(_, key)| key.to_string()).collect();
        assert_eq!(rest, ["few_0", "few_1", "many_98", "many_99"].map(String::from).into());
        assert!(admissions.total == 0 && admissions.of.is_empty() && admissions.by_size.is_empty());
    }
}
