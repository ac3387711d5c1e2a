//! TLS before a real server that speaks plain HTTP: one request a connection, without a body.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::reaper::Reaper;
use super::unique;

/// A front that speaks TLS as `localhost`.
pub(crate) struct Tls {
    port: u16,
    certificate: PathBuf,
}

impl Tls {
    /// A front before the server at `target`, `host:port`, under a certificate that nobody trusts
    /// who is not given it.
    pub(crate) fn before(target: &str) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = Reaper::shared().folder().join(unique("certificate.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("writing a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
            .expect("a certificate and its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = target.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (config, target) = (Arc::clone(&config), target.clone());
                // A client that does not trust the certificate ends the connection.
                thread::spawn(move || drop(pass(client, config, &target)));
            }
        });
        Self { port, certificate }
    }

    /// `https://localhost:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The file of the certificate, in PEM.
    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }
}

fn pass(client: TcpStream, config: Arc<ServerConfig>, target: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    head.truncate(head.len() - 2);
    head.extend(b"connection: close\r\n\r\n");
    let mut server = TcpStream::connect(target)?;
    server.write_all(&head)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
