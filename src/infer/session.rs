//! `rows of token ids -> scores`: one model in ONNX Runtime, owned by one thread.
//!
//! The only file that names `ort`. Deliberately chooses no shape by itself: with int8 by dynamic
//! quantisation the range of activations is taken over all rows of a call, so what shares a call
//! changes the result, and with fixed ranges it does not; [`super::Policy`] says what may.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::{ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::SessionOutputs;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use regex::bytes::Regex;

use super::policy::Shape;
use crate::config::bundle::Bundle;
use crate::config::settings::Device;
use crate::error::{Fault, FaultClass};
use crate::types::Chunk;

const INPUT_IDS: &str = "input_ids";
const INPUT_MASK: &str = "attention_mask";
const OUTPUT_TOKENS: &str = "logits";
const OUTPUT_CLASSES: &str = "classes";
/// Number of the card among those that the process sees; `CUDA_VISIBLE_DEVICES` chooses another.
const CARD: i32 = 0;
/// In ONNX Runtime's words where a node would have to run on the processor.
const FALLBACK: &str = "fallback to CPU EP has been explicitly disabled";
const FALLBACK_HINT: &str = "; int8 models are for the processor: give a bundle in half precision, \
                             which `training/half.py` makes";

/// ONNX Runtime, loaded. Clones share it.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    version: String,
}

/// The one runtime of this process: ONNX Runtime allows no second environment.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the shared library of ONNX Runtime. Fatal where it is missing or not what `ort` was
    /// built for, and where the process has already loaded another one.
    pub fn load(library: &Path) -> Result<Self, Fault> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            return if runtime.library == library {
                Ok(runtime.clone())
            } else {
                let first = runtime.library.display();
                Err(library_fault(library, &format!("this process already runs `{first}`")))
            };
        }
        // Reading it first gives a plain reason; the loader's own would name its dependencies.
        let bytes =
            std::fs::read(library).map_err(|error| library_fault(library, &error.to_string()))?;
        let library_path =
            library.canonicalize().map_err(|error| library_fault(library, &error.to_string()))?;
        let environment = ort::init_from(&library_path)
            .map_err(|error| library_fault(library, &error.to_string()))?
            .with_name("sluice")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| library_fault(library, error.message()))?;
        environment.set_log_level(LogLevel::Warning);
        let version = version(&bytes, &library_path);
        let runtime = Self { environment, library: library.to_owned(), version };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Version of ONNX Runtime, such as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn library_fault(library: &Path, reason: &str) -> Fault {
    let context = format!(
        "loading ONNX Runtime from `{}`: {reason}; set `ORT_DYLIB_PATH` to `libonnxruntime.so` of \
         the PyPI package `onnxruntime`, 1.{} or later (`make runtime` fetches it)",
        library.display(),
        ort::MINOR_VERSION,
    );
    Fault::plain(FaultClass::Fatal, context)
}

/// The version in the library's symbol version (`VERS_1.31.1`, set by ONNX Runtime's own build),
/// or else the minor version that its API reports.
fn version(library: &[u8], path: &Path) -> String {
    let symbol = Regex::new(r"VERS_(1\.[0-9]+\.[0-9]+)").ok();
    symbol
        .and_then(|symbol| symbol.captures(library)?.get(1))
        .map(|version| String::from_utf8_lossy(version.as_bytes()).into_owned())
        .or_else(|| Some(format!("1.{}", ort::util::probe(path)?)))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Takes ONNX Runtime's log lines. Their words are left out: a kernel's complaint may hold token
/// ids, which are the document.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, _message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(category, place, "onnx runtime reports an error");
        }
        LogLevel::Warning => tracing::warn!(category, place, "onnx runtime warns"),
        LogLevel::Info | LogLevel::Verbose => {}
    }
}

/// Why a run gave no scores. Says nothing about the document but counts.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// ONNX Runtime refused; its message may hold token ids, so only the code is kept.
    #[error("onnx runtime failed with {0:?}")]
    Runtime(ort::ErrorCode),
    /// A test planted this failure.
    #[error("told to fail by `SLUICE_FAILPOINTS`")]
    Planted,
    /// An output has not the shape that the heads of the bundle need.
    #[error("the model's output `{output}` has shape {found:?}, not {expected:?}")]
    Shape {
        /// Name of the output.
        output: &'static str,
        /// What was asked for: rows, tokens and columns, or rows and columns.
        expected: Vec<i64>,
        /// What came.
        found: Vec<i64>,
    },
    /// A logit is infinite or no number.
    #[error("the model's output holds a value that is no finite number")]
    NotFinite,
}

impl From<ort::Error> for RunError {
    fn from(error: ort::Error) -> Self {
        Self::Runtime(error.code())
    }
}

/// What a model says of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowScores {
    /// As [`crate::types::WindowScores::logits`].
    pub logits: Vec<f32>,
    /// As [`crate::types::WindowScores::classes`].
    pub classes: Vec<f32>,
}

/// One model, ready to run.
pub struct Session {
    inner: ort::session::Session,
    /// Where inputs and outputs lie on the host: on a card in memory that is pinned, which it reads
    /// and writes by itself.
    host: Allocator,
    token_columns: usize,
    class_columns: usize,
    first_id: i64,
    pad_id: i64,
}

impl Session {
    /// Opens `model`, the bytes of the model of `bundle`, on `device`. Fatal where the device is
    /// missing, where it cannot run all of the model, or where the model does not take and give
    /// what the heads of the bundle need.
    pub fn open(
        runtime: &Runtime,
        bundle: &Bundle,
        model: &[u8],
        device: Device,
    ) -> Result<Self, Fault> {
        let fault = |reason: &str| {
            let (path, name) = (bundle.model_path.display(), device.name());
            let hint = if reason.contains(FALLBACK) { FALLBACK_HINT } else { "" };
            let context = format!("opening model `{path}` on device `{name}`: {reason}{hint}");
            Fault::plain(FaultClass::Fatal, context)
        };
        let inner = builder(runtime, device)
            .and_then(|mut builder| builder.commit_from_memory(model))
            .map_err(|error| fault(error.message()))?;
        check_inputs(inner.inputs()).map_err(|reason| fault(&reason))?;
        let [token_columns, class_columns] =
            [bundle.heads.token_columns(), bundle.heads.class_columns()];
        for (name, columns, rank) in
            [(OUTPUT_TOKENS, token_columns, 3), (OUTPUT_CLASSES, class_columns, 2)]
        {
            check_output(inner.outputs(), name, columns, rank).map_err(|reason| fault(&reason))?;
        }
        let host = host(&inner, device).map_err(|error| fault(error.message()))?;
        let [first_id, pad_id] = [bundle.window.first_id, bundle.window.pad_id].map(i64::from);
        Ok(Self { inner, host, token_columns, class_columns, first_id, pad_id })
    }

    /// What the model says of each row, all in one call of `shape`, filled up with padding and
    /// with blank rows.
    ///
    /// Invariant: the shape has room for the rows. With several rows, results depend on the company
    /// unless the bundle says that its rows are independent.
    pub fn scores(&mut self, rows: &[&Chunk], shape: Shape) -> Result<Vec<RowScores>, RunError> {
        let Shape { rows: row_count, tokens } = shape;
        debug_assert!(rows.len() <= row_count, "more rows than the shape has");
        debug_assert!(rows.iter().all(|row| row.ids.len() <= tokens), "a row of another length");
        let mut ids = Tensor::<i64>::new(&self.host, [row_count, tokens])?;
        let mut mask = Tensor::<i64>::new(&self.host, [row_count, tokens])?;
        self.fill(rows, tokens, ids.try_extract_tensor_mut()?.1, mask.try_extract_tensor_mut()?.1);
        let mut binding = self.inner.create_binding()?;
        binding.bind_input(INPUT_IDS, &ids)?;
        binding.bind_input(INPUT_MASK, &mask)?;
        for (name, columns) in
            [(OUTPUT_TOKENS, self.token_columns), (OUTPUT_CLASSES, self.class_columns)]
        {
            if columns > 0 {
                binding.bind_output_to_device(name, self.host.memory_info())?;
            }
        }
        // A card copies the inputs while this thread goes on.
        binding.synchronize_inputs()?;
        let outputs = self.inner.run_binding(&binding)?;
        let mut scores: Vec<RowScores> = rows.iter().map(|_| RowScores::default()).collect();
        let columns = self.token_columns;
        if columns > 0 {
            let logits = read(&outputs, OUTPUT_TOKENS, &[row_count, tokens, columns])?;
            for ((row, scores), logits) in
                rows.iter().zip(&mut scores).zip(logits.chunks(tokens * columns))
            {
                // One special token stands before the text.
                let first = 1 + row.owned.start - row.tokens.start;
                let last = 1 + row.owned.end - row.tokens.start;
                let owned = logits.get(first * columns..last * columns);
                scores.logits = finite(owned.unwrap_or_default())?;
            }
        }
        let columns = self.class_columns;
        if columns > 0 {
            let logits = read(&outputs, OUTPUT_CLASSES, &[row_count, columns])?;
            for (scores, logits) in scores.iter_mut().zip(logits.chunks(columns)) {
                scores.classes = finite(logits)?;
            }
        }
        Ok(scores)
    }

    /// Writes the inputs of a call. A blank row is one as [`super::blank`] makes it: one that the
    /// mask takes out as a whole would leave attention nothing to weigh.
    fn fill(&self, rows: &[&Chunk], tokens: usize, ids: &mut [i64], mask: &mut [i64]) {
        let places = ids.chunks_mut(tokens.max(1)).zip(mask.chunks_mut(tokens.max(1)));
        let rows = rows.iter().map(Some).chain(std::iter::repeat(None));
        for ((ids, mask), row) in places.zip(rows) {
            let Some(row) = row else {
                ids.fill(self.first_id);
                mask.fill(1);
                continue;
            };
            let padded = row.ids.iter().copied().chain(std::iter::repeat(self.pad_id));
            ids.iter_mut().zip(padded).for_each(|(place, id)| *place = id);
            let shown = std::iter::repeat_n(1, row.ids.len()).chain(std::iter::repeat(0));
            mask.iter_mut().zip(shown).for_each(|(place, is_shown)| *place = is_shown);
        }
    }
}

/// The numbers of one output, which must have the shape `expected`.
fn read<'a>(
    outputs: &'a SessionOutputs<'_>,
    output: &'static str,
    expected: &[usize],
) -> Result<&'a [f32], RunError> {
    let value = outputs.get(output).ok_or(RunError::Runtime(ort::ErrorCode::NoSuchFile))?;
    let (shape, logits) = value.try_extract_tensor::<f32>()?;
    let expected: Vec<i64> =
        expected.iter().map(|size| i64::try_from(*size).unwrap_or(-1)).collect();
    if **shape != *expected {
        return Err(RunError::Shape { output, expected, found: shape.to_vec() });
    }
    Ok(logits)
}

/// The logits of a row, each of them a number.
fn finite(logits: &[f32]) -> Result<Vec<f32>, RunError> {
    let is_finite = logits.iter().all(|logit| logit.is_finite());
    if is_finite { Ok(logits.to_vec()) } else { Err(RunError::NotFinite) }
}

fn check_inputs(inputs: &[Outlet]) -> Result<(), String> {
    let has = |name: &str| inputs.iter().any(|input| input.name() == name);
    if inputs.len() == 2 && has(INPUT_IDS) && has(INPUT_MASK) {
        return Ok(());
    }
    Err(format!("it must take `{INPUT_IDS}` and `{INPUT_MASK}` and nothing else"))
}

/// Compares one output with what the heads need: `columns` numbers in its last of `rank`
/// dimensions, or no such output where they need none. A size that the model leaves open is
/// compared when it runs, first while it is warmed.
fn check_output(outputs: &[Outlet], name: &str, columns: usize, rank: usize) -> Result<(), String> {
    let found = outputs.iter().find(|output| output.name() == name);
    let Some(output) = found.filter(|_| columns > 0) else {
        return match found {
            None if columns > 0 => Err(format!(
                "it has no output `{name}`, but the heads of `bundle.json` need one of {columns} \
                 columns"
            )),
            Some(_) => {
                Err(format!("it has an output `{name}`, but no head of `bundle.json` reads it"))
            }
            None => Ok(()),
        };
    };
    let (ValueType::Tensor { ty, shape, .. }, width) =
        (output.dtype(), i64::try_from(columns).unwrap_or(i64::MAX))
    else {
        return Err(format!("its output `{name}` is no tensor"));
    };
    let fits = |last: &i64| *last == width || *last < 0;
    if *ty == TensorElementType::Float32 && shape.len() == rank && shape.last().is_some_and(fits) {
        return Ok(());
    }
    Err(format!(
        "its output `{name}` is {ty:?} of shape {:?}, but the heads of `bundle.json` need Float32 \
         of {rank} dimensions and {columns} columns",
        shape.to_vec()
    ))
}

/// Memory of the host for inputs and outputs of `session`, by its own allocator, which keeps what
/// it once had.
fn host(session: &ort::session::Session, device: Device) -> Result<Allocator, ort::Error> {
    let place = match device {
        Device::Cpu => AllocationDevice::CPU,
        Device::Cuda => AllocationDevice::CUDA_PINNED,
    };
    let memory = MemoryInfo::new(place, CARD, AllocatorType::Device, MemoryType::CPUOutput)?;
    Allocator::new(session, memory)
}

/// ONNX Runtime's key for what graph optimisation leaves undone, and what: on the processor its one
/// kernel for a sum and the layer norm behind it takes several times as long as its two for each
/// of them, and a fifth of all the time of a small encoder (1.31 and 1.32, `benches/README.md`).
pub const SLOW_ON_CPU: (&str, &str) =
    ("optimization.disable_specified_optimizers", "SkipLayerNormFusion");

/// How sessions run. The level of graph optimisation is named, not left to a default, since it
/// changes bits. One thread a session: many windows side by side use the cores better than one
/// window spread over them, and sums do not depend on how work was split. The arena is kept, and
/// with it memory patterns, one a shape. Limit: a row has at most `tokens_max` lengths, so both stop
/// growing once each was seen.
fn builder(runtime: &Runtime, device: Device) -> Result<SessionBuilder, ort::Error> {
    let builder = ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(true)?
        .with_log_level(LogLevel::Warning)?
        .with_no_environment_execution_providers()?;
    Ok(match device {
        Device::Cpu => {
            let cpu = ort::ep::CPU::default().with_arena_allocator(true).build();
            builder
                .with_config_entry(SLOW_ON_CPU.0, SLOW_ON_CPU.1)?
                .with_execution_providers([cpu.error_on_failure()])?
        }
        // ONNX Runtime adds the processor to every list of providers, and gives it each node that
        // the card has no kernel for. This option makes such a node an error; the processor must
        // not be named for it. It looks at the main graph once nodes have their providers, where
        // shape arithmetic counts too. Our graphs pass: their one `Shape` has a kernel for the
        // card that leaves its number on the host, and the `Slice` that takes it is given to the
        // processor only if all it reads is small or on the host, which the table of positions is
        // not (`GetCpuPreferredNodes` in ONNX Runtime).
        Device::Cuda => builder.with_disable_cpu_fallback()?.with_execution_providers([cuda()])?,
    })
}

/// The CUDA execution provider. Each session has a stream of its own, so that several overlap.
/// The arena takes what is asked for and no power of two above it. TF32 would round the factors of
/// float32 products to ten bits; sums of squares of half precision are taken in float32.
fn cuda() -> ExecutionProviderDispatch {
    ort::ep::CUDA::default()
        .with_device_id(CARD)
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        .with_tf32(false)
        .with_skip_layer_norm_strict_mode(true)
        .build()
        .error_on_failure()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The option is a name in a text: an ONNX Runtime that knows it no more would say nothing.
    #[test]
    fn on_the_processor_a_sum_and_the_layer_norm_behind_it_stay_two() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = root.join(".runtime/lib/libonnxruntime.so");
        let runtime = Runtime::load(&library).map_err(|fault| fault.chain()).unwrap();
        let model = std::fs::read(root.join("models/support-tickets/model.onnx")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let is_one = |builder: SessionBuilder, name: &str| {
            let path = folder.path().join(name);
            builder
                .with_optimized_model_path(&path)
                .unwrap()
                .commit_from_memory(&model)
                .map(drop)
                .unwrap();
            let optimised = std::fs::read(path).unwrap();
            Regex::new("SkipLayerNormalization").unwrap().is_match(&optimised)
        };
        let as_built = || builder(&runtime, Device::Cpu).unwrap();
        assert!(!is_one(as_built(), "without"));
        let unless_told = as_built().with_config_entry(SLOW_ON_CPU.0, "").unwrap();
        assert!(is_one(unless_told, "with"), "nothing is left to be told");
    }
}
