//! The checkpoints that readers met lately. The checkpoint that was the first to cover an entry never changes, so a
//! page whose checkpoints are known costs the store one question less.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use crate::error::Result;
use crate::provenance::{Hash, Receipt, Record, SignedCheckpoint};
use crate::storage::{DecodedRecord, Shard, Store, uncovered};

/// Most checkpoints that are kept, some 700 bytes each. A full cache is emptied before the next one is added.
const CAPACITY: usize = 4096;

/// Checkpoints by shard and size. Readers of the log and the follower share them. The lock guards the whole map, and is
/// not held while the store is asked.
#[derive(Default)]
pub(crate) struct CheckpointCache(Mutex<HashMap<Shard, BTreeMap<u64, Covering>>>);

/// A checkpoint, and the entries that it is known to be the first to cover.
struct Covering {
    /// The earliest entry that the checkpoint is known to be the first to cover. It is then also the first to cover
    /// every entry between this one and its size.
    from: u64,
    signed: Arc<SignedCheckpoint>,
}

impl CheckpointCache {
    /// The checkpoint that is known to be the first to cover an entry.
    fn get(&self, shard: Shard, index: u64) -> Option<Arc<SignedCheckpoint>> {
        let shards = self.0.lock();
        let (_, next) = shards.get(&shard)?.range(index.checked_add(1)?..).next()?;
        (next.from <= index).then(|| Arc::clone(&next.signed))
    }

    /// Remembers that `signed` is the first checkpoint to cover `index`.
    fn add(&self, shard: Shard, index: u64, signed: &Arc<SignedCheckpoint>) {
        let mut shards = self.0.lock();
        let size = signed.checkpoint.size;
        if let Some(known) = shards.get_mut(&shard).and_then(|known| known.get_mut(&size)) {
            known.from = known.from.min(index);
            return;
        }
        if shards.values().map(BTreeMap::len).sum::<usize>() >= CAPACITY {
            shards.clear();
        }
        let covering = Covering { from: index, signed: Arc::clone(signed) };
        shards.entry(shard).or_default().insert(size, covering);
    }

    /// Completes records with the checkpoints that first cover them; asks the store once for each shard that has
    /// unknown ones.
    pub(crate) async fn complete(&self, store: &dyn Store, found: Vec<DecodedRecord>) -> Result<Vec<Record>> {
        let mut missing: BTreeMap<Shard, Vec<u64>> = BTreeMap::new();
        let mut covering = Vec::with_capacity(found.len());
        for stored in &found {
            let known = self.get(stored.shard, stored.index);
            if known.is_none() {
                missing.entry(stored.shard).or_default().push(stored.index);
            }
            covering.push(known);
        }
        let shards: Vec<Shard> = missing.keys().copied().collect();
        let asked = missing.into_iter().map(|(shard, indexes)| self.ask(store, shard, indexes));
        let mut asked: BTreeMap<Shard, _> = shards.into_iter().zip(try_join_all(asked).await?).collect();
        let mut records = Vec::with_capacity(found.len());
        for (stored, known) in found.into_iter().zip(covering) {
            let signed = known.or_else(|| asked.get_mut(&stored.shard)?.next());
            let signed = signed.ok_or_else(|| uncovered(stored.index))?;
            let DecodedRecord { index, entry, bytes, payload, .. } = stored;
            let receipt = Receipt { id: entry.id, index, leaf: Hash::leaf(&bytes), time: entry.time, signed };
            records.push(Record { entry, bytes, payload, receipt });
        }
        Ok(records)
    }

    /// Asks the store for the checkpoints that first cover these entries, and gives them in the order of the entries.
    /// Neighbours mostly share a checkpoint.
    async fn ask(
        &self,
        store: &dyn Store,
        shard: Shard,
        indexes: Vec<u64>,
    ) -> Result<impl Iterator<Item = Arc<SignedCheckpoint>> + use<>> {
        let notes = store.covering(shard, &indexes).await?;
        let mut found: Vec<Arc<SignedCheckpoint>> = Vec::with_capacity(notes.len());
        for (index, (size, note)) in indexes.into_iter().zip(notes) {
            let signed = match found.last().filter(|last| last.checkpoint.size == size) {
                Some(last) => Arc::clone(last),
                None => Arc::new(SignedCheckpoint::parse(&note).map_err(|_| uncovered(index))?),
            };
            self.add(shard, index, &signed);
            found.push(signed);
        }
        Ok(found.into_iter())
    }

    /// Empties the cache, because the contents of the log are unknown now. A reader that has asked the store already
    /// may still add its answer afterwards.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::{Checkpoint, Ed25519Signer, Hash};

    fn signed(size: u64) -> Arc<SignedCheckpoint> {
        let checkpoint = Checkpoint { origin: "a/prov/0".into(), size, root: Hash::empty_tree() };
        let signer = Ed25519Signer::from_seed(&[1; 32]);
        Arc::new(SignedCheckpoint::parse(&checkpoint.sign(&signer).unwrap().to_string()).unwrap())
    }

    #[test]
    fn only_entries_between_one_that_is_known_and_the_size_are_covered() {
        let cache = CheckpointCache::default();
        cache.add(0, 12, &signed(20));
        cache.add(0, 25, &signed(30));
        let size = |index| cache.get(0, index).map(|signed| signed.checkpoint.size);
        assert_eq!(
            [11, 12, 19, 20, 24, 25, 29, 30].map(size),
            [None, Some(20), Some(20), None, None, Some(30), Some(30), None]
        );
        assert_eq!(cache.get(1, 12), None);
        cache.add(0, 10, &signed(20));
        cache.add(0, 15, &signed(20));
        assert_eq!([9, 10].map(size), [None, Some(20)]);
        cache.forget();
        assert_eq!(size(12), None);
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let cache = CheckpointCache::default();
        let one = signed(1);
        for size in 1..=3 * CAPACITY as u64 {
            let mut next = SignedCheckpoint::clone(&one);
            next.checkpoint.size = size;
            cache.add((size % 7) as Shard, size - 1, &Arc::new(next));
        }
        assert!(cache.0.lock().values().map(BTreeMap::len).sum::<usize>() <= CAPACITY);
    }
}
