//! The pipelines of this repository are sound, by the commands that their owners run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sluice::config::Flow;
use sluice::config::pipeline::{Otherwise, Rule, Split};
use sluice::types::RejectCode;

fn folders() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let entries = std::fs::read_dir(&folder).expect("the folder of pipelines");
    let mut dirs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    dirs.sort();
    assert!(!dirs.is_empty(), "{} holds no pipeline", folder.display());
    dirs
}

fn sluice(verb: &str, dirs: &[PathBuf]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice")).arg(verb).args(dirs).output();
    let output = output.expect("the program starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn check_finds_no_mistake_in_any_pipeline_folder() {
    let dirs = folders();
    let told = sluice("check", &dirs);
    assert_eq!(told.lines().filter(|line| line.starts_with("ok: ")).count(), dirs.len(), "{told}");
}

#[test]
fn every_sample_ends_as_expected() {
    let dirs = folders();
    let told = sluice("test", &dirs);
    let mut sums = told.lines().filter(|line| line.ends_with(" failed"));
    for dir in dirs {
        let samples = std::fs::read_dir(dir.join("samples")).expect("samples").count();
        assert_eq!(sums.next(), Some(format!("{samples} passed, 0 failed").as_str()), "{told}");
    }
}

/// Codes that no sample can bring about, and why.
const NO_SAMPLE: [(RejectCode, &str); 8] = [
    (RejectCode::InferFailed, "the model cannot be run: memory, or a bundle that does not fit"),
    (RejectCode::InternalPanic, "a bug"),
    (RejectCode::RecordTooLarge, "told where messages are made, and `sluice test` makes none"),
    (RejectCode::RecordUnfit, "told where messages are made; a schema that does not fit, or a bug"),
    (RejectCode::TextCrashed, "the text engine dies: a bug of its own, see `text_child`"),
    (RejectCode::TextMemory, "a file that is made to harm, and a worker that is short of memory"),
    (RejectCode::TextTimeout, "a file that is made to harm, and a clock"),
    (RejectCode::Ungrounded, "a bug"),
];

/// Limit: bytes of one sample; a limit above it is not tried by one.
const SAMPLE_BYTES_MAX: usize = 1 << 20;

/// The codes with which a part may end in `flow`, but for [`NO_SAMPLE`].
fn possible(flow: &Flow) -> BTreeSet<RejectCode> {
    let pipeline = &flow.pipeline;
    let rejects = |rule: &Rule| match rule {
        Rule::Required { otherwise, .. }
        | Rule::NotBefore { otherwise, .. }
        | Rule::DateBetween { otherwise, .. }
        | Rule::NumberBetween { otherwise, .. }
        | Rule::OneOf { otherwise, .. }
        | Rule::NoneOf { otherwise, .. }
        | Rule::Pattern { otherwise, .. } => *otherwise == Otherwise::Reject,
        Rule::ConfidenceAtLeast { .. } | Rule::Readable { .. } => false,
    };
    // Codes that only some configurations can give, and whether this one can.
    let asked = [
        (RejectCode::ClaimDenied, pipeline.input.claims.is_some()),
        (RejectCode::ClaimForbidden, pipeline.input.claims.is_none()),
        (RejectCode::ClaimMismatch, pipeline.input.claims.is_some()),
        (RejectCode::ClaimNotFound, pipeline.input.claims.is_some()),
        (RejectCode::EntryTooLarge, pipeline.input.split == Split::Log),
        (RejectCode::DocumentTooLarge, pipeline.input.document_bytes_max <= SAMPLE_BYTES_MAX),
        (RejectCode::RuleBroken, pipeline.rules.iter().any(rejects)),
    ];
    let is_possible = |code: &RejectCode| {
        !NO_SAMPLE.iter().any(|(other, _)| other == code)
            && asked.iter().all(|(other, can)| other != code || *can)
    };
    RejectCode::ALL.iter().copied().filter(is_possible).collect()
}

/// The codes of the rejects that are expected of the samples in `dir`.
fn expected(dir: &Path) -> BTreeSet<RejectCode> {
    let files = std::fs::read_dir(dir.join("expected")).expect("expected outcomes");
    let outcomes = files.flat_map(|file| {
        let text = std::fs::read_to_string(file.expect("an entry").path()).expect("a file");
        let outcome: Value = serde_json::from_str(&text).expect("JSON");
        outcome.as_array().cloned().unwrap_or_else(|| vec![outcome])
    });
    let codes = outcomes.filter_map(|outcome| outcome["code"].as_str().map(str::to_owned));
    codes.map(|code| RejectCode::from_name(&code).expect("a code")).collect()
}

#[test]
fn every_reject_code_that_a_pipeline_can_give_has_a_sample() {
    for dir in folders() {
        let flow = sluice::config::load(&dir).unwrap_or_else(|problems| panic!("{problems:?}"));
        let (possible, expected) = (possible(&flow), expected(&dir));
        let missing: Vec<_> = possible.difference(&expected).map(|code| code.name()).collect();
        assert!(missing.is_empty(), "{}: no sample ends as {missing:?}", dir.display());
        let odd: Vec<_> = expected.difference(&possible).map(|code| code.name()).collect();
        assert!(odd.is_empty(), "{}: not thought possible: {odd:?}", dir.display());
    }
}

#[test]
fn a_new_pipeline_of_every_bundle_passes_check_and_test() {
    let root = tempfile::tempdir().expect("a folder");
    let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
    for entry in std::fs::read_dir(models).expect("the folder of models") {
        let model = entry.expect("an entry").path();
        let name = format!("new-{}", model.file_name().expect("a name").to_string_lossy());
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
            command.args(["new", "pipeline", &name, "--dir"]).arg(root.path());
            command.arg("--model").arg(&model).output().expect("the program starts")
        };
        let made = run();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let dir = root.path().join(&name);
        assert!(sluice("check", std::slice::from_ref(&dir)).starts_with("ok: new-"));
        assert!(sluice("test", &[dir]).contains("1 passed, 0 failed"));
        let again = run();
        assert_eq!(again.status.code(), Some(64));
    }
}
