//! A TCP gate before a real server: while it is shut, it takes connections and answers nothing, as a server does that hangs.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A gate, shut at first.
pub(crate) struct Gate {
    address: String,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    /// A gate before the server at `target`, `host:port`.
    pub(crate) fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let is_open = Arc::new(AtomicBool::new(false));
        let (target, open) = (target.to_owned(), Arc::clone(&is_open));
        thread::spawn(move || {
            let mut held = Vec::new();
            for client in listener.incoming().flatten() {
                if !open.load(Ordering::SeqCst) {
                    held.push(client);
                } else if let Ok(server) = TcpStream::connect(&target) {
                    join(&client, &server);
                    join(&server, &client);
                }
            }
        });
        Self { address, is_open }
    }

    /// Where the gate listens, `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Lets connections through from now on.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

fn join(from: &TcpStream, to: &TcpStream) {
    let mut from = from.try_clone().expect("a second handle");
    let mut to = to.try_clone().expect("a second handle");
    // The end of either side ends the connection.
    thread::spawn(move || drop(io::copy(&mut from, &mut to)));
}
