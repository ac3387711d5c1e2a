//! The real model: a document gives the same bits in any company, and what does not fit is refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use sluice::chunk::Chunker;
use sluice::config::bundle::Bundle;
use sluice::config::settings::Device;
use sluice::infer::{self, Answer, Handle, Job, Pool, Runtime, Session, Setup, Shape};
use sluice::queue::FlowId;
use sluice::types::{Chunk, Chunks, RejectCode, Text, WindowScores};

/// ONNX Runtime's shared library, where the environment or `make runtime` has put it.
pub fn library() -> PathBuf {
    let fetched = || Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/lib/libonnxruntime.so");
    std::env::var_os("ORT_DYLIB_PATH").map_or_else(fetched, PathBuf::from)
}

/// The folder of the contracts bundle.
pub fn bundle_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/contracts")
}

/// What all tests of this file share: loading takes most of their time.
struct Rig {
    bundle: Arc<Bundle>,
    chunker: Chunker,
    pool: Pool,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let bundle = Arc::new(Bundle::load(&bundle_dir()).unwrap());
    let chunker = Chunker::load(&bundle, false).map_err(|fault| fault.chain()).unwrap();
    let pool = start(&bundle, 2, Device::Cpu, library()).unwrap();
    Rig { bundle, chunker, pool }
});

/// A pool, or why there is none.
fn start(
    bundle: &Arc<Bundle>,
    thread_count: usize,
    device: Device,
    library: PathBuf,
) -> Result<Pool, String> {
    // Without a cache, so that the model runs on what was there before.
    let cache_bytes = 0;
    let bundles = vec![Arc::clone(bundle)];
    let policy = None;
    Pool::start(Setup { bundles, thread_count, device, policy, library, cache_bytes })
        .map_err(|fault| fault.chain())
}

impl Rig {
    fn chunks(&self, text: &str) -> Chunks {
        let text = Text::from_pages([text.to_owned()]);
        self.chunker.chunk(&text, usize::MAX).unwrap()
    }

    /// A pool of one thread that nobody else uses.
    fn own_pool(&self) -> Pool {
        start(&self.bundle, 1, Device::Cpu, library()).unwrap()
    }

    fn submit(&self, windows: Arc<Vec<Chunk>>, flow: u64) -> Receiver<Answer> {
        submit(&self.pool.handle(), windows, FlowId(flow), Arc::default())
    }
}

fn submit(
    handle: &Handle,
    windows: Arc<Vec<Chunk>>,
    flow: FlowId,
    cancelled: Arc<AtomicBool>,
) -> Receiver<Answer> {
    let (answers, receiver) = sync_channel(2);
    let done = Box::new(move |answer| answers.send(answer).unwrap());
    handle.submit(Job { flow, model: 0, windows, cancelled, mark: None, done });
    receiver
}

fn scores(receiver: &Receiver<Answer>) -> Vec<WindowScores> {
    match receiver.recv().unwrap() {
        Answer::Scores(scores) => scores,
        Answer::Reject(reject) => panic!("{}: {}", reject.code, reject.detail),
        Answer::Cancelled => panic!("the job was cancelled"),
    }
}

fn bits(scores: &[WindowScores]) -> Vec<(usize, Vec<u32>)> {
    let bits = |scores: &WindowScores| {
        scores.logits.iter().chain(&scores.classes).map(|logit| logit.to_bits()).collect()
    };
    scores.iter().map(|scores| (scores.window, bits(scores))).collect()
}

/// A made-up contract of `clause_count` clauses; `seed` makes it another one.
fn contract(seed: usize, clause_count: usize) -> String {
    let clauses = [
        "The Supplier, Caf\u{e9} M\u{fc}ller GmbH, shall deliver the Goods within thirty (30) days.",
        "This Agreement shall be governed by the laws of the State of New York.",
        "Neither party may assign this Agreement without the prior written consent of the other.",
        "The initial term is two years and renews for successive periods of one year each.",
        "In no event shall the aggregate liability exceed the fees paid in the last 12 months.",
        "\u{201c}Confidential Information\u{201d} means all information disclosed by either party.",
        "The Licensee shall keep records and permit an audit upon ten business days\u{2019} notice.",
    ];
    let mut text =
        format!("SUPPLY AGREEMENT No. {seed}\n\nmade as of May {}, 2015\n\n", seed % 28 + 1);
    for index in 0..clause_count {
        let clause = clauses[(index * (seed + 3) + seed) % clauses.len()];
        text.extend([format!("{}. {clause}", index + 1), "\n\n".to_owned()]);
    }
    text
}

#[test]
fn windows_that_come_again_are_not_run_and_score_the_same_bits() {
    let rig = &*RIG;
    let chunks = rig.chunks(&contract(3, 40));
    let windows = || Arc::clone(&chunks.windows);
    let expected = bits(&scores(&rig.submit(windows(), 0)));
    let pool = Pool::start(Setup {
        bundles: vec![Arc::clone(&rig.bundle)],
        thread_count: 2,
        device: Device::Cpu,
        policy: None,
        library: library(),
        cache_bytes: 16 << 20,
    });
    let pool = pool.map_err(|fault| fault.chain()).unwrap();
    for _ in 0..2 {
        let receiver = submit(&pool.handle(), windows(), FlowId(0), Arc::default());
        assert!(bits(&scores(&receiver)) == expected);
        let run_count = usize::try_from(pool.handle().usage().models[0].row_count).unwrap();
        assert_eq!(run_count, chunks.windows.len(), "once each");
    }
}

#[test]
fn a_document_gives_the_same_bits_in_any_company() {
    let rig = &*RIG;
    let documents: Vec<Chunks> =
        (0..6).map(|seed| rig.chunks(&contract(seed, 4 + 17 * seed))).collect();
    assert!(documents.iter().any(|chunks| chunks.windows.len() > 4), "too short to be spread");
    assert_eq!(documents[0].windows.len(), 1, "a short row is among them");
    let alone: Vec<_> = documents
        .iter()
        .map(|chunks| bits(&scores(&rig.submit(Arc::clone(&chunks.windows), 0))))
        .collect();
    // Everything at once, from several threads, in orders and flows of their own.
    std::thread::scope(|scope| {
        for order in 0..3_usize {
            let (documents, alone) = (&documents, &alone);
            scope.spawn(move || {
                let jobs: Vec<_> = (0..documents.len())
                    .map(|index| (index * (2 * order + 1) + order) % documents.len())
                    .map(|index| {
                        let flow = u64::try_from(order).unwrap();
                        (index, rig.submit(Arc::clone(&documents[index].windows), flow))
                    })
                    .collect();
                for (index, receiver) in jobs {
                    assert!(bits(&scores(&receiver)) == alone[index], "document {index} differs");
                }
            });
        }
    });
}

/// Why one row a call: the test above can fail, and would if rows shared one.
#[test]
fn rows_that_share_a_call_change_each_other() {
    let rig = &*RIG;
    let runtime = Runtime::load(&library()).map_err(|fault| fault.chain()).unwrap();
    let model = rig.bundle.model_bytes().unwrap();
    let mut session = Session::open(&runtime, &rig.bundle, &model, Device::Cpu)
        .map_err(|fault| fault.chain())
        .unwrap();
    let chunks = rig.chunks(&contract(5, 60));
    let rows: Vec<&Chunk> = chunks.windows.iter().collect();
    assert!(rows.len() >= 2);
    let in_calls_of = |session: &mut Session, count: usize| -> Vec<Vec<f32>> {
        rows.chunks(count)
            .flat_map(|rows| {
                let tokens = rows.iter().map(|row| row.padded_tokens).max().unwrap();
                session.scores(rows, Shape { rows: rows.len(), tokens }).unwrap()
            })
            .map(|row| row.logits)
            .collect()
    };
    let alone = in_calls_of(&mut session, 1);
    let from_pool: Vec<Vec<f32>> = scores(&rig.submit(Arc::clone(&chunks.windows), 0))
        .into_iter()
        .map(|scores| scores.logits)
        .collect();
    assert!(alone == from_pool, "the pool runs one row a call");
    let in_pairs = in_calls_of(&mut session, 2);
    let largest = alone
        .iter()
        .flatten()
        .zip(in_pairs.iter().flatten())
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f32::max);
    assert!(largest > 1e-4, "batched rows moved by {largest} only");
}

#[test]
fn a_cancelled_job_answers_once_and_runs_no_window() {
    let rig = &*RIG;
    let pool = rig.own_pool();
    let handle = pool.handle();
    let cancelled = Arc::new(AtomicBool::new(true));
    let long = rig.chunks(&contract(1, 400)).windows;
    let receiver = submit(&handle, long, FlowId(0), cancelled);
    assert!(matches!(receiver.recv().unwrap(), Answer::Cancelled));
    assert!(receiver.recv().is_err(), "answered twice");
    // Behind it in the same flow, on the only thread: the long job has been passed over by then.
    let short = rig.chunks("Some text.").windows;
    scores(&submit(&handle, short, FlowId(0), Arc::default()));
    assert_eq!(pool.handle().usage().models[0].row_count, 1);
}

#[test]
fn closing_the_pool_answers_every_job() {
    let rig = &*RIG;
    let pool = rig.own_pool();
    let handle = pool.handle();
    let windows = rig.chunks(&contract(2, 800)).windows;
    let queued: Vec<_> = (0..5)
        .map(|flow| submit(&handle, Arc::clone(&windows), FlowId(flow), Arc::default()))
        .collect();
    pool.close();
    let late = submit(&handle, windows, FlowId(0), Arc::default());
    for receiver in queued.iter().chain([&late]) {
        assert!(matches!(receiver.recv().unwrap(), Answer::Cancelled));
        assert!(receiver.recv().is_err(), "answered twice");
    }
}

#[test]
fn an_unknown_model_is_a_reject() {
    let rig = &*RIG;
    let (answers, receiver) = sync_channel(1);
    rig.pool.handle().submit(Job {
        flow: FlowId(0),
        model: 7,
        windows: rig.chunks("Some text.").windows,
        cancelled: Arc::default(),
        mark: None,
        done: Box::new(move |answer| answers.send(answer).unwrap()),
    });
    match receiver.recv().unwrap() {
        Answer::Reject(reject) => assert_eq!(reject.code, RejectCode::InferFailed),
        Answer::Scores(_) | Answer::Cancelled => panic!("it ended otherwise"),
    }
}

#[test]
fn what_is_missing_at_start_is_named() {
    let start = |device, library| start(&RIG.bundle, 1, device, library).err().unwrap();
    let message = start(Device::Cuda, library());
    assert!(message.contains("device `cuda`"), "{message}");
    let message = start(Device::Cpu, "elsewhere/libonnxruntime.so".into());
    assert!(message.contains("elsewhere") && message.contains("ORT_DYLIB_PATH"), "{message}");
}

/// The library of these tests is that of the processor, so that the provider is missing on any
/// machine. Nothing is run on the processor in its place.
#[test]
fn a_card_that_is_asked_for_and_missing_is_told_at_the_start() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["extract", "pipelines/contracts", "pipelines/contracts/samples"])
        .args(["--device", "cuda", "--onnxruntime"])
        .arg(library())
        .current_dir(root)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it ran on the processor");
    assert!(said.contains("CUDA execution provider is missing"), "{said}");
    if !Path::new("/dev/nvidiactl").exists() {
        assert!(said.contains("the driver is missing (`libcuda.so.1`"), "{said}");
        assert!(said.contains("no card is to be seen"), "{said}");
    }
}

#[test]
fn the_engine_names_version_provider_and_processor() {
    let engine = RIG.pool.engine();
    assert_eq!(engine.provider, "cpu");
    assert_eq!(engine.onnxruntime_version.split('.').count(), 3, "{engine:?}");
    assert_eq!(engine.cpu_class, infer::cpu_class());
    assert!(!RIG.pool.is_failed());
}

/// `bundle.json` of the contracts bundle.
fn manifest() -> Value {
    let manifest = std::fs::read(bundle_dir().join("bundle.json")).unwrap();
    serde_json::from_slice(&manifest).unwrap()
}

/// The contracts bundle with another value at `key` of its manifest, and its folder.
fn bundle_with(key: &str, value: Value) -> (tempfile::TempDir, Arc<Bundle>) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "tokenizer.json", "gate.bin"] {
        std::os::unix::fs::symlink(bundle_dir().join(name), folder.path().join(name)).unwrap();
    }
    let mut manifest = manifest();
    *manifest.pointer_mut(key).unwrap() = value;
    // Only heads as the shipped ones could do with it.
    manifest.as_object_mut().unwrap().remove("gate");
    std::fs::write(folder.path().join("bundle.json"), manifest.to_string()).unwrap();
    let bundle = Arc::new(Bundle::load(folder.path()).unwrap());
    (folder, bundle)
}

/// Padding is masked. It moves int8 scores all the same, since they take their range over the whole
/// call: in the mean by 0.14 here, and by 0.32 where the mask lets the padding take part.
#[test]
fn a_bundle_may_have_its_rows_padded() {
    let rig = &*RIG;
    let (_folder, bundle) = bundle_with("/window/pad_to", json!(32));
    let pool = start(&bundle, 1, Device::Cpu, library()).unwrap();
    let text = contract(2, 2);
    let plain = rig.chunks(&text).windows;
    let pages = Text::from_pages([text]);
    let chunker = Chunker::load(&bundle, false).map_err(|fault| fault.chain()).unwrap();
    let padded = chunker.chunk(&pages, usize::MAX).unwrap().windows;
    assert_eq!(plain[0].padded_tokens, plain[0].ids.len());
    assert!(padded[0].padded_tokens > padded[0].ids.len());
    assert!(padded[0].padded_tokens.is_multiple_of(32));
    let plain = scores(&rig.submit(plain, 0)).remove(0).logits;
    let padded = submit(&pool.handle(), padded, FlowId(0), Arc::default());
    let padded = scores(&padded).remove(0).logits;
    assert_eq!(plain.len(), padded.len());
    let moved: f32 = plain.iter().zip(&padded).map(|(one, other)| (one - other).abs()).sum();
    let mean = moved / f32::from(u16::try_from(plain.len()).unwrap());
    assert!((0.01..0.22).contains(&mean), "logits moved by {mean}");
}

/// What the heads of a bundle need is compared with the model before any document comes.
#[test]
fn a_model_that_does_not_fit_its_heads_is_refused_at_start() {
    let manifest = manifest();
    let classes = json!({"kind": "classes", "name": "kind", "temperature": 1.0,
                         "labels": [{"name": "lease"}, {"name": "loan"}]});
    let columns = RIG.bundle.heads.token_columns();
    let needed = format!("need Float32 of 3 dimensions and {} columns", columns - 1);
    for (change, expected) in [
        (vec![manifest["heads"][0].clone(), classes.clone()], "it has no output `classes`"),
        (vec![classes], "it has an output `logits`, but no head"),
        (
            {
                let mut head = manifest["heads"][0].clone();
                head["labels"].as_array_mut().unwrap().pop();
                vec![head]
            },
            needed.as_str(),
        ),
    ] {
        let (_folder, bundle) = bundle_with("/heads", json!(change));
        let message = start(&bundle, 1, Device::Cpu, library()).err().unwrap();
        assert!(message.contains(expected) && message.contains("model.onnx"), "{message}");
    }
}

#[test]
fn findings_do_not_depend_on_the_order_of_windows() {
    let rig = &*RIG;
    let text = Text::from_pages([contract(3, 60)]);
    let chunks = rig.chunker.chunk(&text, usize::MAX).unwrap();
    let mut scores = scores(&rig.submit(Arc::clone(&chunks.windows), 0));
    let forward = infer::findings(&scores, &chunks, &text, &rig.bundle);
    scores.reverse();
    assert_eq!(infer::findings(&scores, &chunks, &text, &rig.bundle), forward);
}

#[test]
fn stopping_a_lease_is_seen_between_windows() {
    let rig = &*RIG;
    let cancelled = Arc::new(AtomicBool::new(false));
    let windows = rig.chunks(&contract(4, 600)).windows;
    let receiver = submit(&rig.pool.handle(), windows, FlowId(3), Arc::clone(&cancelled));
    cancelled.store(true, Ordering::Relaxed);
    assert!(matches!(receiver.recv().unwrap(), Answer::Cancelled));
}
