//! Whose fault a failed fetch is: files, and servers that misbehave as no real store can be made to.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Got, Setup, Stores, Trial};
use crate::config::claims::Claims;
use crate::config::settings::Secret;
use crate::error::{Fault, FaultClass};
use crate::types::{Claim, Digest, RejectCode, Uri};

const WORDS: &[u8] = b"This lease";
/// Headers that every object has.
const META: &str = "last-modified: Fri, 27 Nov 2026 10:00:00 GMT\r\netag: \"1\"\r\n";

fn claims(allow: &str) -> Claims {
    let claims = serde_json::json!({
        "allow": [allow], "connect_timeout_ms": 500, "idle_timeout_ms": 500,
        "total_timeout_ms": 2_000, "settle_timeout_ms": 0,
    });
    serde_json::from_value(claims).unwrap()
}

fn claim(uri: &str) -> Claim {
    Claim {
        uri: Uri::parse(uri).unwrap_or_else(|why| panic!("{uri} {why}")),
        size_bytes: WORDS.len(),
        sha256: Digest::of(WORDS),
    }
}

fn files(allow: &str) -> Stores {
    Stores::open(&Setup { claims: &claims(allow), allows_loopback: false, variables: &[] }).unwrap()
}

/// The code of the refusal, or the words.
fn once(stores: &Stores, claim: &Claim) -> Result<Result<Vec<u8>, RejectCode>, Fault> {
    Ok(match stores.fetch(claim, &mut Trial::default(), &|| true)? {
        Got::Bytes(bytes) => Ok(bytes),
        Got::Refused(reject) => {
            assert!(!reject.detail.contains("jane"), "{}", reject.detail);
            Err(reject.code)
        }
        Got::Unsettled | Got::Unwanted => panic!("nothing is to be waited for"),
    })
}

#[test]
fn a_file_is_read_from_below_its_folder_and_from_nowhere_else() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    for folder in ["in/deep", "in-old", "secret"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["in/a", "in/deep/b c", "in-old/a", "secret/a"] {
        fs::write(root.join(file), WORDS).unwrap();
    }
    fs::write(root.join("in/other"), b"That lease").unwrap();
    fs::write(root.join("in/short"), b"This").unwrap();
    fs::write(root.join("in/long"), b"This lease is long").unwrap();
    for (link, to) in [
        ("in/inner", "in/a"),
        ("in/outer", "secret/a"),
        ("in/hole", "secret"),
        ("in/loop", "in/loop"),
    ] {
        symlink(root.join(to), root.join(link)).unwrap();
    }
    let pipe = root.join("in/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let folder = format!("file://{}/in", root.display());
    let stores = files(&folder);
    let read = |name: &str| once(&stores, &claim(&format!("{folder}/{name}"))).unwrap();
    for name in ["a", "deep/b%20c", "inner"] {
        assert_eq!(read(name), Ok(WORDS.to_vec()), "{name}");
    }
    for (name, code) in [
        ("outer", RejectCode::ClaimForbidden),
        ("hole/a", RejectCode::ClaimForbidden),
        ("deep", RejectCode::ClaimForbidden),
        ("pipe", RejectCode::ClaimForbidden),
        ("loop", RejectCode::ClaimForbidden),
        (&"a".repeat(300), RejectCode::ClaimForbidden),
        ("gone", RejectCode::ClaimNotFound),
        ("a/b", RejectCode::ClaimNotFound),
        ("other", RejectCode::ClaimMismatch),
        ("short", RejectCode::ClaimMismatch),
        ("long", RejectCode::ClaimMismatch),
    ] {
        assert_eq!(read(name), Err(code), "{name}");
    }
    let beside = claim(&format!("file://{}/in-old/a", root.display()));
    assert_eq!(once(&stores, &beside).unwrap(), Err(RejectCode::ClaimForbidden));
    fs::rename(root.join("in"), root.join("away")).unwrap();
    let fault = once(&stores, &claim(&format!("{folder}/a"))).unwrap_err();
    assert_eq!(fault.class, FaultClass::Retry, "a folder that is not mounted");
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let allow = format!("file://{}", folder.path().canonicalize().unwrap().display());
    let waiting = Claims { settle_timeout_ms: 600_000, ..claims(&allow) };
    let setup = Setup { claims: &waiting, allows_loopback: false, variables: &[] };
    let stores = Stores::open(&setup).unwrap();
    let (claim, mut trial) = (claim(&format!("{allow}/a")), Trial::default());
    let mut fetch = || stores.fetch(&claim, &mut trial, &|| true).unwrap();
    assert!(matches!(fetch(), Got::Unsettled), "missing");
    fs::write(folder.path().join("a"), &WORDS[..4]).unwrap();
    assert!(matches!(fetch(), Got::Unsettled), "written by half");
    fs::write(folder.path().join("a"), WORDS).unwrap();
    assert!(matches!(fetch(), Got::Bytes(bytes) if bytes == WORDS));
}

/// A server that gives `answer` to every request, and counts them.
fn answering(answer: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8192];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    (url, count)
}

fn variables(endpoint: &str) -> Vec<(String, Secret)> {
    let pairs = [
        ("aws_endpoint_url", endpoint),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "open-sesame"),
        ("aws_allow_http", "true"),
        ("aws_no_such_setting", "x"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).to_vec()
}

fn store(endpoint: &str) -> Result<Stores, Fault> {
    let claims = claims("s3://leases/in");
    Stores::open(&Setup { claims: &claims, allows_loopback: true, variables: &variables(endpoint) })
}

fn lease() -> Claim {
    claim("s3://leases/in/jane.pdf")
}

fn ok(more: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{META}{more}\r\n{body}")
}

#[test]
fn an_answer_about_the_document_is_its_own_fault() {
    let words = std::str::from_utf8(WORDS).unwrap();
    for (answer, expected) in [
        (ok("content-length: 10\r\n", words), Ok(WORDS.to_vec())),
        (ok("content-length: 10\r\n", "That lease"), Err(RejectCode::ClaimMismatch)),
        (ok("content-length: 4\r\n", "This"), Err(RejectCode::ClaimMismatch)),
        (ok("content-length: 99999999999\r\n", "This"), Err(RejectCode::ClaimMismatch)),
        (error(404, "NoSuchKey"), Err(RejectCode::ClaimNotFound)),
    ] {
        let (url, count) = answering(answer.clone());
        assert_eq!(once(&store(&url).unwrap(), &lease()).unwrap(), expected, "{answer}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

fn error(status: u16, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Key>in/jane.pdf</Key></Error>");
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_answer_about_anything_else_is_tried_again_and_told_without_the_key() {
    let (elsewhere, redirected) = answering(ok("content-length: 10\r\n", "This lease"));
    let to = format!("location: {elsewhere}/leases/in/jane.pdf\r\ncontent-length: 0\r\n\r\n");
    for (answer, word) in [
        (error(404, "NoSuchBucket"), "no such bucket"),
        (error(403, "AccessDenied"), "denies access"),
        (error(403, "SignatureDoesNotMatch"), "credentials"),
        (error(401, "Unauthorized"), "credentials"),
        (error(400, "ExpiredToken"), "status 400"),
        (error(500, "InternalError"), "status 500"),
        (error(503, "SlowDown"), "status 503"),
        (error(429, "TooManyRequests"), "status 429"),
        (format!("HTTP/1.1 302 X\r\n{to}"), "redirect"),
        (format!("HTTP/1.1 307 X\r\n{to}"), "redirect"),
        (ok("content-length: 10\r\n", "This"), "broke off"),
        ("nonsense\r\n\r\n".to_owned(), "`s3://leases`"),
        (String::new(), "`s3://leases`"),
    ] {
        let (url, _) = answering(answer.clone());
        let fault =
            once(&store(&url).unwrap(), &lease()).err().unwrap_or_else(|| panic!("{answer}"));
        let told = fault.chain();
        assert_eq!(fault.class, FaultClass::Retry, "{answer}: {told}");
        assert!(told.contains(word), "{answer}: {told}");
        assert!(!told.contains("jane") && !told.contains("sesame"), "{told}");
    }
    assert_eq!(redirected.load(Ordering::SeqCst), 0, "a redirect was followed");
}

#[test]
fn a_store_that_is_gone_silent_or_slow_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let since = Instant::now();
    let silent = once(&store(&url).unwrap(), &lease()).unwrap_err();
    drop(listener);
    let gone = once(&store(&url).unwrap(), &lease()).unwrap_err();
    for fault in [silent, gone] {
        assert_eq!(fault.class, FaultClass::Retry, "{}", fault.chain());
    }
    assert!(since.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_body_without_end_is_cut_at_what_is_claimed() {
    let chunks = "a\r\nThis lease\r\n".repeat(1000);
    let answer = ok("content-length: 10\r\ntransfer-encoding: chunked\r\n", &chunks);
    let (url, _) = answering(answer);
    match once(&store(&url).unwrap(), &lease()) {
        Ok(Err(code)) => assert_eq!(code, RejectCode::ClaimMismatch),
        Err(fault) => assert_eq!(fault.class, FaultClass::Retry),
        Ok(Ok(_)) => panic!("more than the claimed bytes were taken for them"),
    }
}

#[test]
fn what_nobody_wants_any_more_is_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stores = store(&url).unwrap();
    let got = stores.fetch(&lease(), &mut Trial::default(), &|| false).unwrap();
    assert!(matches!(got, Got::Unwanted));
}

#[test]
fn one_document_is_denied_only_where_the_store_serves_others() {
    for refusal in [error(403, "AccessDenied"), error(400, "InvalidRequest"), error(409, "X")] {
        denied_beside_another(refusal);
    }
}

/// The server gives what lies under the first key and answers so for the other.
fn denied_beside_another(refusal: String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8192];
            let read = stream.read(&mut request).unwrap_or_default();
            let is_open = String::from_utf8_lossy(&request[..read]).contains("/in/open.pdf");
            let body = ok("content-length: 10\r\nconnection: close\r\n", "This lease");
            drop(stream.write_all(if is_open { &body } else { &refusal }.as_bytes()));
        }
    });
    let stores = store(&url).unwrap();
    let mut trial = Trial::default();
    let mut denied = || stores.fetch(&lease(), &mut trial, &|| true);
    assert_eq!(denied().err().map(|fault| fault.class), Some(FaultClass::Retry));
    assert!(once(&stores, &claim("s3://leases/in/open.pdf")).unwrap().is_ok());
    match denied() {
        Ok(Got::Refused(reject)) => assert_eq!(reject.code, RejectCode::ClaimDenied),
        _ => panic!("its neighbour was served since"),
    }
}

#[test]
fn an_endpoint_that_serves_secrets_is_fatal_at_the_start() {
    let claims = claims("s3://leases/in");
    for (endpoint, word) in [
        ("http://169.254.169.254", "metadata"),
        ("http://[fd00:ec2::254]", "metadata"),
        ("http://metadata.google.internal", "metadata"),
        ("http://127.0.0.1:9", "--claim-loopback"),
    ] {
        let variables = variables(endpoint);
        let setup = Setup { claims: &claims, allows_loopback: false, variables: &variables };
        let fault = Stores::open(&setup).err().unwrap();
        assert!(
            fault.class == FaultClass::Fatal && fault.chain().contains(word),
            "{}",
            fault.chain()
        );
    }
    // A name that resolves to one is found out when it is asked for.
    let (url, count) = answering(ok("content-length: 10\r\n", "This lease"));
    let variables = variables(&url.replace("127.0.0.1", "localhost"));
    let setup = Setup { claims: &claims, allows_loopback: false, variables: &variables };
    let fault = once(&Stores::open(&setup).unwrap(), &lease()).unwrap_err();
    assert!(fault.chain().contains("refused"), "{}", fault.chain());
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn the_stores_of_google_and_azure_are_opened_and_asked() {
    let variables = |pairs: &[(&str, &str)]| -> Vec<(String, Secret)> {
        let owned =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new((*value).to_owned()));
        pairs.iter().map(owned).collect()
    };
    for scheme in ["gs", "az"] {
        let (url, count) = answering(ok("content-length: 10\r\n", "This lease"));
        let pairs = match scheme {
            "gs" => variables(&[("google_base_url", &url), ("google_skip_signature", "true")]),
            _ => variables(&[
                ("azure_storage_account_name", "leases"),
                ("azure_storage_endpoint", &url),
                ("azure_storage_account_key", "c2VzYW1l"),
                ("azure_allow_http", "true"),
            ]),
        };
        let claims = claims(&format!("{scheme}://leases/in"));
        let setup = Setup { claims: &claims, allows_loopback: true, variables: &pairs };
        let stores = Stores::open(&setup).unwrap_or_else(|fault| panic!("{}", fault.chain()));
        let got = once(&stores, &claim(&format!("{scheme}://leases/in/jane.pdf")));
        let got = got.unwrap_or_else(|fault| panic!("{scheme}: {}", fault.chain()));
        assert_eq!((got, count.load(Ordering::SeqCst)), (Ok(WORDS.to_vec()), 1), "{scheme}");
    }
}
