//! A real schema registry: Apicurio, by its Confluent-compatible API, with its data in memory.
//!
//! Started by the first test that asks for it; it dies with the test process. `SCHEMA_REGISTRY_URL` names one to use instead.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Process;
use super::{env, jvm};

struct Registry {
    url: String,
    _process: Process,
}

impl Registry {
    fn start() -> Self {
        let (java, options) = jvm::java();
        let jar = jvm::servers("registry/registry.jar");
        let port = jvm::free_port();
        let mut command = Command::new(java);
        command.args(options);
        command.arg("-Dquarkus.http.host=127.0.0.1").arg(format!("-Dquarkus.http.port={port}"));
        command.arg("-Dquarkus.http.access-log.enabled=false");
        // It starts 20 connections to its own memory and unpacks files into the system's temporary folder.
        command.arg("-Dapicurio.datasource.jdbc.initial-size=1");
        command.arg("-Dapicurio.datasource.jdbc.min-size=1");
        let folder = super::reaper::Reaper::shared().folder().display().to_string();
        command.arg(format!("-Djava.io.tmpdir={folder}"));
        command.arg("-jar").arg(jar);
        let mut process = Process::spawn("registry", command);
        let url = format!("http://127.0.0.1:{port}/apis/ccompat/v7");
        jvm::wait_until_ready(&mut process, "Apicurio Registry", || {
            call("GET", &format!("{url}/subjects"), None).is_ok_and(|(status, _)| status == 200)
        });
        Self { url, _process: process }
    }
}

/// The base of the Confluent-compatible API of the registry that all tests share, without a slash at its end.
pub(crate) fn url() -> &'static str {
    static GIVEN: OnceLock<Option<String>> = OnceLock::new();
    static SHARED: OnceLock<Registry> = OnceLock::new();
    match GIVEN.get_or_init(|| env("SCHEMA_REGISTRY_URL")) {
        Some(given) => given.trim_end_matches('/'),
        None => &SHARED.get_or_init(Registry::start).url,
    }
}

fn call(method: &str, url: &str, body: Option<&Value>) -> Result<(u16, Value), ureq::Error> {
    let body = body.map_or_else(String::new, Value::to_string);
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(body)?;
    let config = ureq::Agent::config_builder();
    let config = config.http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
    let agent: ureq::Agent = config.build().into();
    let mut response = agent.run(request)?;
    let text = response.body_mut().read_to_string()?;
    let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((response.status().as_u16(), answer))
}

/// Status and JSON of one request; `path` begins with a slash.
///
/// # Panics
/// When there is no answer at all.
pub(crate) fn request(method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    call(method, &format!("{}{path}", url()), body)
        .unwrap_or_else(|error| panic!("{method} {path} of the schema registry: {error}"))
}

/// Registers an Avro schema; gives its id.
///
/// # Panics
/// When the registry refuses.
pub(crate) fn register(subject: &str, schema: &str) -> u64 {
    let path = format!("/subjects/{subject}/versions");
    let (status, answer) = request("POST", &path, Some(&json!({ "schema": schema })));
    let id = answer.get("id").and_then(Value::as_u64);
    id.unwrap_or_else(|| panic!("registering `{subject}`: {status} {answer}"))
}

/// The schema with this id.
///
/// # Panics
/// When the registry does not have it.
pub(crate) fn schema(id: u64) -> String {
    let (status, answer) = request("GET", &format!("/schemas/ids/{id}"), None);
    let schema = answer.get("schema").and_then(Value::as_str);
    schema.unwrap_or_else(|| panic!("reading schema {id}: {status} {answer}")).to_owned()
}
