//! An HTTPS server on 127.0.0.1 for one test: what it answers is the test's, or another server's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::keys::Keys;

/// Limit: how long either side of a connection may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One request as it came.
pub(crate) struct Request {
    /// First line and headers, with the blank line behind them.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }
}

/// Serves `answer` by TLS with the certificate of `keys` until the process ends; gives the address.
/// With `asks`, a client without a certificate of `keys` is turned away.
pub(crate) fn serve(
    keys: &Keys,
    asks: bool,
    answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
) -> String {
    let config = Arc::new(config(keys, asks));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
            std::thread::spawn(move || converse(socket, config, &*answer));
        }
    });
    address
}

fn config(keys: &Keys, asks: bool) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(keys.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(keys.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(keys.path("ca.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(vec![certificate], key).unwrap()
}

/// One request and its answer; a client that goes away or does not trust us is its own affair.
fn converse(socket: TcpStream, config: Arc<ServerConfig>, answer: &dyn Fn(&Request) -> Vec<u8>) {
    socket.set_read_timeout(Some(SILENCE_MAX)).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let Some(request) = read(&mut stream) else { return turned_away(stream.sock) };
    if stream.write_all(&answer(&request)).is_ok() {
        stream.conn.send_close_notify();
        stream.flush().ok();
    }
}

/// Ends a conversation that was refused. What the client still sends is read, or the kernel would
/// break the connection before the client has seen why.
fn turned_away(mut socket: TcpStream) {
    socket.shutdown(Shutdown::Write).ok();
    std::io::copy(&mut socket, &mut std::io::sink()).ok();
}

fn read(from: &mut impl Read) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let mut request = Request { head: String::from_utf8(head).ok()?, body: Vec::new() };
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    from.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// A response with this status and JSON body.
pub(crate) fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What the server at `url` answers to `request`, byte for byte.
pub(crate) fn passed_on(request: &Request, url: &str) -> Vec<u8> {
    let address = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(SILENCE_MAX)).unwrap();
    let head = request.head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&request.body).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}
