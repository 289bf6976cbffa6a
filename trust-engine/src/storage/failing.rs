//! Stores and counters that fail on purpose, for tests of the code that uses them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Batch, Committed, CounterStore, DecodedRecord, Document, DocumentFilter, DocumentKey, DocumentKind,
    DocumentPage, DocumentPlace, FollowerClaim, FollowerKey, FollowerRow, Head, LeaseCallback, Scan, Scanned,
    Shard, StatCounts, StatsDelta, Store, StoredRecord,
};
use crate::ceiling::{Charged, CounterKey, LeaseRequests, Unspent, Window};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::OrganizationId;
use crate::provenance::{Hash, HashRange};

/// The fault of a commit, a claim or a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The commit fails and nothing is written.
    Lost,
    /// The commit is written, but the answer is an error.
    AnswerLost,
    /// The claim fails.
    Unreachable,
}

/// Wraps a store and lets commits and claims fail as told.
pub struct FailingStore {
    inner: Arc<dyn Store>,
    commits: Mutex<VecDeque<Fault>>,
    claims: Mutex<VecDeque<Fault>>,
    rows: Mutex<VecDeque<Fault>>,
    document_read: Mutex<Option<Hook>>,
    document_reads: AtomicUsize,
    held: Mutex<Option<async_channel::Receiver<()>>>,
    patience: Mutex<Option<Duration>>,
}

/// A function that runs once, at a moment that a test chooses.
type Hook = Box<dyn FnOnce() + Send>;

impl FailingStore {
    /// Wraps a store; nothing fails until it is told to.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            commits: Mutex::default(),
            claims: Mutex::default(),
            rows: Mutex::default(),
            document_read: Mutex::default(),
            document_reads: AtomicUsize::new(0),
            held: Mutex::default(),
            patience: Mutex::default(),
        }
    }

    /// Adds faults for the next commits, in order.
    pub fn fail_commits(&self, faults: impl IntoIterator<Item = Fault>) {
        self.commits.lock().extend(faults);
    }

    /// The number of commits' faults that are still to come.
    pub fn commit_faults_left(&self) -> usize {
        self.commits.lock().len()
    }

    /// Sets a hook that runs after the next document is read, before the reader has it.
    pub fn on_document_read(&self, hook: impl FnOnce() + Send + 'static) {
        *self.document_read.lock() = Some(Box::new(hook));
    }

    /// Keeps those who read documents from now on waiting until what this gives is dropped.
    pub fn hold_document_reads(&self) -> impl Drop + Send + use<> {
        let (release, held) = async_channel::bounded::<()>(1);
        *self.held.lock() = Some(held);
        release
    }

    /// The number of documents that were asked for.
    pub fn document_reads(&self) -> usize {
        self.document_reads.load(Ordering::SeqCst)
    }

    /// Adds faults for the next claims, in order.
    pub fn fail_claims(&self, faults: impl IntoIterator<Item = Fault>) {
        self.claims.lock().extend(faults);
    }

    /// Adds faults for the next writes of followers' rows, in order.
    pub fn fail_rows(&self, faults: impl IntoIterator<Item = Fault>) {
        self.rows.lock().extend(faults);
    }

    /// The patience that a free shard was last claimed with.
    pub fn patience(&self) -> Option<Duration> {
        *self.patience.lock()
    }

    fn may_claim(&self) -> Result<()> {
        match self.claims.lock().pop_front() {
            None | Some(Fault::None) => Ok(()),
            Some(_) => Err(injected()),
        }
    }
}

fn injected() -> Error {
    Error::new(ErrorKind::Unavailable, "a fault was injected")
}

/// Like a store on another machine, it says that others may write, also in front of one that nobody else can reach.
#[async_trait]
impl Store for FailingStore {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn refuses_taken_ids(&self) -> bool {
        self.inner.refuses_taken_ids()
    }

    async fn claim(&self, shard: Shard, owner: Uuid) -> Result<Head> {
        self.may_claim()?;
        self.inner.claim(shard, owner).await
    }

    async fn claim_free(&self, owner: Uuid, patience: Duration, except: &[Shard]) -> Result<Head> {
        *self.patience.lock() = Some(patience);
        self.may_claim()?;
        self.inner.claim_free(owner, patience, except).await
    }

    async fn reclaim(&self, shard: Shard, owner: Uuid) -> Result<Option<Head>> {
        self.may_claim()?;
        self.inner.reclaim(shard, owner).await
    }

    async fn renew(&self, shard: Shard, owner: Uuid, time: Timestamp) -> Result<(bool, Timestamp)> {
        self.inner.renew(shard, owner, time).await
    }

    async fn raise_idle(&self, patience: Duration) -> Result<()> {
        self.inner.raise_idle(patience).await
    }

    async fn seal(&self, shard: Shard, epoch: u64) -> Result<bool> {
        self.inner.seal(shard, epoch).await
    }

    async fn release(&self, shard: Shard, owner: Uuid) -> Result<()> {
        self.inner.release(shard, owner).await
    }

    async fn heads(&self) -> Result<Vec<Head>> {
        self.inner.heads().await
    }

    async fn head(&self, shard: Shard) -> Result<Head> {
        self.inner.head(shard).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed> {
        let fault = self.commits.lock().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.inner.commit(batch).await,
            Fault::AnswerLost => {
                self.inner.commit(batch).await?;
                Err(injected())
            }
            Fault::Lost | Fault::Unreachable => Err(injected()),
        }
    }

    async fn hashes(&self, shard: Shard, ranges: &[HashRange]) -> Result<Vec<Vec<Hash>>> {
        self.inner.hashes(shard, ranges).await
    }

    async fn records(&self, shard: Shard, start: u64, limit: usize) -> Result<Vec<StoredRecord>> {
        self.inner.records(shard, start, limit).await
    }

    async fn record_by_id(&self, organization: &OrganizationId, id: Uuid) -> Result<Option<DecodedRecord>> {
        self.inner.record_by_id(organization, id).await
    }

    async fn organizations_of(&self, id: Uuid, limit: usize) -> Result<Vec<OrganizationId>> {
        self.inner.organizations_of(id, limit).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned> {
        self.inner.scan(scan).await
    }

    async fn checkpoints(&self, shard: Shard, size: u64, limit: usize) -> Result<Vec<(u64, String)>> {
        self.inner.checkpoints(shard, size, limit).await
    }

    async fn covering(&self, shard: Shard, indexes: &[u64]) -> Result<Vec<(u64, String)>> {
        self.inner.covering(shard, indexes).await
    }

    async fn document(&self, key: &DocumentKey) -> Result<Option<Document>> {
        self.document_reads.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().clone();
        if let Some(held) = held {
            // Nothing is ever sent: this waits until the test lets go of the sender.
            let _ = held.recv().await;
        }
        let document = self.inner.document(key).await;
        let hook = self.document_read.lock().take();
        hook.into_iter().for_each(|hook| hook());
        document
    }

    async fn document_version(&self, key: &DocumentKey) -> Result<u64> {
        self.inner.document_version(key).await
    }

    async fn documents(
        &self,
        filter: &DocumentFilter,
        after: Option<&DocumentPlace>,
        limit: usize,
    ) -> Result<DocumentPage> {
        self.inner.documents(filter, after, limit).await
    }

    async fn count_documents(&self, filter: &DocumentFilter, most: u64) -> Result<u64> {
        self.inner.count_documents(filter, most).await
    }

    async fn due_documents(&self, kind: DocumentKind, now: Timestamp, limit: usize) -> Result<Vec<Document>> {
        self.inner.due_documents(kind, now, limit).await
    }

    async fn all_documents(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Document>> {
        self.inner.all_documents(after, limit).await
    }

    async fn followers(&self) -> Result<Vec<String>> {
        self.inner.followers().await
    }

    async fn all_stats(&self, after: Option<&StatsDelta>, limit: usize) -> Result<Vec<StatsDelta>> {
        self.inner.all_stats(after, limit).await
    }

    async fn backup(&self, folder: &Path) -> Result<()> {
        self.inner.backup(folder).await
    }

    async fn restore(&self, folder: &Path, above: u32) -> Result<()> {
        self.inner.restore(folder, above).await
    }

    async fn claim_follower(
        &self,
        follower: &str,
        owner: Uuid,
        patience: Duration,
    ) -> Result<Option<(FollowerClaim, String)>> {
        self.inner.claim_follower(follower, owner, patience).await
    }

    async fn renew_follower(&self, claim: &FollowerClaim) -> Result<bool> {
        self.inner.renew_follower(claim).await
    }

    async fn release_follower(&self, claim: &FollowerClaim) -> Result<()> {
        self.inner.release_follower(claim).await
    }

    async fn write_follower(
        &self,
        claim: &FollowerClaim,
        rows: Vec<FollowerRow>,
        position: &str,
    ) -> Result<bool> {
        let fault = self.rows.lock().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.inner.write_follower(claim, rows, position).await,
            Fault::AnswerLost => {
                self.inner.write_follower(claim, rows, position).await?;
                Err(injected())
            }
            Fault::Lost | Fault::Unreachable => Err(injected()),
        }
    }

    async fn follower_rows(&self, follower: &str, keys: &[FollowerKey]) -> Result<Vec<Option<Vec<u8>>>> {
        self.inner.follower_rows(follower, keys).await
    }

    async fn all_follower_rows(
        &self,
        follower: &str,
        after: Option<&FollowerKey>,
        limit: usize,
    ) -> Result<Vec<(FollowerKey, Vec<u8>)>> {
        self.inner.all_follower_rows(follower, after, limit).await
    }

    async fn stats(&self, organization: Option<&OrganizationId>, from: i64, to: i64) -> Result<StatCounts> {
        self.inner.stats(organization, from, to).await
    }
}

/// Wraps counters and lets leases fail as told.
pub struct FailingCounters {
    inner: Arc<dyn CounterStore>,
    leases: Mutex<VecDeque<Fault>>,
    waiting: Mutex<Option<Vec<(LeaseRequests, LeaseCallback)>>>,
    charged_read: Mutex<Option<Hook>>,
}

impl FailingCounters {
    /// Wraps counters; nothing fails until it is told to.
    pub fn new(inner: Arc<dyn CounterStore>) -> Self {
        Self { inner, leases: Mutex::default(), waiting: Mutex::default(), charged_read: Mutex::default() }
    }

    /// Adds faults for the next leases, in order: the request is lost ([`Fault::Lost`], [`Fault::Unreachable`]), or its
    /// answer is ([`Fault::AnswerLost`]).
    pub fn fail_leases(&self, faults: impl IntoIterator<Item = Fault>) {
        self.leases.lock().extend(faults);
    }

    /// Sets a hook that runs after charges are read next, before the reader has them.
    pub fn on_charged_read(&self, hook: impl FnOnce() + Send + 'static) {
        *self.charged_read.lock() = Some(Box::new(hook));
    }

    /// Keeps requests until [`deliver`](Self::deliver).
    pub fn hold(&self) {
        self.waiting.lock().get_or_insert_default();
    }

    /// Passes on the requests that were kept.
    pub fn deliver(&self) {
        let waiting = self.waiting.lock().take().unwrap_or_default();
        waiting.into_iter().for_each(|(requests, answer)| self.inner.lease(requests, answer));
    }
}

#[async_trait]
impl CounterStore for FailingCounters {
    fn name(&self) -> &'static str {
        "failing"
    }

    /// Answers as counters on another machine do.
    fn is_local(&self) -> bool {
        false
    }

    fn lease(&self, requests: LeaseRequests, answer: LeaseCallback) {
        let fault = self.leases.lock().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => {
                if let Some(waiting) = &mut *self.waiting.lock() {
                    return waiting.push((requests, answer));
                }
                self.inner.lease(requests, answer);
            }
            Fault::AnswerLost => self.inner.lease(requests, Box::new(|_| answer(Err(injected())))),
            Fault::Lost | Fault::Unreachable => answer(Err(injected())),
        }
    }

    fn give_back(&self, unspent: Unspent) {
        self.inner.give_back(unspent);
    }

    async fn charged(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<Charged>> {
        let charged = self.inner.charged(counters).await;
        let hook = self.charged_read.lock().take();
        hook.into_iter().for_each(|hook| hook());
        charged
    }

    async fn reset(&self, counters: &[(CounterKey, Window)]) -> Result<Vec<bool>> {
        self.inner.reset(counters).await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }
}
