//! Rows that share calls, as on a card, with a float32 model on the processor: all are answered, as
//! if each had been alone, whatever of them fails.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use sluice::config::bundle::Bundle;
use sluice::config::settings::Device;
use sluice::infer::{Answer, Job, Policy, Pool, Setup};
use sluice::queue::FlowId;
use sluice::types::{Chunk, Digest, ModelUsage, RejectCode, Sensitive, WindowScores};

use super::onnx::{bundle_dir, library};
use super::tiny_model::{ID_COUNT, tiny_model};

/// Sums over other lengths round otherwise; a row that is mixed with another one differs by tenths.
const TOLERANCE: f32 = 1e-5;
/// Limit: tokens of a call in these tests.
const CALL_TOKENS_MAX: usize = 1_024;

/// The bundle of contracts, with another model.
static BUNDLE: LazyLock<Arc<Bundle>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let manifest = std::fs::read(bundle_dir().join("bundle.json")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let columns = manifest["heads"][0]["labels"].as_array().unwrap().len();
    let model = tiny_model(columns);
    manifest["files"]["model.onnx"] = json!(Digest::of(&model).to_string());
    std::fs::write(folder.path().join("model.onnx"), model).unwrap();
    std::fs::write(folder.path().join("bundle.json"), manifest.to_string()).unwrap();
    for name in ["tokenizer.json", "gate.bin"] {
        std::fs::copy(bundle_dir().join(name), folder.path().join(name)).unwrap();
    }
    // The model is read again when a pool starts, so the folder stays.
    Arc::new(Bundle::load(&folder.keep()).unwrap())
});

fn start(policy: Policy, cache_bytes: usize) -> Pool {
    start_with(&BUNDLE, Some(policy), cache_bytes)
}

/// A pool of one session thread on the processor.
pub(super) fn start_with(bundle: &Arc<Bundle>, policy: Option<Policy>, cache_bytes: usize) -> Pool {
    let setup = Setup {
        bundles: vec![Arc::clone(bundle)],
        thread_count: 1,
        device: Device::Cpu,
        policy,
        library: library(),
        cache_bytes,
    };
    Pool::start(setup).map_err(|fault| fault.chain()).unwrap()
}

/// A window of `tokens` tokens that nobody else has.
pub(super) fn window(seed: usize, tokens: usize) -> Chunk {
    let ids = (0..tokens).map(|place| i64::try_from((seed * 31 + place * 7) % ID_COUNT).unwrap());
    let content = 0..tokens - 2;
    let ids = Sensitive::new(ids.collect());
    Chunk { ids, padded_tokens: tokens, tokens: content.clone(), owned: content }
}

/// Documents of one to three windows of all lengths.
fn documents() -> Vec<Arc<Vec<Chunk>>> {
    let tokens = |seed: usize| 2 + seed * 37 % 255;
    let document = |seed: usize| {
        Arc::new((0..=seed % 3).map(|part| window(seed, tokens(seed + part))).collect())
    };
    (0..60).map(document).collect()
}

pub(super) fn submit(pool: &Pool, windows: &Arc<Vec<Chunk>>, flow: usize) -> Receiver<Answer> {
    let (answers, receiver) = sync_channel(2);
    pool.handle().submit(Job {
        flow: FlowId(u64::try_from(flow).unwrap()),
        model: 0,
        windows: Arc::clone(windows),
        cancelled: Arc::default(),
        mark: None,
        done: Box::new(move |answer| answers.send(answer).unwrap()),
    });
    receiver
}

/// Answers of jobs that all waited before the only session thread took the first of them.
pub(super) fn together(pool: &Pool, documents: &[Arc<Vec<Chunk>>]) -> Vec<Answer> {
    let (release, held) = sync_channel::<()>(0);
    pool.handle().submit(Job {
        flow: FlowId(0),
        model: 0,
        windows: Arc::new(vec![window(1_000, 9)]),
        cancelled: Arc::default(),
        mark: None,
        done: Box::new(move |_| held.recv().unwrap()),
    });
    let submitted = documents.iter().enumerate();
    let receivers: Vec<_> =
        submitted.map(|(number, document)| submit(pool, document, number % 3)).collect();
    release.send(()).unwrap();
    receivers
        .iter()
        .map(|receiver| {
            let answer = receiver.recv().unwrap();
            assert!(receiver.recv().is_err(), "answered twice");
            answer
        })
        .collect()
}

pub(super) fn scores(answer: &Answer) -> &[WindowScores] {
    match answer {
        Answer::Scores(scores) => scores,
        Answer::Reject(reject) => panic!("{}: {}", reject.code, reject.detail),
        Answer::Cancelled => panic!("the job was cancelled"),
    }
}

fn assert_near(answer: &Answer, expected: &Answer) {
    let (found, expected) = (scores(answer), scores(expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.window, expected.window);
        assert_eq!(found.logits.len(), expected.logits.len());
        let differences = found.logits.iter().zip(&expected.logits).map(|(one, other)| one - other);
        let largest = differences.map(f32::abs).fold(0.0, f32::max);
        assert!(largest <= TOLERANCE, "differs by {largest}");
    }
}

/// What each document gives in a call of its own.
fn alone(documents: &[Arc<Vec<Chunk>>]) -> Vec<Answer> {
    let pool = start(Policy::Alone, 0);
    documents.iter().map(|document| submit(&pool, document, 0).recv().unwrap()).collect()
}

pub(super) fn usage(pool: &Pool) -> ModelUsage {
    pool.handle().usage().models[0].clone()
}

#[test]
fn rows_that_share_a_call_answer_as_if_alone_and_are_counted() {
    let documents = documents();
    let expected = alone(&documents);
    assert!(expected.iter().any(|answer| scores(answer)[0].logits.iter().any(|it| *it > 0.5)));
    let pool = start(Policy::Filled { call_tokens_max: CALL_TOKENS_MAX }, 0);
    for (answer, expected) in together(&pool, &documents).iter().zip(&expected) {
        assert_near(answer, expected);
    }
    let usage = usage(&pool);
    let windows: Vec<&Chunk> = documents.iter().flat_map(|document| document.iter()).collect();
    // One row more is that of the job that held the thread, 9 tokens long.
    assert_eq!(usage.row_count, u64::try_from(windows.len()).unwrap() + 1);
    let tokens: usize = windows.iter().map(|window| window.ids.len()).sum();
    assert_eq!(usage.token_count, u64::try_from(tokens).unwrap() + 9);
    assert!(usage.batch_count * 3 < usage.row_count, "{usage:?}");
    let most = usage.batch_count * u64::try_from(CALL_TOKENS_MAX).unwrap();
    assert!(usage.token_count + usage.padding_count <= most, "{usage:?}");
}

#[test]
fn a_row_that_fails_is_its_jobs_own_trouble() {
    let mut documents = documents();
    let expected = alone(&documents);
    let (spoilt, unknown_id) = (17, i64::try_from(ID_COUNT).unwrap() + 5);
    let windows = Arc::get_mut(&mut documents[spoilt]).expect("nobody else has it");
    let mut ids = windows[0].ids.to_vec();
    ids[0] = unknown_id;
    windows[0].ids = Sensitive::new(ids);
    let pool = start(Policy::Filled { call_tokens_max: CALL_TOKENS_MAX }, 0);
    let answers = together(&pool, &documents);
    for (number, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
        if number == spoilt {
            let Answer::Reject(reject) = answer else { panic!("it was not refused") };
            assert_eq!(reject.code, RejectCode::InferFailed);
            let detail = &reject.detail;
            assert!(!format!("{detail:?}").contains(&unknown_id.to_string()), "{detail:?}");
        } else {
            assert_near(answer, expected);
        }
    }
    assert!(!pool.is_failed());
}

#[test]
fn rows_of_a_shared_call_are_known_when_they_come_again() {
    let documents = documents();
    let pool = start(Policy::Filled { call_tokens_max: CALL_TOKENS_MAX }, 16 << 20);
    let first = together(&pool, &documents);
    let run_count = usage(&pool).row_count;
    for (document, expected) in documents.iter().zip(&first) {
        assert_near(&submit(&pool, document, 0).recv().unwrap(), expected);
    }
    assert_eq!(usage(&pool).row_count, run_count);
}

/// As if the card had memory for 2,048 tokens: only calls of this file are larger.
#[cfg(feature = "failpoints")]
#[test]
fn a_call_that_is_too_large_goes_on_in_pieces_and_nothing_is_refused() {
    let plants = sluice::failpoint::parse("inferred=fail-above:2048").unwrap();
    sluice::failpoint::arm(&plants);
    let documents: Vec<_> = (0..40).map(|seed| Arc::new(vec![window(seed, 256)])).collect();
    let expected = alone(&documents);
    let pool = start(Policy::Filled { call_tokens_max: 8_192 }, 0);
    for (answer, expected) in together(&pool, &documents).iter().zip(&expected) {
        assert_near(answer, expected);
    }
    // The one that held the thread; 32 rows in four pieces; the other 8.
    let usage = usage(&pool);
    assert_eq!((usage.batch_count, usage.row_count), (1 + 4 + 1, 41), "{usage:?}");
}

/// `benches/gpu.sh` in a folder as it asks for, but for the card and its provider.
#[test]
fn the_bench_of_a_card_ends_with_what_is_missing() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let link = |from: &std::path::Path, to: &str| {
        let to = folder.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    };
    link(std::path::Path::new(env!("CARGO_BIN_EXE_sluice")), "bin/sluice");
    link(&library(), "lib/libonnxruntime.so");
    link(&root.join("models"), "fp16/models");
    link(&root.join("pipelines"), "fp16/pipelines");
    std::fs::create_dir(folder.path().join("texts")).unwrap();
    std::fs::write(folder.path().join("texts/one.txt"), "An agreement.").unwrap();
    if let Some(pdfium) = std::env::var_os("SLUICE_PDFIUM_PATH") {
        link(std::path::Path::new(&pdfium), "lib/libpdfium.so");
    } else {
        link(&root.join(".runtime/lib/libpdfium.so"), "lib/libpdfium.so");
    }
    let output = std::process::Command::new(root.join("benches/gpu.sh"))
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("device `cuda`") && said.contains("provider is missing"), "{said}");
    assert!(said.contains("does not run on a card of this machine"), "{said}");
}
