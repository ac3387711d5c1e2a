//! The registry's client: on a real registry what it promises, and on a server that misbehaves as
//! no real one can be made to, how it classes what goes wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sluice::config::pipeline::{Envelope, Format, Input, Output, Split, Tombstone};
use sluice::config::settings::{Credentials, Secret};
use sluice::decode::{Decoded, decode};
use sluice::error::{Fault, FaultClass};
use sluice::http::Patience;
use sluice::registry::schema::{DOCUMENT, DOCUMENT_1};
use sluice::registry::{Client, Endpoint, subject};
use sluice::sink::codec::{Codec, Form};
use sluice::types::{Delivery, Position, RejectCode, Sensitive};

use crate::schema::{sample, schemas};
use crate::support::{registry, unique};

fn client() -> Client {
    Client::new(Endpoint::at(registry::url())).expect("the URL is one")
}

fn output() -> Output {
    Output {
        record_topic: unique("records"),
        review_topic: unique("reviews"),
        reject_topic: unique("rejects"),
        audit_topic: Some(unique("audits")),
        format: Format::Avro,
        schema: "record.avsc".to_owned(),
        message_bytes_max: 1_000_000,
    }
}

fn connected(output: &Output, more: &[serde_json::Value]) -> Result<Codec, Fault> {
    Codec::connect(schemas(more), output, Some(&client()))
}

fn register(output: &Output, more: &[serde_json::Value]) {
    let schemas = schemas(more);
    let audit_topic = output.audit_topic.as_ref().expect("an audit");
    for (topic, schema) in [
        (&output.record_topic, &schemas.record),
        (&output.review_topic, &schemas.review),
        (audit_topic, &schemas.audit),
    ] {
        client().register(&subject(topic), &schema.json).expect("the registry takes it");
    }
}

#[test]
fn a_schema_that_is_not_registered_is_fatal_and_names_the_command() {
    let output = output();
    let fault = connected(&output, &[]).err().expect("nothing is registered");
    assert_eq!(fault.class, FaultClass::Fatal);
    let told = fault.chain();
    assert!(told.contains(&subject(&output.record_topic)), "{told}");
    assert!(told.contains("sluice schema register DIR"), "{told}");
}

#[test]
fn a_registered_schema_is_found_without_registering_and_its_records_read_back_by_id() {
    let output = output();
    register(&output, &[]);
    let codec = connected(&output, &[]).expect("all schemas are registered");
    let Form::Confluent { record, review, audit } = codec.form() else {
        panic!("a registry is there")
    };
    assert!(record != review && review != audit && audit != record);
    let body = codec.record(&sample()).expect("the record fits");
    assert_eq!(body[1..5], record.to_be_bytes());
    // Another process reads by the id alone.
    let client = client();
    let other = Codec::new(schemas(&[]), Form::SingleObject).expect("the schemas fit");
    let find = |id| client.schema_by_id(id).expect("the registry answers");
    let json = other.read(&body, &find).expect("the record reads");
    assert_eq!(json["title"], "Lease");
    assert_eq!(json, codec.read(&body, &|_| None).expect("the record reads"));
}

#[test]
fn registering_twice_gives_the_same_id_and_a_break_is_refused() {
    let (client, subject) = (client(), subject(&unique("twice")));
    let schema = |columns: serde_json::Value| {
        json!({"type": "record", "name": "R", "fields": columns}).to_string()
    };
    let one = schema(json!([{"name": "a", "type": "string"}]));
    assert_eq!(client.latest(&subject).expect("an answer"), None);
    assert!(client.is_compatible(&subject, &one).expect("an answer"));
    let id = client.register(&subject, &one).expect("the first");
    assert_eq!(client.register(&subject, &one).expect("the same"), id);
    assert_eq!(client.id_of(&subject, &one).expect("an answer"), Some(id));
    let path = format!("/config/{subject}");
    let (status, told) =
        registry::request("PUT", &path, Some(&json!({"compatibility": "BACKWARD"})));
    assert_eq!(status, 200, "{told}");
    let fits = schema(json!([{"name": "a", "type": "string"},
        {"name": "b", "type": "string", "default": ""}]));
    let breaks = schema(json!([{"name": "a", "type": "string"}, {"name": "b", "type": "string"}]));
    assert!(client.is_compatible(&subject, &fits).expect("an answer"));
    assert!(!client.is_compatible(&subject, &breaks).expect("an answer"));
    assert_eq!(client.register(&subject, &breaks).expect_err("a break").class, FaultClass::Fatal);
    assert_eq!(client.id_of(&subject, &fits).expect("an answer"), None);
    let newer = client.register(&subject, &fits).expect("compatible");
    let latest = client.latest(&subject).expect("an answer").expect("two versions");
    assert_eq!((latest.id, latest.version), (newer, 2));
    assert_ne!(newer, id);
}

/// No `document_id`, `content_type` text/plain, `content` words, no claim, no attributes.
const ENVELOPE: &[u8] = b"\0\x14text/plain\x02\x0awords\0\0\0\0";
/// The same under the first version of the schema, which knows no claims.
const ENVELOPE_1: &[u8] = b"\0\x14text/plain\x0awords\0";

fn enveloped(id: u32, binary: &[u8], client: &Client) -> Result<String, RejectCode> {
    let body = [[0].as_slice(), &id.to_be_bytes(), binary].concat();
    let delivery = Delivery {
        position: Position { topic: "in".into(), partition: 0, offset: 0 },
        key: None,
        body: Some(Sensitive::new(body)),
        headers: Vec::new(),
        sent: None,
    };
    let input = Input {
        topic: "in".to_owned(),
        group: None,
        envelope: Envelope::Avro,
        tombstone: Tombstone::Forward,
        document_bytes_max: 1024,
        parts_max: 1,
        split: Split::None,
        entry_bytes_max: 64,
        claims: None,
    };
    let decoded = decode(&delivery, &input, client).expect("the registry answers");
    match decoded.map_err(|reject| reject.code)? {
        Decoded::Parts(mut pieces) => {
            let document = pieces.remove(0).document.map_err(|reject| reject.code)?;
            Ok(String::from_utf8(document.bytes.to_vec()).expect("words"))
        }
        Decoded::Tombstone | Decoded::Claim(_) => panic!("the body holds its document"),
    }
}

#[test]
fn an_avro_envelope_is_read_by_its_id_and_an_unknown_id_is_a_reject() {
    let client = client();
    let subject = subject(&unique("documents"));
    let words = Ok("words".to_owned());
    // Senders of the first version and of this one, on one topic.
    let first = client.register(&subject, DOCUMENT_1).expect("the registry takes it");
    let id = client.register(&subject, DOCUMENT).expect("it is compatible with the first");
    assert_eq!(enveloped(first, ENVELOPE_1, &client), words);
    assert_eq!(enveloped(id, ENVELOPE, &client), words);
    let other = client.register(&subject_of_a_string(), r#""string""#).expect("a schema");
    assert_eq!(enveloped(other, ENVELOPE, &client), Err(RejectCode::SchemaUnknown));
    assert_eq!(enveloped(2_000_000_000, ENVELOPE, &client), Err(RejectCode::SchemaUnknown));
}

fn subject_of_a_string() -> String {
    subject(&unique("strings"))
}

/// A server that answers every request with `answer`, and counts them.
fn answering(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if take_request(&mut stream).is_some() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    (url, count)
}

/// Reads a request as a whole: where some of it is left unread, closing resets the connection.
fn take_request(stream: &mut TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut body_bytes = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
            body_bytes = length.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; body_bytes]).ok()
}

fn at(url: &str) -> Endpoint {
    let quick = Duration::from_millis(500);
    let patience = Patience { connect: quick, total: quick };
    Endpoint { patience, ..Endpoint::at(url) }
}

#[test]
fn what_goes_wrong_is_classed_by_whether_it_may_pass() {
    let retry = FaultClass::Retry;
    let fatal = FaultClass::Fatal;
    for (answer, class) in [
        ("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", retry),
        ("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", retry),
        ("HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n", retry),
        ("HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n", fatal),
        ("HTTP/1.1 403 X\r\ncontent-length: 0\r\n\r\n", fatal),
        ("HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", retry),
        ("HTTP/1.1 404 X\r\ncontent-length: 5\r\n\r\n<htm>", retry),
        ("HTTP/1.1 404 X\r\ncontent-length: 2\r\n\r\n{}", retry),
        ("HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n<htm>", retry),
        ("HTTP/1.1 200 X\r\ncontent-length: 99999999\r\n\r\n{", retry),
        ("nonsense\r\n\r\n", retry),
        ("", retry),
    ] {
        let (url, _) = answering(answer);
        let client = Client::new(at(&url)).expect("the URL is one");
        let fault = client.schema_by_id(7).expect_err("no schema");
        assert_eq!(fault.class, class, "{answer:?}: {}", fault.chain());
        let fault = client.id_of("s", "\"string\"").expect_err("no id");
        assert_eq!(fault.class, class, "{answer:?}: {}", fault.chain());
    }
}

#[test]
fn a_registry_that_is_silent_or_gone_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let client = Client::new(at(&format!("http://{address}"))).expect("the URL is one");
    let start = Instant::now();
    let silent = client.schema_by_id(7).expect_err("silence");
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(listener);
    let gone = client.schema_by_id(7).expect_err("nobody listens");
    assert_eq!((silent.class, gone.class), (FaultClass::Retry, FaultClass::Retry));
}

#[test]
fn ids_are_asked_for_once_known_or_not() {
    let found = "HTTP/1.1 200 X\r\ncontent-length: 23\r\n\r\n{\"schema\":\"\\\"string\\\"\"}";
    let foreign = "HTTP/1.1 200 X\r\ncontent-length: 44\r\n\r\n\
                   {\"schema\":\"\\\"string\\\"\",\"schemaType\":\"PROTO\"}";
    let missing = "HTTP/1.1 404 X\r\ncontent-length: 20\r\n\r\n{\"error_code\":40403}";
    for (answer, is_known) in [(found, true), (foreign, false), (missing, false)] {
        let (url, count) = answering(answer);
        let client = Client::new(at(&url)).expect("the URL is one");
        for _ in 0..3 {
            assert_eq!(client.schema_by_id(7).expect("an answer").is_some(), is_known);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn credentials_are_sent_and_never_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut request = [0; 4096];
        let length = stream.read(&mut request).expect("a request");
        stream.write_all(b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n").expect("an answer");
        String::from_utf8_lossy(&request[..length]).to_ascii_lowercase()
    });
    let password = Secret::new("open sesame".to_owned());
    let credentials = Some(Credentials::Basic { user: "Aladdin".to_owned(), password });
    let client = Client::new(Endpoint { credentials, ..at(&url) }).expect("the URL is one");
    let told = client.schema_by_id(7).expect_err("401").chain();
    // The example of RFC 7617, section 2.
    let expected = "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_ascii_lowercase();
    assert!(server.join().expect("the server").contains(&expected));
    assert!(!told.contains("sesame") && !told.contains("QWxh"), "{told}");
}
