//! A batch as it grows, up to its bounds.

use async_channel::Receiver;

use super::submission::Submission;

/// Number of payload bytes at which a batch is full; a batch always holds at least one submission.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The submissions of the next commit. Only the writer's thread uses a pending batch.
pub(super) struct PendingBatch {
    submissions: Vec<Submission>,
    entries: usize,
    bytes: usize,
    max_entries: usize,
}

impl PendingBatch {
    pub(super) fn new(first: Submission, max_entries: usize) -> Self {
        let mut batch = Self { submissions: Vec::new(), entries: 0, bytes: 0, max_entries };
        batch.push(first);
        batch
    }

    /// Takes submissions that wait in the queue, until the batch is full.
    pub(super) fn fill(&mut self, queue: &Receiver<Submission>) {
        while !self.is_full() {
            let Ok(next) = queue.try_recv() else { break };
            self.push(next);
        }
    }

    fn push(&mut self, submission: Submission) {
        self.entries += submission.drafts.len();
        self.bytes += submission.drafts.iter().map(|draft| draft.payload.bytes.len()).sum::<usize>();
        self.submissions.push(submission);
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries >= self.max_entries || self.bytes >= MAX_BYTES
    }

    /// Whether a caller waits for the commit of any of them.
    pub(super) fn is_awaited(&self) -> bool {
        self.submissions.iter().any(Submission::is_awaited)
    }

    pub(super) fn into_submissions(self) -> Vec<Submission> {
        self.submissions
    }
}
