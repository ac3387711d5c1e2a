//! Every bundle in `models/`: the decoder gives the numbers of the reference in `training/`, and a
//! document gives the same findings in any company.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use serde::Deserialize;
use sluice::chunk::Chunker;
use sluice::config::bundle::Bundle;
use sluice::config::settings::Device;
use sluice::infer::{self, Answer, Candidate, Job, Pool, Setup};
use sluice::queue::FlowId;
use sluice::types::{Chunks, Text, WindowScores, window_tokens};

use crate::onnx::{bundle_dir, library};

/// How far confidences may lie from the reference's: sums and logarithms of other libraries.
const TOLERANCE: f64 = 1e-12;
/// The same for a fixture that is not exact: its logits have three decimals, which the reference
/// read in double precision, and its confidences nine.
const COARSE_TOLERANCE: f64 = 1e-6;

/// One case of `decoder_fixture.json`; written by `fixture.py` in `training/`.
#[derive(Deserialize)]
struct Case {
    source: String,
    text: String,
    ids: Vec<i64>,
    starts: Vec<usize>,
    ends: Vec<usize>,
    /// Token ranges.
    words: Option<Vec<(usize, usize)>>,
    /// Logits of columns that are not listed.
    #[serde(default)]
    quiet_logit: f32,
    logits: Option<Logits>,
    /// Class logits, window by window.
    #[serde(default)]
    windows: Vec<Vec<f32>>,
    /// Tokens that each window owns.
    runs: Option<Vec<(usize, usize)>>,
    #[serde(alias = "spans")]
    findings: Vec<Golden>,
    #[serde(default)]
    flags: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Logits {
    /// Token by token.
    Rows(Vec<Vec<f32>>),
    /// By column, token by token.
    Columns(BTreeMap<String, Vec<f32>>),
}

#[derive(Deserialize)]
struct Golden {
    label: usize,
    start: usize,
    end: usize,
    confidence: f64,
}

#[derive(Deserialize)]
struct Fixture {
    /// Whether the reference read the logits in single precision, as the worker does, and its
    /// numbers are not rounded.
    #[serde(default)]
    exact: bool,
    cases: Vec<Case>,
    /// What its gate leaves of long texts; none where it has no gate.
    #[serde(default)]
    gated: Vec<Gated>,
}

#[derive(Deserialize)]
struct Gated {
    source: String,
    text: String,
    /// Start and end of what a window holds and of what is read from it, in tokens.
    places: Vec<[usize; 4]>,
}

/// A bundle with what is needed to run it.
struct Rig {
    bundle: Arc<Bundle>,
    chunker: Chunker,
    fixture: Fixture,
}

fn rigs() -> Vec<Rig> {
    let models = bundle_dir().parent().unwrap().to_owned();
    let folders = std::fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> =
        folders.filter(|folder| folder.join("bundle.json").is_file()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    let rig = |folder: &PathBuf| {
        let bundle = Arc::new(Bundle::load(folder).unwrap());
        let chunker = Chunker::load(&bundle, false).map_err(|fault| fault.chain()).unwrap();
        let fixture = std::fs::read(folder.join("decoder_fixture.json")).unwrap();
        Rig { bundle, chunker, fixture: serde_json::from_slice(&fixture).unwrap() }
    };
    folders.iter().map(rig).collect()
}

impl Rig {
    fn chunks(&self, text: &Text) -> Chunks {
        self.chunker.chunk(text, usize::MAX).unwrap()
    }

    /// Scores as if the model had given the logits of `case`.
    fn as_scored(&self, case: &Case, chunks: &Chunks) -> Vec<WindowScores> {
        let row = |token: usize| -> Vec<f32> {
            match &case.logits {
                None => Vec::new(),
                Some(Logits::Rows(rows)) => rows[token].clone(),
                Some(Logits::Columns(columns)) => (0..self.bundle.heads.token_columns())
                    .map(|column| {
                        let column = columns.get(&column.to_string());
                        column.map_or(case.quiet_logit, |logits| logits[token])
                    })
                    .collect(),
            }
        };
        let windows = chunks.windows.iter().enumerate();
        windows
            .map(|(window, chunk)| {
                let logits = chunk.owned.clone().flat_map(row).collect();
                let classes = case.windows.get(window).cloned().unwrap_or_default();
                WindowScores { window, logits, classes }
            })
            .collect()
    }

    /// What reaches its threshold, in text order, in double precision.
    fn reported(&self, scores: &[WindowScores], chunks: &Chunks, text: &Text) -> Vec<Candidate> {
        let mut found = infer::decode(scores, chunks, text, &self.bundle).candidates;
        let heads = &self.bundle.heads;
        found.retain(|candidate| candidate.confidence >= heads.threshold(candidate.label));
        found.sort_by_key(|candidate| (candidate.span, candidate.label));
        found
    }
}

/// The tokens, words and windows of a case are those of the reference.
fn check_tokens(case: &Case, chunks: &Chunks, text: &Text) {
    let windows = chunks.windows.iter();
    let ids = windows.flat_map(|chunk| {
        let first = 1 + chunk.owned.start - chunk.tokens.start;
        chunk.ids[first..first + chunk.owned.len()].to_vec()
    });
    assert_eq!(ids.collect::<Vec<_>>(), case.ids);
    let scalars = |offset: usize| text.scalars_before(offset);
    assert!(chunks.tokens.iter().map(|token| scalars(token.start)).eq(case.starts.clone()));
    assert!(chunks.tokens.iter().map(|token| scalars(token.end)).eq(case.ends.clone()));
    if let Some(words) = &case.words {
        let starts = chunks.word_starts.iter().map(|start| usize::try_from(*start).unwrap());
        let ends = starts.clone().skip(1).chain([chunks.tokens.len()]);
        assert!(starts.zip(ends).eq(words.iter().copied()), "{}", case.source);
    }
    if let Some(runs) = &case.runs {
        let owned = chunks.windows.iter().map(|chunk| (chunk.owned.start, chunk.owned.end));
        assert!(owned.eq(runs.iter().copied()), "{}", case.source);
    }
}

#[test]
fn decoders_give_the_numbers_of_the_reference() {
    for rig in rigs() {
        let name = &rig.bundle.name;
        let tolerance = if rig.fixture.exact { TOLERANCE } else { COARSE_TOLERANCE };
        let mut count = 0;
        for case in &rig.fixture.cases {
            let text = Text::from_pages([case.text.clone()]);
            let chunks = rig.chunks(&text);
            check_tokens(case, &chunks, &text);
            let scores = rig.as_scored(case, &chunks);
            let found = rig.reported(&scores, &chunks, &text);
            let scalars = |offset: usize| text.scalars_before(offset);
            let places: Vec<_> = found
                .iter()
                .map(|one| (one.label, scalars(one.span.start), scalars(one.span.end)))
                .collect();
            let golden: Vec<_> =
                case.findings.iter().map(|one| (one.label, one.start, one.end)).collect();
            assert_eq!(places, golden, "{name}: {}", case.source);
            for (one, golden) in found.iter().zip(&case.findings) {
                let distance = (one.confidence - golden.confidence).abs();
                assert!(distance < tolerance, "{name}: {}: {distance}", case.source);
            }
            count += found.len();

            let flags = infer::decode(&scores, &chunks, &text, &rig.bundle).flags;
            assert_eq!(flags.len(), case.flags.len(), "{name}");
            for ((label, flag), golden) in flags.iter().zip(&case.flags) {
                let distance = (flag - golden).abs();
                assert!(distance < tolerance, "{name}: label {label}: {distance}");
            }
            let (findings, _) = infer::findings(&scores, &chunks, &text, &rig.bundle);
            let published = findings.iter().map(|finding| (finding.label, finding.span));
            assert!(published.eq(found.iter().map(|one| (one.label, one.span))), "{name}");
        }
        assert!(count >= 5, "{name}: the fixture shows {count} findings only");
    }
}

#[test]
fn gates_leave_what_the_reference_leaves() {
    let mut spared = 0;
    for Rig { bundle, chunker: everything, fixture } in rigs() {
        assert_eq!(bundle.gate.is_none(), fixture.gated.is_empty(), "{}", bundle.name);
        let chunker = Chunker::load(&bundle, true).map_err(|fault| fault.chain()).unwrap();
        for case in &fixture.gated {
            let text = Text::from_pages([case.text.clone()]);
            let chunks = chunker.chunk(&text, usize::MAX).unwrap();
            let places = chunks.windows.iter().map(|window| {
                [window.tokens.start, window.tokens.end, window.owned.start, window.owned.end]
            });
            assert!(places.eq(case.places.iter().copied()), "{}", case.source);
            let tokens = |chunks: &Chunks| window_tokens(&chunks.windows);
            let whole = everything.chunk(&text, usize::MAX).unwrap();
            assert_eq!(chunks.spared_tokens, tokens(&whole) - tokens(&chunks));
            assert_eq!(whole.spared_tokens, 0);
            spared += chunks.spared_tokens;
        }
    }
    assert!(spared > 0, "no gate left anything out");
}

/// What a document of a running model gives.
fn scores(receiver: &Receiver<Answer>) -> Vec<WindowScores> {
    match receiver.recv().unwrap() {
        Answer::Scores(scores) => scores,
        Answer::Reject(reject) => panic!("{}: {}", reject.code, reject.detail),
        Answer::Cancelled => panic!("the job was cancelled"),
    }
}

#[test]
fn every_head_gives_the_same_findings_in_any_company() {
    let rigs = rigs();
    let setup = Setup {
        bundles: rigs.iter().map(|rig| Arc::clone(&rig.bundle)).collect(),
        thread_count: 2,
        device: Device::Cpu,
        policy: None,
        library: library(),
        cache_bytes: 0,
    };
    let pool = Pool::start(setup).map_err(|fault| fault.chain()).unwrap();
    let submit = |model: usize, chunks: &Chunks| {
        let (answers, receiver) = sync_channel(1);
        let done = Box::new(move |answer| answers.send(answer).unwrap());
        let windows = Arc::clone(&chunks.windows);
        let flow = FlowId(u64::try_from(model).unwrap());
        pool.handle().submit(Job {
            flow,
            model,
            windows,
            cancelled: Arc::default(),
            mark: None,
            done,
        });
        receiver
    };
    let documents: Vec<(usize, Text, Chunks)> = rigs
        .iter()
        .enumerate()
        .flat_map(|(model, rig)| rig.fixture.cases.iter().map(move |case| (model, rig, case)))
        .map(|(model, rig, case)| {
            let text = Text::from_pages([case.text.clone()]);
            let chunks = rig.chunks(&text);
            (model, text, chunks)
        })
        .collect();
    let decoded = |(model, text, chunks): &(usize, Text, Chunks), scores: &[WindowScores]| {
        infer::decode(scores, chunks, text, &rigs[*model].bundle)
    };
    // Alone, then all models and documents at once, windows the other way round.
    let alone: Vec<_> = documents
        .iter()
        .map(|document| decoded(document, &scores(&submit(document.0, &document.2))))
        .collect();
    let together: Vec<_> =
        documents.iter().rev().map(|document| submit(document.0, &document.2)).collect();
    for ((document, alone), receiver) in documents.iter().zip(&alone).rev().zip(&together) {
        let mut scores = scores(receiver);
        scores.reverse();
        assert!(decoded(document, &scores) == *alone, "{}", rigs[document.0].bundle.name);
    }
}
