//! An HTTP proxy before a real server that answers as a server in trouble does, and counts that.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// The server answers.
    Well,
    /// The connection is closed at once, as by a server that is down.
    Down,
    /// The server answers after so long.
    Slow(Duration),
    /// These bytes are the whole answer.
    Says(&'static str),
}

/// A proxy, well at first. One request a connection.
pub(crate) struct Proxy {
    address: String,
    mood: Arc<Mutex<Mood>>,
    ill_count: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy before the server at `target`, `host:port`.
    pub(crate) fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let mood = Arc::new(Mutex::new(Mood::Well));
        let ill_count = Arc::new(AtomicUsize::new(0));
        let (target, shared, count) =
            (target.to_owned(), Arc::clone(&mood), Arc::clone(&ill_count));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mood = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                let (target, count) = (target.clone(), Arc::clone(&count));
                thread::spawn(move || serve(client, mood, &target, &count));
            }
        });
        Self { address, mood, ill_count }
    }

    /// Where it listens, `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on it is in this mood, and its count begins anew.
    pub(crate) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
        self.ill_count.store(0, Ordering::SeqCst);
    }

    /// Requests that it has served ill in this mood.
    pub(crate) fn ill_count(&self) -> usize {
        self.ill_count.load(Ordering::SeqCst)
    }
}

fn serve(mut client: TcpStream, mood: Mood, target: &str, ill_count: &AtomicUsize) {
    if !matches!(mood, Mood::Well) {
        ill_count.fetch_add(1, Ordering::SeqCst);
    }
    match mood {
        Mood::Down => {}
        Mood::Well => forward(&mut client, target),
        Mood::Slow(time) => {
            thread::sleep(time);
            forward(&mut client, target);
        }
        Mood::Says(answer) => {
            drop(request_of(&mut client));
            drop(client.write_all(answer.as_bytes()));
        }
    }
}

/// Head and body of one request; `None` where it breaks off.
fn request_of(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut piece = [0; 4096];
        let read = client.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let left = length.unwrap_or(0).saturating_sub(body.len());
    let mut rest = vec![0; left];
    client.read_exact(&mut rest).ok()?;
    body.append(&mut rest);
    Some((head, body))
}

fn forward(client: &mut TcpStream, target: &str) {
    let Some((head, body)) = request_of(client) else { return };
    let Ok(mut server) = TcpStream::connect(target) else { return };
    // The server ends the connection with its answer, and the client then opens another one.
    let head = head.trim_end_matches("\r\n").to_owned() + "\r\nconnection: close\r\n\r\n";
    let sent = server.write_all(head.as_bytes()).and_then(|()| server.write_all(&body));
    if sent.is_ok() {
        drop(std::io::copy(&mut server, client));
    }
}
