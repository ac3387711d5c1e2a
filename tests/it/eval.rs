//! `sluice eval`: the same figures as the reference, by the same code as the worker.

use std::io::Write as _;
use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};
use sluice::eval::{EvalArgs, Figures, Report, measure};
use sluice::text::Launch;

use crate::onnx::{bundle_dir, library};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: EvalArgs,
}

/// Measures the contracts bundle on `data`, with `more` arguments.
pub(crate) fn evaluate(data: &Path, more: &[&str]) -> anyhow::Result<Report> {
    evaluate_model("contracts", data, more)
}

/// Measures a bundle of `models/` on `data`, with `more` arguments.
pub(crate) fn evaluate_model(model: &str, data: &Path, more: &[&str]) -> anyhow::Result<Report> {
    let [dir, data, library] = [bundle_dir().with_file_name(model), data.to_owned(), library()]
        .map(|path| path.display().to_string());
    let fixed = ["eval", &dir, "--data", &data, "--onnxruntime", &library];
    let args = Command::parse_from(fixed.iter().chain(more)).args;
    let pdfium_path = args.compute.pdfium().ok();
    let program = env!("CARGO_BIN_EXE_sluice").into();
    let launch = Launch::this_program(pdfium_path, args.compute.text_sandbox);
    measure(&args, Launch { program, ..launch })
}

/// A data set of one line a record.
fn data_set(records: &[Value]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for record in records {
        writeln!(file, "{record}").unwrap();
    }
    file
}

fn record(text: &str, answers: &[(&str, &str)]) -> Value {
    let span = |(label, words): &(&str, &str)| {
        let (before, _) = text.split_once(words).unwrap();
        let start = before.chars().count();
        json!({"label": label, "start": start, "end": start + words.chars().count()})
    };
    json!({"id": "made-up", "text": text, "spans": answers.iter().map(span).collect::<Vec<_>>()})
}

#[test]
fn a_plain_clause_is_found_and_counted() {
    let law = "This Agreement shall be governed by and construed in accordance with the laws of \
               the State of New York, without regard to its conflict of laws principles.";
    let with = format!("\u{201c}Acme\u{201d} and Caf\u{e9} Ltd. agree as follows. {law} The end.");
    let without = "The weather was fine, and nobody spoke of contracts at all.";
    let data = data_set(&[record(&with, &[("Governing Law", law)]), record(without, &[])]);
    let report = evaluate(data.path(), &[]).unwrap();
    assert!(report.pdf.is_none());
    let Figures::Clauses(figures) = report.text else { panic!("{:?}", report.text) };
    assert_eq!(figures.documents, 2);
    let label = figures.labels.iter().find(|label| label.label == "Governing Law").unwrap();
    assert_eq!((label.documents, label.spans, label.flag_ap), (1, 1, Some(1.0)));
    assert_eq!(label.span_aupr, Some(1.0));
    let other = figures.labels.iter().find(|label| label.label == "Insurance").unwrap();
    assert_eq!((other.documents, other.flag_ap, other.span_aupr), (0, None, None));
}

#[test]
fn what_cannot_be_measured_says_why() {
    let data = data_set(&[record("Some text.", &[("No Such Label", "text")])]);
    let error = evaluate(data.path(), &[]).unwrap_err();
    assert!(format!("{error:#}").contains("the model has no label `No Such Label`"), "{error:#}");
    let error = evaluate(Path::new("no-such-file.jsonl"), &[]).unwrap_err();
    assert!(format!("{error:#}").contains("no-such-file.jsonl"), "{error:#}");
}

/// A file of `text` whose name ends so.
fn file(ending: &str, text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn entities_are_judged_by_their_words() {
    let text = "replace B-Activity\nleaking B-Observation\nhydraulic B-Item\nhose I-Item\n\n\
                engine B-Item\nwo B-Observation\nnt I-Observation\nstart I-Observation\n";
    let data = file(".conll", text);
    let report = evaluate_model("incident-logs", data.path(), &[]).unwrap();
    let Figures::Entities(figures) = report.text else { panic!("{:?}", report.text) };
    assert_eq!(
        (figures.documents, figures.heads.as_slice()),
        (2, ["entities".to_owned()].as_slice())
    );
    assert_eq!(figures.labels.iter().map(|label| label.golds).sum::<usize>(), 5);
    // One of the data's labels alone: the others count neither as found nor as missed.
    let report = evaluate_model("incident-logs", data.path(), &["--label", "Activity"]).unwrap();
    let Figures::Entities(figures) = report.text else { panic!("{:?}", report.text) };
    assert_eq!(figures.micro.to_string(), "1.000 1.000 1.000");
    let error = evaluate_model("incident-logs", data.path(), &["--head", "maintie", "--pdf", "."]);
    assert!(format!("{:#}", error.unwrap_err()).contains("--pdf"));
}

#[test]
fn classes_are_judged_in_and_out_of_scope() {
    let data = file(
        ".json",
        r#"{"val": [], "oos_val": [], "oos_test": [["what big news happened today", "oos"]],
            "test": [["i lost my card, what do i do next", "report_lost_card"],
                     ["freeze my bank account", "freeze_account"]]}"#,
    );
    let report = evaluate_model("support-tickets", data.path(), &[]).unwrap();
    let Figures::Classes(figures) = report.text else { panic!("{:?}", report.text) };
    assert_eq!((figures.documents, figures.head.as_str()), (3, "intent"));
    let scope = figures.scope.unwrap();
    assert!((scope.in_scope_accuracy - 1.0).abs() < 1e-12, "{scope:?}");
    let error = evaluate_model("support-tickets", data.path(), &["--split", "train"]);
    assert!(format!("{:#}", error.unwrap_err()).contains("`train`"));
    let rows = file(".csv", "text,category\nHow do I locate my card?,card_arrival\n");
    let report = evaluate_model("support-tickets", rows.path(), &[]).unwrap();
    let Figures::Classes(figures) = report.text else { panic!("{:?}", report.text) };
    assert_eq!((figures.head.as_str(), figures.scope), ("banking_intent", None));
}
