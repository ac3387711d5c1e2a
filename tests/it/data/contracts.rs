//! The original contract PDFs through a real broker.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::folder;
use crate::support::checker::Kind;
use crate::support::flow::Flow;
use crate::support::kafka::{self, Input};

/// 569 pages on two shared cores, unoptimised.
const LONG: Duration = Duration::from_mins(15);

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
