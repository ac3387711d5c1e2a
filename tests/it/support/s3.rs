//! A real S3 server: `s3s-fs` on a free port of 127.0.0.1, in the process of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::oneshot;

use super::reaper::Reaper;
use super::{jvm, unique};

/// The key that the server knows.
pub(crate) const KEY: &str = "AKIASLUICETESTS";
/// Its secret.
pub(crate) const SECRET: &str = "a secret of the tests only";

/// What the server was asked.
#[derive(Default)]
struct Log {
    /// How often each key was asked for.
    asked: BTreeMap<String, usize>,
    /// Keys that it refuses.
    denied: BTreeSet<String>,
    /// Requests that are being looked at, and the most that ever were.
    open_count: usize,
    open_count_max: usize,
}

/// How long each request is looked at, so that requests at the same time can be counted.
const LOOK_TIME: Duration = Duration::from_millis(20);

#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Log>>);

impl Watch {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl S3Access for Watch {
    fn check<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        context: &'life1 mut S3AccessContext<'life2>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        let key = context.s3_path().get_object_key().map(str::to_owned).unwrap_or_default();
        let is_known = context.credentials().is_some();
        Box::pin(async move {
            let is_denied = {
                let mut log = self.log();
                *log.asked.entry(key.clone()).or_default() += 1;
                log.open_count += 1;
                log.open_count_max = log.open_count_max.max(log.open_count);
                log.denied.contains(&key)
            };
            tokio::time::sleep(LOOK_TIME).await;
            self.log().open_count -= 1;
            if is_denied || !is_known {
                return Err(s3_error!(AccessDenied, "no"));
            }
            Ok(())
        })
    }
}

/// A server with one bucket.
pub(crate) struct S3 {
    port: u16,
    root: PathBuf,
    bucket: String,
    watch: Watch,
    /// Ends the server when it is dropped.
    alive: Option<oneshot::Sender<()>>,
}

impl S3 {
    /// A server that runs.
    pub(crate) fn start() -> Self {
        let mut server = Self::away();
        server.come_back();
        server
    }

    /// A server that does not run yet; its port is free.
    pub(crate) fn away() -> Self {
        let root = Reaper::shared().folder().join(unique("s3"));
        let bucket = "documents".to_owned();
        std::fs::create_dir_all(root.join(&bucket)).expect("creating a bucket");
        Self { port: jvm::free_port(), root, bucket, watch: Watch::default(), alive: None }
    }

    /// Lets it run, on the same port and with the same objects.
    pub(crate) fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the port of the server");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let mut builder =
            S3ServiceBuilder::new(FileSystem::new(&self.root).expect("the folder of the server"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        builder.set_access(self.watch.clone());
        let service = builder.build();
        let (alive, ended) = oneshot::channel();
        self.alive = Some(alive);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a tokio runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, service) => {}
                    _ = ended => {}
                }
            });
            // Connections end with it.
            runtime.shutdown_background();
        });
    }

    /// Ends it, with all its connections.
    pub(crate) fn go_away(&mut self) {
        self.alive = None;
        super::wait_for("the port to be free", Duration::from_mins(1), || {
            TcpListener::bind(("127.0.0.1", self.port)).ok().map(drop)
        });
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts an object, whole at once.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.root.join(&self.bucket).join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creating a folder");
        let half = self.root.join(unique("half"));
        std::fs::write(&half, bytes).expect("writing an object");
        std::fs::rename(half, path).expect("putting an object");
    }

    /// Refuses this object from now on.
    pub(crate) fn deny(&self, key: &str) {
        self.watch.log().denied.insert(key.to_owned());
    }

    /// How often this object was asked for.
    pub(crate) fn asked(&self, key: &str) -> usize {
        self.watch.log().asked.get(key).copied().unwrap_or_default()
    }

    /// The most requests that it ever had at the same time.
    pub(crate) fn open_count_max(&self) -> usize {
        self.watch.log().open_count_max
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of tokio");
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let service = service.clone();
        drop(tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            // A client that goes away is no fault of the server.
            drop(connection.await);
        }));
    }
}

/// The environment that makes a worker ask the server at `address` with `secret`.
pub(crate) fn env<'a>(endpoint: &'a str, secret: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("SLUICE_CLAIM_LOOPBACK", "true"),
    ]
}
