//! A forwarder of TCP connections whose target can be moved, taken away or made to hang, as networks and load balancers do.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests, and each uses some of it"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
    hangs: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    /// `None`: connections are refused.
    target: Option<u16>,
    open: Vec<TcpStream>,
}

impl Proxy {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { target: Some(target), open: Vec::new() }));
        let hangs = Arc::new(AtomicBool::new(false));
        let (shared, hang) = (Arc::clone(&state), Arc::clone(&hangs));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = shared.lock().target;
                let Some(target) = target else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let mut state = shared.lock();
                // Moved meanwhile.
                if state.target != Some(target) {
                    continue;
                }
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                    state.open.push(stream.try_clone().unwrap());
                }
                drop(state);
                forward(client.try_clone().unwrap(), server.try_clone().unwrap(), &hang);
                forward(server, client, &hang);
            }
        });
        Self { port, state, hangs }
    }

    /// Lets connections stay open, also new ones, while nothing comes through.
    pub fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Cuts what is open and sends what comes elsewhere.
    pub fn aim(&self, target: Option<u16>) {
        let mut state = self.state.lock();
        state.target = target;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, hangs: &Arc<AtomicBool>) {
    let hangs = Arc::clone(hangs);
    std::thread::spawn(move || {
        let _ = from.set_read_timeout(Some(Duration::from_secs(600)));
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
