//! A forwarder of TCP connections whose target can be moved or taken away, as networks and load balancers do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// `None`: connections are refused.
    target: Option<u16>,
    open: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { target: Some(target), open: Vec::new() }));
        let shared = Arc::clone(&state);
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
                forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                forward(server, client);
            }
        });
        Self { port, state }
    }

    /// Cuts what is open and sends what comes elsewhere.
    pub(crate) fn aim(&self, target: Option<u16>) {
        let mut state = self.state.lock();
        state.target = target;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = from.set_read_timeout(Some(Duration::from_secs(600)));
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
