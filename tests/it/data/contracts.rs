//! The original contract PDFs: through a real broker, and by their quality against plain text.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::folder;
use crate::support::checker::Kind;
use crate::support::flow::{Flow, contracts};
use crate::support::kafka::{self, Input};

/// 569 pages on two shared cores, unoptimised.
const LONG: Duration = Duration::from_mins(15);

/// What a figure may lose by reading the original and not the data set's text.
const LOSS_MAX: f64 = 0.01;

fn pdfs() -> Vec<PathBuf> {
    let files = fs::read_dir(folder().join("cuad/pdf")).unwrap().map(|entry| entry.unwrap().path());
    let is_pdf = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf"))
    };
    let mut files: Vec<_> = files.filter(is_pdf).collect();
    files.sort();
    files
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn forty_contracts_give_forty_records_or_reviews_and_no_reject() {
    let flow = Flow::new(4, "");
    let input = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Input::new(name, &fs::read(path).unwrap()).header("content-type", b"application/pdf")
    };
    let inputs: Vec<_> = pdfs().iter().map(input).collect();
    assert_eq!(inputs.len(), 40);
    let positions = kafka::produce(&flow.input, &inputs);
    let mut worker = flow.worker("a", &[]);
    let seen = flow.wait_for(inputs.len(), &mut worker, LONG);
    flow.drain_and_check(&mut worker, &inputs, &positions);
    let rejects: Vec<_> =
        seen.iter().filter(|(kind, _)| *kind == Kind::Reject).map(|(_, it)| &it.headers).collect();
    assert!(rejects.is_empty(), "{rejects:?}");
}

#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn the_text_of_a_pdf_is_as_good_as_plain_text() {
    // The 40 originals belong to both splits; each is measured on its own records.
    for split in ["dev", "test"] {
        let cuad = folder().join("cuad");
        let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .arg("eval")
            .arg(contracts())
            .arg("--data")
            .arg(cuad.join(format!("{split}.jsonl.gz")))
            .arg("--pdf")
            .arg(cuad.join("pdf"))
            .args(["--format", "json"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report.get("pdf_rejects"), None, "{report}");
        for figure in ["/flag_map", "/span_micro/f1", "/span_aupr_one_to_one"] {
            let of = |kind: &str| report[kind].pointer(figure).and_then(Value::as_f64).unwrap();
            let (plain, pdf) = (of("text"), of("pdf"));
            assert!(plain > 0.3, "{split} {figure}: {plain}");
            assert!(plain - pdf <= LOSS_MAX, "{split} {figure}: {plain} plain, {pdf} by PDF");
        }
    }
}
