//! Benches of trust-engine; see `benches/`.
