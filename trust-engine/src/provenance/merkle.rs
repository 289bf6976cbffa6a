//! The Merkle tree of RFC 6962: growing it, proving from it, verifying.
//!
//! The writer keeps only the frontier (one hash per perfect subtree, at most 64). Beyond that, proofs need the hashes
//! of the tree's levels 0, 8, 16…, the rows that C2SP tlog-tiles publish; everything between is computed from them.
//! Proofs are planned first, as a list of hash ranges to fetch, and put together afterwards, so that this file knows
//! nothing of storage and a store can answer in one round trip.

use super::hash::Hash;

/// Levels of the tree per level of tiles.
const TILE_HEIGHT: u32 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// A run of hashes of one tile level: `count` hashes from `start`, all in one tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRange {
    /// Tile level: 0 for leaves, 1 for the nodes 8 levels up…
    pub level: u8,
    /// Index of the first hash in its level.
    pub start: u64,
    /// Number of hashes, 1 to 256.
    pub count: u64,
}

/// The right edge of a growing tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, largest first: one per set bit of `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree of `size`, from the hashes that [`frontier_plan`] asks for.
    pub fn load(size: u64, fetched: &[Vec<Hash>]) -> Option<Self> {
        let peaks: Vec<Hash> = fetched.iter().map(|run| perfect_root(run)).collect::<Option<_>>()?;
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; `completed` is told every hash of a tile level that became final: (level, index, hash).
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        completed(0, self.size, leaf);
        let mut hash = leaf;
        let mut level = 0u32;
        while self.size >> level & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = Hash::node(&left, &hash);
            level += 1;
            if level.is_multiple_of(TILE_HEIGHT) {
                completed((level / TILE_HEIGHT) as u8, self.size >> level, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it stands.
    pub fn root(&self) -> Hash {
        fold_right(&self.peaks).unwrap_or_else(Hash::empty_tree)
    }
}

/// The ranges that must be fetched to load the frontier of a tree of `size`.
pub fn frontier_plan(size: u64) -> Vec<HashRange> {
    perfect_parts(0, size)
}

/// An inclusion or consistency proof to be put together from fetched hashes.
#[derive(Clone, Debug)]
pub struct ProofPlan {
    ranges: Vec<HashRange>,
    /// The number of ranges, in order, that make up each hash of the proof.
    parts: Vec<usize>,
}

impl ProofPlan {
    /// The plan for the inclusion of leaf `index` in a tree of `size` (RFC 6962, 2.1.1). `None` unless
    /// `index` < `size`.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let mut subtrees = Vec::new();
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                subtrees.push((middle, high));
                high = middle;
            } else {
                subtrees.push((low, middle));
                low = middle;
            }
        }
        subtrees.reverse();
        Some(Self::of(&subtrees))
    }

    /// The plan for the consistency of a tree of `old` leaves with one of `new` (RFC 6962, 2.1.2). `None` unless
    /// 0 < `old` ≤ `new`.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        if old == 0 || old > new {
            return None;
        }
        let mut subtrees = Vec::new();
        let (mut low, mut high) = (0, new);
        // Whether the part that remains is a whole subtree of the old tree as the verifier knows it.
        let mut known = true;
        while old != high {
            let middle = low + split(high - low);
            if old <= middle {
                subtrees.push((middle, high));
                high = middle;
            } else {
                subtrees.push((low, middle));
                low = middle;
                known = false;
            }
        }
        if !known {
            subtrees.push((low, high));
        }
        subtrees.reverse();
        Some(Self::of(&subtrees))
    }

    fn of(subtrees: &[(u64, u64)]) -> Self {
        let mut plan = Self { ranges: Vec::new(), parts: Vec::with_capacity(subtrees.len()) };
        for &(low, high) in subtrees {
            let parts = perfect_parts(low, high);
            plan.parts.push(parts.len());
            plan.ranges.extend(parts);
        }
        plan
    }

    /// The ranges that must be fetched.
    pub fn ranges(&self) -> &[HashRange] {
        &self.ranges
    }

    /// The proof, from one list of hashes per range.
    pub fn assemble(&self, fetched: &[Vec<Hash>]) -> Option<Vec<Hash>> {
        let mut rest = fetched.iter();
        self.parts
            .iter()
            .map(|parts| {
                let roots: Vec<Hash> =
                    rest.by_ref().take(*parts).map(|run| perfect_root(run)).collect::<Option<_>>()?;
                fold_right(&roots)
            })
            .collect()
    }
}

/// Largest power of two smaller than `width` (≥ 2).
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// The perfect subtrees of [low, high), largest first, as ranges of stored hashes. `low` is aligned to the largest.
fn perfect_parts(mut low: u64, high: u64) -> Vec<HashRange> {
    let mut parts = Vec::new();
    while low < high {
        let level = (high - low).ilog2();
        let within = level % TILE_HEIGHT;
        let row = level - within;
        parts.push(HashRange { level: (row / TILE_HEIGHT) as u8, start: low >> row, count: 1 << within });
        low += 1 << level;
    }
    parts
}

/// Root of a perfect subtree over 1, 2, 4… 128 hashes.
fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| if let [left, right] = pair { Some(Hash::node(left, right)) } else { None })
            .collect();
    }
    row.pop()
}

fn fold_right(roots: &[Hash]) -> Option<Hash> {
    let (last, before) = roots.split_last()?;
    Some(before.iter().rev().fold(*last, |right, left| Hash::node(left, &right)))
}

/// The root that follows from a leaf and its inclusion proof (RFC 9162, 2.1.3.2); `None` if the proof has not the
/// length that index and size call for.
pub(super) fn root_from_inclusion(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether a tree of `new` leaves begins with the tree of `old` leaves (RFC 9162, 2.1.4.2).
pub(super) fn verify_consistency(old: u64, new: u64, old_root: Hash, new_root: Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > new {
        return false;
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    // A tree that is a perfect subtree of the new one is its own first hash.
    let seed = if old.is_power_of_two() { Some(&old_root) } else { rest.next() };
    let Some(&seed) = seed else { return false };
    let (mut old_hash, mut new_hash) = (seed, seed);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(hash, &old_hash);
            new_hash = Hash::node(hash, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::node(&new_hash, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of RFC 6962, by recursion over all leaves.
    fn tree_hash(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty_tree(),
            [leaf] => *leaf,
            leaves => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                Hash::node(&tree_hash(left), &tree_hash(right))
            }
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| Hash::leaf(&i.to_be_bytes())).collect()
    }

    /// Rows as a store would keep them.
    fn grow(leaves: &[Hash]) -> (Frontier, Vec<Vec<Hash>>) {
        let mut frontier = Frontier::default();
        let mut rows: Vec<Vec<Hash>> = vec![Vec::new(); 4];
        for leaf in leaves {
            frontier.push(*leaf, |level, index, hash| {
                let row = &mut rows[usize::from(level)];
                assert_eq!(row.len() as u64, index);
                row.push(hash);
            });
        }
        (frontier, rows)
    }

    fn fetch(rows: &[Vec<Hash>], ranges: &[HashRange]) -> Vec<Vec<Hash>> {
        let of = |range: &HashRange| {
            let start = range.start as usize;
            rows[usize::from(range.level)][start..start + range.count as usize].to_vec()
        };
        ranges.iter().map(of).collect()
    }

    #[test]
    fn the_published_test_tree_has_its_published_roots() {
        // Leaves and roots of the reference tests of RFC 6962 implementations.
        let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let last = "606162636465666768696a6b6c6d6e6f";
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(
            frontier.root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (input, root) in inputs.into_iter().chain([last]).zip(roots) {
            frontier.push(Hash::leaf(&hex::decode(input).unwrap()), |_, _, _| {});
            assert_eq!(frontier.root().to_string(), root);
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_nothing_else() {
        let all = leaves(67);
        let (_, rows) = grow(&all);
        for size in 1..=67u64 {
            let root = tree_hash(&all[..size as usize]);
            for index in 0..size {
                let plan = ProofPlan::inclusion(index, size).unwrap();
                let proof = plan.assemble(&fetch(&rows, plan.ranges())).unwrap();
                let leaf = all[index as usize];
                assert_eq!(root_from_inclusion(index, size, leaf, &proof), Some(root));
                for other in (0..size).filter(|other| *other != index) {
                    assert_ne!(root_from_inclusion(other, size, leaf, &proof), Some(root));
                }
                assert_ne!(root_from_inclusion(index, size, Hash::leaf(b"other"), &proof), Some(root));
                let mut longer = proof.clone();
                longer.push(leaf);
                assert_ne!(root_from_inclusion(index, size, leaf, &longer), Some(root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert_ne!(root_from_inclusion(index, size, leaf, shorter), Some(root));
                }
            }
        }
    }

    #[test]
    fn a_proof_of_something_that_no_tree_has_is_not_planned() {
        for (index, size) in [(0, 0), (1, 1), (5, 5), (u64::MAX, 5)] {
            assert!(ProofPlan::inclusion(index, size).is_none(), "entry {index} of {size}");
        }
        for (old, new) in [(0, 0), (0, 5), (6, 5), (u64::MAX, 5)] {
            assert!(ProofPlan::consistency(old, new).is_none(), "{old} to {new}");
        }
        assert_eq!(ProofPlan::consistency(5, 5).unwrap().ranges(), []);
        let leaf = Hash::leaf(b"only");
        assert_eq!(root_from_inclusion(0, 1, leaf, &[]), Some(leaf));
        for (index, size) in [(0, 0), (1, 1), (5, 5), (u64::MAX, 5)] {
            assert_eq!(root_from_inclusion(index, size, leaf, &[]), None);
            assert_eq!(root_from_inclusion(index, size, leaf, &[leaf]), None);
        }
        for (old, new) in [(0, 1), (0, 5), (2, 1), (6, 5)] {
            for proof in [&[][..], &[leaf], &[leaf, leaf], &[leaf; 3], &[leaf; 4]] {
                assert!(!verify_consistency(old, new, Hash::empty_tree(), leaf, proof), "{old} to {new}");
                assert!(!verify_consistency(old, new, leaf, leaf, proof), "{old} to {new}");
            }
        }
        assert!(verify_consistency(0, 0, Hash::empty_tree(), Hash::empty_tree(), &[]));
        assert!(!verify_consistency(1, 1, leaf, leaf, &[leaf]));
    }

    #[test]
    fn every_pair_of_small_trees_is_consistent_and_a_fork_is_not() {
        let all = leaves(40);
        let (_, rows) = grow(&all);
        for new in 1..=40u64 {
            let new_root = tree_hash(&all[..new as usize]);
            for old in 1..=new {
                let plan = ProofPlan::consistency(old, new).unwrap();
                let proof = plan.assemble(&fetch(&rows, plan.ranges())).unwrap();
                let old_root = tree_hash(&all[..old as usize]);
                assert!(verify_consistency(old, new, old_root, new_root, &proof), "{old} {new}");
                let forked = Hash::leaf(b"fork");
                assert!(!verify_consistency(old, new, forked, new_root, &proof));
                assert!(!verify_consistency(old, new, old_root, forked, &proof));
                for broken in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[broken] = forked;
                    assert!(!verify_consistency(old, new, old_root, new_root, &changed));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn large_trees_prove_across_tile_levels(size in 60_000u64..70_000, pick in any::<u64>(), old in any::<u64>()) {
            let all = leaves(size);
            let (frontier, rows) = grow(&all);
            let root = tree_hash(&all);
            prop_assert_eq!(frontier.root(), root);
            let loaded = Frontier::load(size, &fetch(&rows, &frontier_plan(size))).unwrap();
            prop_assert_eq!(&loaded, &frontier);
            let index = pick % size;
            let plan = ProofPlan::inclusion(index, size).unwrap();
            let proof = plan.assemble(&fetch(&rows, plan.ranges())).unwrap();
            prop_assert_eq!(root_from_inclusion(index, size, all[index as usize], &proof), Some(root));
            let old = old % size + 1;
            let plan = ProofPlan::consistency(old, size).unwrap();
            let proof = plan.assemble(&fetch(&rows, plan.ranges())).unwrap();
            prop_assert!(verify_consistency(old, size, tree_hash(&all[..old as usize]), root, &proof));
        }
    }
}
