//! TLS, SASL and tokens: a real broker that asks for them, a real registry behind TLS, and what an
//! operator is told where they are wrong.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::broker::{Broker, More};
use crate::support::flow::{Flow, contracts, short_contract};
use crate::support::kafka;
use crate::support::keys::{AUDIENCE, ISSUER, Issuer, Keys};
use crate::support::process::Process;
use crate::support::tls::{self, passed_on, response};
use crate::support::{jvm, registry, unique, wait_for};

const LONG: Duration = Duration::from_mins(3);
/// The password of the SCRAM user `worker`.
const PASSWORD: &str = "correct-horse-battery";
/// The secret of the client `sluice` of the token endpoint.
const CLIENT_SECRET: &str = "staple:of a client";

/// Names after `SLUICE_KAFKA_`, with their values.
type Variables<'a> = [(&'a str, &'a str)];

/// A broker with a listener for each way to prove who one is.
struct Secure {
    broker: Broker,
    keys: Keys,
    issuer: Issuer,
    mutual: String,
    scram: String,
    oauth: String,
    _folder: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let (keys, issuer) = (Keys::new(), Issuer::new());
        let folder = tempfile::tempdir().unwrap();
        let key_set = folder.path().join("keys.json");
        issuer.write_key_set(&key_set);
        let key_set = format!("file://{}", key_set.display());
        let [mutual, scram, oauth] =
            std::array::from_fn(|_| format!("127.0.0.1:{}", jvm::free_port()));
        let (pair, roots) = (keys.text("server-both.pem"), keys.text("ca.pem"));
        let login = |module: &str| format!("org.apache.kafka.common.security.{module} required ;");
        let (by_scram, by_token) =
            (login("scram.ScramLoginModule"), login("oauthbearer.OAuthBearerLoginModule"));
        let settings = [
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,SCRAM:SASL_SSL,OAUTH:SASL_SSL",
            ),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &pair),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &roots),
            ("listener.name.mutual.ssl.client.auth", "required"),
            ("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512"),
            ("listener.name.scram.scram-sha-256.sasl.jaas.config", &by_scram),
            ("listener.name.scram.scram-sha-512.sasl.jaas.config", &by_scram),
            ("listener.name.oauth.sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("listener.name.oauth.oauthbearer.sasl.jaas.config", &by_token),
            (
                "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
            ),
            ("listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url", &key_set),
            ("listener.name.oauth.sasl.oauthbearer.expected.audience", AUDIENCE),
            ("listener.name.oauth.sasl.oauthbearer.expected.issuer", ISSUER),
        ];
        let user = |mechanism: &str| {
            format!("--add-scram '{mechanism}=[name=worker,password={PASSWORD}]'")
        };
        let broker = Broker::start_with(&More {
            settings: &settings,
            listeners: &format!(",MUTUAL://{mutual},SCRAM://{scram},OAUTH://{oauth}"),
            format: &format!("{} {}", user("SCRAM-SHA-256"), user("SCRAM-SHA-512")),
            java: Some(&format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={key_set}")),
        });
        Self { broker, keys, issuer, mutual, scram, oauth, _folder: folder }
    }

    /// Variables for `protocol`, with our authority.
    fn variables(&self, protocol: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| (format!("SLUICE_KAFKA_{name}"), (*value).into());
        let roots = self.keys.text("ca.pem");
        let fixed = [("SECURITY_PROTOCOL", protocol), ("SSL_CA_LOCATION", &roots)];
        fixed.iter().chain(more).map(own).collect()
    }

    /// A pipeline on this broker with one document on its input topic.
    fn flow(&self) -> Flow {
        let flow = Flow::at(self.broker.address());
        self.produce(&flow, 1);
        flow
    }

    fn produce(&self, flow: &Flow, number: usize) {
        let producer = kafka::producer(&[("bootstrap.servers", self.broker.address())]);
        kafka::send_all(&producer, &flow.input, &[short_contract(number)]);
    }

    /// Waits for so many outcomes of `flow`; the worker must live meanwhile.
    fn wait_for(&self, flow: &Flow, count: usize, worker: &mut Process) {
        wait_for(&format!("{count} outcomes"), LONG, || {
            assert!(worker.exited().is_none(), "the worker ended\n{}", worker.tail());
            (self.outcomes(flow) >= count).then_some(())
        });
    }

    /// Committed outcomes of `flow`, read past every security.
    fn outcomes(&self, flow: &Flow) -> usize {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address()).set("group.id", unique("reader"));
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let reader: BaseConsumer = config.create().unwrap();
        let mut topics = TopicPartitionList::new();
        for topic in [&flow.record, &flow.review, &flow.reject] {
            topics.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        }
        reader.assign(&topics).unwrap();
        let (mut ends, mut count) = (0, 0);
        while ends < 3 {
            match reader.poll(LONG) {
                Some(Ok(_)) => count += 1,
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
                other => panic!("reading outcomes: {other:?}"),
            }
        }
        count
    }
}

/// Starts a worker with these variables at `address`.
fn worker(flow: &Flow, address: &str, variables: &[(String, String)]) -> Process {
    let prefix = unique("secure");
    let args = [
        "run",
        flow.dir(),
        "--brokers",
        address,
        "--listen",
        "127.0.0.1:0",
        "--transactional-prefix",
        &prefix,
        "--log",
        "trace",
        // librdkafka tells all that it does to prove who it is.
        "--kafka",
        "debug=security,conf",
    ];
    let mut all = vec![("SLUICE_INSTANCE", "a")];
    all.extend(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Process::sluice(&args, &all)
}

fn file(folder: &tempfile::TempDir, name: &str, words: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    std::fs::write(&path, words).unwrap();
    let text = path.display().to_string();
    (path, text)
}

/// A token endpoint with a certificate of `keys`, which knows one client and gives tokens of
/// `issuer`.
fn token_endpoint(keys: &Keys, issuer: &Issuer) -> String {
    use base64::Engine as _;
    let pair = "sluice:staple%3Aof%20a%20client";
    let known = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let token = issuer.token("sluice-client", 600);
    let address = tls::serve(keys, false, move |request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let is_asked = request.head.starts_with("POST /token ")
            && form == "grant_type=client_credentials&scope=kafka";
        match (is_asked, request.header("authorization") == known) {
            (false, _) => response(400, r#"{"error": "invalid_request"}"#),
            (true, false) => response(401, r#"{"error": "invalid_client"}"#),
            (true, true) => response(
                200,
                &serde_json::json!({"access_token": token, "token_type": "Bearer", "expires_in": 600})
                    .to_string(),
            ),
        }
    });
    format!("https://{address}/token")
}

/// Nothing that a worker has said holds one of these.
fn assert_untold(worker: &Process, secrets: &[&str]) {
    let told = worker.stderr() + &worker.stdout();
    assert!(told.contains("librdkafka"), "the log is there\n{told}");
    for secret in secrets {
        assert!(!told.contains(secret), "the log tells `{secret}`");
    }
}

#[test]
fn documents_pass_by_every_way_to_prove_who_one_is() {
    let secure = Secure::start();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (secure.keys.text("client.pem"), secure.keys.text("client.key"));
    let (_, password) = file(&folder, "password", &format!("{PASSWORD}\n"));
    let endpoint = token_endpoint(&secure.keys, &secure.issuer);
    let (_, secret) = file(&folder, "secret", CLIENT_SECRET);
    let roots = secure.keys.text("ca.pem");
    let mutual = [("SSL_CERTIFICATE_LOCATION", certificate.as_str()), ("SSL_KEY_LOCATION", &key)];
    let key_in_file = [mutual[0], ("SSL_KEY_PEM_FILE", &key)];
    let by_file = [
        ("SASL_MECHANISM", "SCRAM-SHA-256"),
        ("SASL_USERNAME", "worker"),
        ("SASL_PASSWORD_FILE", &password),
    ];
    let by_variable =
        [("SASL_MECHANISM", "SCRAM-SHA-512"), by_file[1], ("SASL_PASSWORD", PASSWORD)];
    let by_client = [
        ("SASL_MECHANISM", "OAUTHBEARER"),
        ("SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", endpoint.as_str()),
        ("SASL_OAUTHBEARER_CLIENT_ID", "sluice"),
        ("SASL_OAUTHBEARER_CLIENT_SECRET_FILE", &secret),
        ("SASL_OAUTHBEARER_SCOPE", "kafka"),
        ("HTTPS_CA_LOCATION", &roots),
    ];
    let ways: [(&str, &str, &Variables<'_>); 5] = [
        (&secure.mutual, "ssl", &mutual),
        (&secure.mutual, "ssl", &key_in_file),
        (&secure.scram, "sasl_ssl", &by_file),
        (&secure.scram, "sasl_ssl", &by_variable),
        (&secure.oauth, "sasl_ssl", &by_client),
    ];
    for (address, protocol, more) in ways {
        let flow = secure.flow();
        let mut worker = worker(&flow, address, &secure.variables(protocol, more));
        secure.wait_for(&flow, 1, &mut worker);
        worker.sigterm();
        assert!(worker.wait(LONG).success(), "{more:?}\n{}", worker.tail());
        assert_untold(&worker, &[PASSWORD, CLIENT_SECRET, "PRIVATE KEY", "eyJ"]);
    }
}

#[test]
fn a_token_in_a_file_is_read_again_before_it_ends() {
    let secure = Secure::start();
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = file(&folder, "token", &secure.issuer.token("first", 20));
    let variables = [("SASL_MECHANISM", "OAUTHBEARER"), ("OAUTH_TOKEN_FILE", text.as_str())];
    let flow = secure.flow();
    let mut worker = worker(&flow, &secure.oauth, &secure.variables("sasl_ssl", &variables));
    // As Kubernetes does it: a new file takes the place of the old one, long before that ends.
    let next = folder.path().join("next");
    let renew = || {
        std::fs::write(&next, secure.issuer.token("renewed", 20)).unwrap();
        std::fs::rename(&next, &path).unwrap();
        std::thread::sleep(Duration::from_secs(2));
    };
    // Source and sink each at the start, and each again.
    wait_for("tokens that are taken again", LONG, || {
        renew();
        assert!(worker.exited().is_none(), "the worker ended\n{}", worker.tail());
        let taken = worker.logs().iter().filter(|line| line["subject"] == "renewed").count();
        (taken >= 4).then_some(())
    });
    secure.produce(&flow, 2);
    secure.wait_for(&flow, 2, &mut worker);
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    assert_untold(&worker, &["eyJ"]);
}

#[test]
fn a_worker_that_is_refused_ends_and_names_the_setting_and_no_secret() {
    let secure = Secure::start();
    let folder = tempfile::tempdir().unwrap();
    let strangers = (Keys::new(), Issuer::new());
    let (_, expired) = file(&folder, "expired", &secure.issuer.token("late", -60));
    let (_, foreign) = file(&folder, "foreign", &strangers.1.token("stranger", 600));
    let endpoint = token_endpoint(&secure.keys, &secure.issuer);
    let (wrong_roots, roots) = (strangers.0.text("ca.pem"), secure.keys.text("ca.pem"));
    let wrong = "wrong-horse-battery";
    let oauth = ("SASL_MECHANISM", "OAUTHBEARER");
    let scram = [("SASL_MECHANISM", "SCRAM-SHA-256"), ("SASL_USERNAME", "worker")];
    let cases: [(&str, &str, Box<Variables<'_>>, &str); 6] = [
        (
            &secure.scram,
            "sasl_ssl",
            [scram.as_slice(), &[("SASL_PASSWORD", PASSWORD), ("SSL_CA_LOCATION", &wrong_roots)]]
                .concat()
                .into(),
            "SLUICE_KAFKA_SSL_CA_LOCATION",
        ),
        (&secure.mutual, "ssl", Box::new([]), "SLUICE_KAFKA_SSL_CERTIFICATE_LOCATION"),
        (
            &secure.scram,
            "sasl_ssl",
            [scram.as_slice(), &[("SASL_PASSWORD", wrong)]].concat().into(),
            "SLUICE_KAFKA_SASL_PASSWORD_FILE",
        ),
        (
            &secure.oauth,
            "sasl_ssl",
            Box::new([oauth, ("OAUTH_TOKEN_FILE", &expired)]),
            "s ago; renew it",
        ),
        (
            &secure.oauth,
            "sasl_ssl",
            Box::new([oauth, ("OAUTH_TOKEN_FILE", &foreign)]),
            "SLUICE_KAFKA_OAUTH_TOKEN_FILE",
        ),
        (
            &secure.oauth,
            "sasl_ssl",
            Box::new([
                oauth,
                ("SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", &endpoint),
                ("SASL_OAUTHBEARER_CLIENT_ID", "sluice"),
                ("SASL_OAUTHBEARER_CLIENT_SECRET", wrong),
                ("SASL_OAUTHBEARER_SCOPE", "kafka"),
                ("HTTPS_CA_LOCATION", &roots),
            ]),
            "`invalid_client`; check SLUICE_KAFKA_SASL_OAUTHBEARER_CLIENT_ID",
        ),
    ];
    // Side by side, since each takes its time to give up.
    let workers: Vec<_> = cases
        .iter()
        .map(|(address, protocol, more, words)| {
            let flow = Flow::at(secure.broker.address());
            let worker = worker(&flow, address, &secure.variables(protocol, more));
            (flow, worker, *words)
        })
        .collect();
    for (_flow, mut worker, words) in workers {
        assert_eq!(worker.wait(LONG).code(), Some(1), "{words}\n{}", worker.tail());
        let told = worker.stderr();
        let last = told.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(last.contains(words), "{words}\n{last}");
        assert_untold(&worker, &[PASSWORD, wrong, "eyJ"]);
    }
}

/// Runs `sluice schema register` on the contracts against `url`.
fn register(url: &str, variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["schema", "register"]).arg(contracts()).args(["--registry", url]).args(args);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn a_registry_behind_tls_takes_a_password_a_token_or_a_certificate() {
    let keys = Keys::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let url = |asks: bool| {
        let seen = Arc::clone(&seen);
        let address = tls::serve(&keys, asks, move |request| {
            let proof = request.header("authorization").to_owned();
            // `Basic` is user:open sesame.
            let is_known = asks
                || ["Basic dXNlcjpvcGVuIHNlc2FtZQ==", "Bearer second"].contains(&proof.as_str());
            seen.lock().unwrap().push(proof);
            if is_known { passed_on(request, registry::url()) } else { response(401, "{}") }
        });
        let path = registry::url().split_once("/apis").unwrap().1;
        format!("https://{address}/apis{path}")
    };
    let (open, mutual) = (url(false), url(true));
    let folder = tempfile::tempdir().unwrap();
    let (_, password) = file(&folder, "password", "open sesame\n");
    let (_, token) = file(&folder, "token", "second\n");
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| keys.text(name));
    let trust = ["--registry-ca", ca.as_str()];
    let identity = ["--registry-certificate", certificate.as_str(), "--registry-key", &key];
    let user = ("SLUICE_REGISTRY_USER", "user");
    let (by_file, by_token) = (
        ("SLUICE_REGISTRY_PASSWORD_FILE", password.as_str()),
        ("SLUICE_REGISTRY_TOKEN_FILE", token.as_str()),
    );
    for (url, variables, args) in [
        (&open, vec![user, by_file], trust.to_vec()),
        (&open, vec![user, ("SLUICE_REGISTRY_PASSWORD", "open sesame")], trust.to_vec()),
        (&open, vec![by_token], trust.to_vec()),
        (&mutual, vec![], [trust.as_slice(), &identity].concat()),
    ] {
        let (code, told) = register(url, &variables, &args);
        assert!(code == Some(0) && told.contains(": id "), "{variables:?}: {told}");
    }
    let strangers = Keys::new();
    let stranger = strangers.text("ca.pem");
    for (url, variables, args, words) in [
        (&open, vec![by_token], vec![], "--registry-ca"),
        (&open, vec![by_token], vec!["--registry-ca", &stranger], "--registry-ca"),
        (
            &open,
            vec![user, ("SLUICE_REGISTRY_PASSWORD", "shut sesame")],
            trust.to_vec(),
            "SLUICE_REGISTRY_PASSWORD",
        ),
        (&open, vec![("SLUICE_REGISTRY_TOKEN", "first")], trust.to_vec(), "SLUICE_REGISTRY_TOKEN"),
        (&mutual, vec![], trust.to_vec(), "--registry-certificate"),
    ] {
        let (code, told) = register(url, &variables, &args);
        assert!(code == Some(1) && told.contains(words), "{variables:?}: {code:?} {told}");
        assert!(!told.contains("sesame") && !told.contains("Bearer"), "{told}");
    }
    assert!(seen.lock().unwrap().iter().any(|proof| proof == "Bearer second"));
}

#[test]
fn a_secret_on_the_command_line_is_refused_before_anything_is_done() {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["run", "x", "--brokers", "b:1", "--kafka", "sasl.password=open-sesame"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("SLUICE_KAFKA_SASL_PASSWORD_FILE"), "{told}");
}
