//! Request ids of checks that were admitted lately, so that a retry costs nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::verdict::CeilingVerdict;
use crate::ceiling::CeilingRequest;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// Most ids that are remembered.
const CAPACITY: usize = 65_536;

#[derive(Default)]
pub(super) struct RecentRequests(Mutex<KnownRequests>);

#[derive(Default)]
struct KnownRequests {
    known: HashMap<Arc<str>, Known, RandomState>,
    /// In the order in which they were admitted, with the count of admissions then: an id may be admitted again.
    order: VecDeque<(u64, Arc<str>)>,
    admissions: u64,
}

enum Known {
    /// Is being decided.
    Open,
    Admitted(Box<Admitted>),
}

struct Admitted {
    admission: u64,
    request: CeilingRequest,
    verdict: CeilingVerdict,
}

/// What is known of a request.
pub(super) enum Seen {
    /// Nothing; it is open until the pending request is dropped.
    New(PendingRequest),
    /// It was admitted.
    Before(CeilingVerdict),
}

/// A request that is being decided under its id.
pub(super) struct PendingRequest {
    recent: Arc<RecentRequests>,
    key: Arc<str>,
}

impl RecentRequests {
    pub(super) fn begin(
        self: &Arc<Self>,
        id: &str,
        request: &CeilingRequest,
        now: Timestamp,
    ) -> Result<Seen> {
        // No id contains a zero.
        let key: Arc<str> = format!("{}\0{}\0{id}", request.organization_id(), request.agent_name()).into();
        let mut requests = self.0.lock();
        match requests.known.get(&key) {
            None => {}
            Some(Known::Open) => {
                let issue = format!("a request with the id {id:?} is being decided; ask again");
                return Err(Error::new(ErrorKind::WouldBlock, issue).with("requestId", id));
            }
            Some(Known::Admitted(known)) if known.verdict.counts_until() > now => {
                if known.request != *request {
                    let issue = format!("requestId {id:?} was used for a request with other content");
                    return Err(Error::new(ErrorKind::Conflict, issue).with("requestId", id));
                }
                return Ok(Seen::Before(known.verdict.clone()));
            }
            Some(Known::Admitted(_)) => {}
        }
        requests.known.insert(Arc::clone(&key), Known::Open);
        Ok(Seen::New(PendingRequest { recent: Arc::clone(self), key }))
    }
}

impl PendingRequest {
    /// The request was admitted; a retry gets the same verdict.
    pub(super) fn admitted(self, request: &CeilingRequest, verdict: &CeilingVerdict) {
        let mut requests = self.recent.0.lock();
        requests.admissions += 1;
        let admission = requests.admissions;
        let known = Admitted { admission, request: request.clone(), verdict: verdict.clone() };
        requests.known.insert(Arc::clone(&self.key), Known::Admitted(Box::new(known)));
        requests.order.push_back((admission, Arc::clone(&self.key)));
        if requests.order.len() > CAPACITY
            && let Some((oldest, key)) = requests.order.pop_front()
            && matches!(requests.known.get(&key), Some(Known::Admitted(known)) if known.admission == oldest)
        {
            requests.known.remove(&key);
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let mut requests = self.recent.0.lock();
        if matches!(requests.known.get(&self.key), Some(Known::Open)) {
            requests.known.remove(&self.key);
        }
    }
}
