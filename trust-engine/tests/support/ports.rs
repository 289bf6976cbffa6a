//! Ports for servers of tests: below those that the system takes for connections, which may take a free one at any moment.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// A port that nobody listens on. Each process has a hundred of its own, more or less.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let port = 20_000 + std::process::id() % 100 * 100 + next % 100;
        let port = u16::try_from(port).unwrap_or(20_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
