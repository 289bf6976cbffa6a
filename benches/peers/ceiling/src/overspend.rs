//! How much more than the limit is admitted: by threads that ask together, and around the edge of a window.

mod edge;
mod together;

use ceiling_peers::{ALL, Result};

/// The amount that one key may use in a window.
const LIMIT: u32 = 1000;

pub(crate) fn run() -> Result<()> {
    println!("| limit {LIMIT} | promises | 8 threads, by 1 | 8 threads, by 125 | any window, one thread |");
    println!("|---|---|--:|--:|--:|");
    for make in ALL {
        let (ones, many) = (together::run(*make, 1, 200)?, together::run(*make, 125, 2000)?);
        let contender = make(edge::CEILING)?;
        let edge = edge::run(contender.as_ref());
        println!(
            "| {} | {} | {ones} | {many} | {} |",
            contender.name(),
            contender.promises(),
            share(u64::try_from(edge)?)
        );
    }
    Ok(())
}

/// An amount and how many limits it is.
fn share(admitted: u64) -> String {
    // Far below 2^53, where it would be rounded.
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let limits = admitted as f64 / f64::from(LIMIT);
    format!("{admitted} = {limits:.3}×")
}
