//! The table of followers: a row for the claim of each, and the rows of its state behind it.

use serde::{Deserialize, Serialize};

use super::store::{KvStore, decode, encode};
use super::{Kv, Table, WriteBatch, keys};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{FollowerClaim, FollowerKey, FollowerRow, check_follower};

/// A follower's claim and position.
#[derive(Default, Serialize, Deserialize)]
struct Claimed {
    epoch: u64,
    position: String,
}

impl<K: Kv> KvStore<K> {
    fn read_claim(&self, follower: &str) -> Result<Claimed> {
        let bytes = self.kv.get(Table::Followers, &keys::follower(follower))?;
        bytes.map_or_else(|| Ok(Claimed::default()), |bytes| decode(&bytes, "the claim of a follower"))
    }

    /// Raises the epoch; no other claim and no commit may come between.
    pub(super) fn claim_follower_row(&self, follower: &str) -> Result<(FollowerClaim, String)> {
        check_follower(follower)?;
        let mut claimed = self.read_claim(follower)?;
        claimed.epoch += 1;
        let mut rows = WriteBatch::default();
        rows.put(Table::Followers, &[&keys::follower(follower)], &[&encode(&claimed)?]);
        self.kv.write(&rows)?;
        let claim = FollowerClaim { follower: follower.to_owned(), epoch: claimed.epoch };
        Ok((claim, claimed.position))
    }

    /// The places of the claims that are not the last ones of their followers.
    pub(super) fn outdated_claims(&self, claims: &[FollowerClaim]) -> Result<Vec<usize>> {
        let mut outdated = Vec::new();
        for (place, claim) in claims.iter().enumerate() {
            if self.read_claim(&claim.follower)?.epoch != claim.epoch {
                outdated.push(place);
            }
        }
        Ok(outdated)
    }

    pub(super) fn write_follower_rows(
        &self,
        claim: &FollowerClaim,
        changed: &[FollowerRow],
        position: &str,
    ) -> Result<bool> {
        if !self.outdated_claims(std::slice::from_ref(claim))?.is_empty() {
            return Ok(false);
        }
        // A key is written once, because the order of two writes of one key would not be certain.
        let last: std::collections::BTreeMap<_, _> =
            changed.iter().map(|row| (&row.key, row.state.as_deref())).collect();
        let mut rows = WriteBatch::default();
        for (key, state) in last {
            let key = keys::follower_row(&claim.follower, key);
            match state {
                Some(state) => rows.put(Table::Followers, &[&key], &[state]),
                None => rows.remove(Table::Followers, &key),
            }
        }
        // The position comes last, so that no reader finds a position whose rows are not there.
        let claimed = Claimed { epoch: claim.epoch, position: position.to_owned() };
        rows.put(Table::Followers, &[&keys::follower(&claim.follower)], &[&encode(&claimed)?]);
        self.kv.write(&rows)?;
        Ok(true)
    }

    pub(super) fn read_follower_rows(
        &self,
        follower: &str,
        wanted: &[FollowerKey],
    ) -> Result<Vec<Option<Vec<u8>>>> {
        wanted.iter().map(|key| self.kv.get(Table::Followers, &keys::follower_row(follower, key))).collect()
    }

    pub(super) fn list_followers(&self) -> Result<Vec<String>> {
        let (mut names, mut from) = (Vec::new(), Vec::new());
        // From the claim of one follower over all of its rows to the next.
        while let Some((key, _)) = self.kv.range(Table::Followers, &from, &[0xFF], false, 1)?.pop() {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            from = [name, &[1]].concat();
            let damaged = || Error::new(ErrorKind::Corrupt, "the name of a follower is damaged");
            names.push(String::from_utf8(name.to_vec()).map_err(|_| damaged())?);
        }
        Ok(names)
    }

    pub(super) fn list_follower_rows(
        &self,
        follower: &str,
        after: Option<&FollowerKey>,
        limit: usize,
    ) -> Result<Vec<(FollowerKey, Vec<u8>)>> {
        // One byte more than a key is behind it.
        let before = after.map_or_else(|| keys::follower(follower), |key| keys::follower_row(follower, key));
        let (from, to) = ([&before[..], &[0]].concat(), [follower.as_bytes(), &[1]].concat());
        let rows = self.kv.range(Table::Followers, &from, &to, false, limit)?;
        let of = |(row, state): (Vec<u8>, Vec<u8>)| {
            let damaged = || Error::new(ErrorKind::Corrupt, "the rows of a follower are damaged");
            Ok((keys::follower_key(follower, &row).ok_or_else(damaged)?, state))
        };
        rows.into_iter().map(of).collect()
    }
}
