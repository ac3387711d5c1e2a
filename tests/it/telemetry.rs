//! Logs, metrics, traces and error output hold no word of a document, neither here nor at a collector;
//! with the guard lifted the same search finds every one.
//!
//! All shipped pipelines run in one worker, at the most talkative level, on documents that carry a
//! word of their own in each place: body of each content type, key, header, document id, refused
//! bodies, and a text that a panic quotes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pdf_maker::{Pdf, Stream};
use crate::support::collector::Collector;
use crate::support::flow::REDACT_KEY;
use crate::support::kafka::{self, Input};
use crate::support::process::Process;
use crate::support::{jvm, unique, wait_for};

const LONG: Duration = Duration::from_mins(5);

/// A shipped pipeline on topics of its own.
struct Pipeline {
    name: String,
    dir: PathBuf,
    input: String,
    outputs: Vec<String>,
}

/// Copies every shipped pipeline into `folder`, with fresh topics and a group of its own.
fn pipelines(folder: &Path) -> Vec<Pipeline> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(root.join("models"), folder.join("models")).unwrap();
    let mut all = Vec::new();
    for entry in fs::read_dir(root.join("pipelines")).unwrap() {
        let source = entry.unwrap().path();
        let name = source.file_name().unwrap().to_str().unwrap().to_owned();
        let dir = folder.join("pipelines").join(&name);
        fs::create_dir_all(&dir).unwrap();
        fs::copy(source.join("record.avsc"), dir.join("record.avsc")).unwrap();
        let (mut yaml, mut input, mut outputs) = (String::new(), String::new(), Vec::new());
        for line in fs::read_to_string(source.join("pipeline.yaml")).unwrap().lines() {
            let Some((key, _)) = line.split_once("topic: ").filter(|it| it.0.starts_with("  "))
            else {
                writeln!(yaml, "{line}").unwrap();
                continue;
            };
            let topic = kafka::create_topic("told", 1, &[]);
            writeln!(yaml, "{key}topic: {topic}").unwrap();
            match key.trim() {
                "" => {
                    writeln!(yaml, "  group: {}", unique("group")).unwrap();
                    input = topic;
                }
                "audit_" => {}
                _ => outputs.push(topic),
            }
        }
        fs::write(dir.join("pipeline.yaml"), yaml).unwrap();
        assert!(!input.is_empty() && outputs.len() == 3, "{name}: topics were not found");
        all.push(Pipeline { name, dir, input, outputs });
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(all.len() >= 4, "the pipelines were not found");
    all
}

/// A word that stands nowhere else.
fn mark(pipeline: usize, place: &str) -> String {
    format!("Quorvath{}{place}", ["Uno", "Duo", "Tre", "Quattro", "Cinque"][pipeline])
}

/// One message for each place that can carry a word, and the words.
fn marked(pipeline: usize) -> (Vec<Input>, Vec<String>) {
    let mut words = Vec::new();
    let mut word = |place: &str| {
        let word = mark(pipeline, place);
        words.push(word.clone());
        word
    };
    let text = |word: &str| {
        format!("The patient and the pump were seen by {word} this morning, who could not log in.")
    };
    let fhir = |word: &str| {
        serde_json::json!({
            "resourceType": "DocumentReference",
            "status": "current",
            "content": [{"attachment": {
                "contentType": "text/plain", "data": STANDARD.encode(text(word)),
            }}],
        })
        .to_string()
    };
    let hl7 = |word: &str| {
        format!(
            "MSH|^~\\&|EHR|ACME|X|Y|20260101||ORU^R01^ORU_R01|C7|P|2.5\rPID|1||1\rOBR|1|P1|F1\r\
             OBX|1|TX|1^Note||{}||||||F\r",
            text(word)
        )
    };
    let json = |word: &str| {
        let content = STANDARD.encode(text(word));
        serde_json::json!({"content": content, "content_type": "text/plain"}).to_string()
    };
    let pdf = |word: &str| Pdf::of_pages(&[Stream::line(&text(word))]).bytes();
    let mut broken = text(&word("Broken")).into_bytes();
    broken.push(0xFF);
    let bodies: Vec<(Vec<u8>, &str)> = vec![
        (text(&word("Text")).into(), "text/plain"),
        (format!("<p>{}</p>", text(&word("Html"))).into(), "text/html"),
        (pdf(&word("Pdf")), "application/pdf"),
        (json(&word("Json")).into(), "application/vnd.sluice.document+json"),
        (fhir(&word("Fhir")).into(), "application/fhir+json"),
        (hl7(&word("Hl")).into(), "application/hl7-v2"),
        (text(&word("Type")).into(), "application/pdf"),
        (text(&word("Envelope")).into(), "application/vnd.sluice.document+json"),
        (broken, "text/plain"),
        (text(&format!("{} sluice-burst", word("Panic"))).into(), "text/plain"),
    ];
    let (key, header, name, id) = (word("Key"), word("Header"), word("Name"), word("Id"));
    let inputs = bodies.into_iter().map(|(body, content_type)| {
        Input::new(&key, &body)
            .header("content-type", content_type.as_bytes())
            .header("document-id", id.as_bytes())
            .header(&name, header.as_bytes())
    });
    (inputs.collect(), words)
}

/// Runs all pipelines on their marked documents; gives the words, and all that was told.
fn told(variables: &[(&str, &str)]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let pipelines = pipelines(folder.path());
    let listen = format!("127.0.0.1:{}", jvm::free_port());
    let prefix = unique("told");
    let collector = Collector::start();
    let mut args = vec!["run", "--brokers", kafka::brokers(), "--listen", &listen];
    args.extend(["--otlp-endpoint", &collector.http]);
    args.extend(["--log", "trace", "--transactional-prefix", &prefix]);
    args.extend(pipelines.iter().map(|pipeline| pipeline.dir.to_str().unwrap()));
    let mut all = vec![("SLUICE_INSTANCE", "a"), ("SLUICE_REDACT_KEY", REDACT_KEY)];
    all.extend(variables);
    let mut worker = Process::sluice(&args, &all);
    let mut words = Vec::new();
    for (number, pipeline) in pipelines.iter().enumerate() {
        let (inputs, own) = marked(number);
        kafka::produce(&pipeline.input, &inputs);
        words.extend(own);
        wait_for(&format!("the outcomes of {}", pipeline.name), LONG, || {
            assert!(worker.exited().is_none(), "the worker ended\n{}", worker.tail());
            let of = |topic: &String| kafka::read_committed_all(topic).len();
            let count: usize = pipeline.outputs.iter().map(of).sum();
            (count >= inputs.len()).then_some(())
        });
    }
    let metrics = ureq::get(&format!("http://{listen}/metrics")).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    assert!(metrics.contains("INTERNAL_PANIC"), "the panic was met\n{metrics}");
    worker.sigterm();
    assert!(worker.wait(LONG).success(), "{}", worker.tail());
    let here = [metrics, worker.stderr(), worker.stdout()].concat();
    let sent = wait_for("the end of the logs at the collector", LONG, || {
        let is_whole = collector.logs().iter().any(|log| log["body"]["stringValue"] == "drained");
        is_whole.then(|| collector.told())
    });
    assert!(!collector.spans().is_empty() && !collector.metrics().is_empty());
    Told { words, here, sent }
}

/// The words of the documents, and where they may stand.
struct Told {
    words: Vec<String>,
    /// Logs, metrics and error output.
    here: String,
    /// What a collector was sent.
    sent: String,
}

fn found<'a>(words: &'a [String], told: &str) -> Vec<&'a String> {
    let told = told.to_lowercase();
    words.iter().filter(|word| told.contains(&word.to_lowercase())).collect()
}

#[test]
fn logs_metrics_and_errors_of_all_pipelines_hold_no_word_of_a_document() {
    let Told { words, here, sent } = told(&[]);
    assert!(here.contains("\"TRACE\"") && here.contains("a bug in sluice"), "all was told");
    assert!(sent.contains("sluice.text") && sent.contains("a bug in sluice"), "all was sent");
    assert_eq!(found(&words, &here), Vec::<&String>::new());
    assert_eq!(found(&words, &sent), Vec::<&String>::new());
}

#[test]
fn with_the_guard_lifted_the_same_search_finds_every_word() {
    let Told { words, here, sent } = told(&[("SLUICE_UNGUARDED", "1")]);
    for told in [&here, &sent] {
        let found = found(&words, told);
        let missing: Vec<_> = words.iter().filter(|word| !found.contains(word)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(told.contains("a planted panic quotes"), "the panic hook is part of the guard");
    }
    // Attributes of spans are guarded, and not only log lines: texts stand in both.
    let spans: Vec<_> = sent.lines().filter(|line| line.contains("resourceSpans")).collect();
    assert!(!found(&words, &spans.concat()).is_empty(), "no span holds a word");
}
