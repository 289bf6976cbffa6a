//! Measures the cost of a check, and by how much a limit can be overspent.
//!
//! ```sh
//! cd benches/peers/ceiling
//! cargo test                        # one caller gets the same answers from all
//! cargo run --release               # nanoseconds per check; a minute
//! cargo run --release -- overspend  # admitted beside limit; a minute
//! ```
//!
//! Both print a Markdown table. The machine should have nothing else to do; the load average is printed with it.

mod overspend;
mod speed;

use ceiling_peers::Result;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None | Some("speed") => speed::run()?,
        Some("overspend") => overspend::run()?,
        Some(other) => return Err(format!("neither speed nor overspend: {other}").into()),
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\n{} processors, load average {load}", std::thread::available_parallelism()?);
    Ok(())
}
