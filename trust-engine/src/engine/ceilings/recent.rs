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

/// The requests that were admitted lately or are being decided, by id. The lock guards everything here, and is never
/// held while a request is decided.
#[derive(Default)]
pub(super) struct RecentRequests(Mutex<KnownRequests>);

#[derive(Default)]
struct KnownRequests {
    known: HashMap<Arc<str>, Known, RandomState>,
    /// The admitted ids in their order, each with the number of its admission: an id may be admitted again.
    order: VecDeque<(u64, Arc<str>)>,
    admissions: u64,
}

enum Known {
    /// The request is being decided.
    Open,
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
                if !known.request.is_retried_as(request) {
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
    /// Remembers that the request was admitted, so that a retry gets the same verdict. The oldest admission is
    /// forgotten if there are too many.
    pub(super) fn admitted(self, request: &CeilingRequest, verdict: &CeilingVerdict) {
        // This guard is gone before `self` is dropped, which takes the lock again.
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
        // An admitted id is not open any more, and stays.
        if matches!(requests.known.get(&self.key), Some(Known::Open)) {
            requests.known.remove(&self.key);
        }
    }
}
