//! The keys of a deployment's log, of which there are several once the signing key was rotated.

use std::fmt;
use std::str::FromStr;

use super::note::{VerifierKey, key_error};
use crate::error::{Error, Result};

/// The keys of a deployment's shards. Each verifies the shards from the one in its name on (`<deployment>/prov/<shard>`), up
/// to the shard in the next key's name; the first one also those before it.
///
/// As text each key has a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKeys {
    first: VerifierKey,
    /// In the order of their shards.
    later: Vec<(u32, VerifierKey)>,
}

impl VerifierKeys {
    /// # Errors
    /// [`ErrorKind::Key`](crate::ErrorKind::Key) if there is none, if they are of several deployments, or if several are of
    /// one shard.
    pub fn new(keys: impl IntoIterator<Item = VerifierKey>) -> Result<Self> {
        let mut keys: Vec<VerifierKey> = keys.into_iter().collect();
        keys.sort_by_key(VerifierKey::shard);
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or_else(|| key_error("there is no verifier key"))?;
        let mut all = Self { first, later: Vec::new() };
        for key in keys {
            let shard = key.shard().ok_or_else(|| {
                key_error(format!("the key {} does not say from which shard on it counts", key.name()))
            })?;
            let before = all.last();
            if before.deployment() != key.deployment() {
                let issue = format!("the keys {} and {} are of two deployments", before.name(), key.name());
                return Err(key_error(issue));
            }
            if before.shard() == Some(shard) {
                return Err(key_error(format!("two keys count from shard {shard} on")));
            }
            all.later.push((shard, key));
        }
        Ok(all)
    }

    /// The key of the shards that come last.
    pub fn last(&self) -> &VerifierKey {
        self.later.last().map_or(&self.first, |(_, key)| key)
    }

    /// Whether a key is one of them, under whatever name.
    pub fn contains(&self, key: &VerifierKey) -> bool {
        let later = self.later.iter().map(|(_, key)| key);
        later.chain([&self.first]).any(|own| own.public_key() == key.public_key())
    }

    /// The key of a shard.
    pub fn of_shard(&self, shard: u32) -> VerifierKey {
        let last = self.later.iter().rfind(|(from, _)| *from <= shard);
        last.map_or(&self.first, |(_, key)| key).of_shard(shard)
    }
}

impl From<VerifierKey> for VerifierKeys {
    fn from(key: VerifierKey) -> Self {
        Self { first: key, later: Vec::new() }
    }
}

impl fmt::Display for VerifierKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.later.iter().try_for_each(|(_, key)| write!(f, "\n{key}"))
    }
}

impl FromStr for VerifierKeys {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self::new(lines.map(str::parse).collect::<Result<Vec<VerifierKey>>>()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::provenance::{Ed25519Signer, Signer as _};

    fn key(name: &str, seed: u8) -> VerifierKey {
        VerifierKey::new(name, &Ed25519Signer::from_seed(&[seed; 32]).public_key()).unwrap()
    }

    #[test]
    fn each_key_counts_from_its_shard_up_to_that_of_the_next() {
        let keys = [key("d/prov/7", 3), key("d/prov/0", 1), key("d/prov/3", 2)];
        let keys = VerifierKeys::new(keys).unwrap();
        for (shard, seed) in [(0, 1), (2, 1), (3, 2), (6, 2), (7, 3), (4_000_000_000, 3)] {
            assert_eq!(keys.of_shard(shard), key(&format!("d/prov/{shard}"), seed));
        }
        assert_eq!(keys.to_string().parse::<VerifierKeys>().unwrap(), keys);
        assert!(keys.contains(&key("other", 2)) && !keys.contains(&key("d/prov/0", 4)));
        // One key alone counts for every shard, whatever its name.
        assert_eq!(VerifierKeys::from(key("d/prov/5", 1)).of_shard(2), key("d/prov/2", 1));
    }

    #[test]
    fn keys_that_do_not_belong_together_are_refused() {
        for (keys, issue) in [
            (vec![], "no verifier key"),
            (vec![key("d/prov/0", 1), key("e/prov/3", 2)], "two deployments"),
            (vec![key("d/prov/3", 1), key("d/prov/3", 2)], "from shard 3"),
            (vec![key("log", 1), key("log", 2)], "does not say"),
        ] {
            let error = VerifierKeys::new(keys).unwrap_err();
            assert!(error.to_string().contains(issue), "{error}");
        }
        assert!("".parse::<VerifierKeys>().is_err());
    }
}
