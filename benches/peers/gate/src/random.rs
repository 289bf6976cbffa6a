//! A small generator of random numbers, so that a seed means the same case for ever.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// Yes, `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `values`; `None` when there is none.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> Option<&'a T> {
        values.get(self.below(values.len()))
    }

    /// Up to `most` different ones of `values`, at least one, in their order.
    pub fn some<T: Clone>(&mut self, values: &[T], most: usize) -> Vec<T> {
        let mut wanted = 1 + self.below(most.min(values.len()));
        let mut picked = Vec::with_capacity(wanted);
        for (at, value) in values.iter().enumerate() {
            if self.below(values.len() - at) < wanted {
                picked.push(value.clone());
                wanted -= 1;
            }
        }
        picked
    }
}
