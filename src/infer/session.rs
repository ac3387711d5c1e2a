//! `rows of token ids -> scores`: one model in ONNX Runtime, owned by one thread.
//!
//! The only file that names `ort`. Deliberately neither batches nor pads by itself: with int8 by
//! dynamic quantisation the range of activations is taken over all rows of a call, so what shares
//! a call changes the result.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::SessionOutputs;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use regex::bytes::Regex;

use crate::config::bundle::Bundle;
use crate::config::settings::Device;
use crate::error::{Fault, FaultClass};
use crate::types::Chunk;

const INPUT_IDS: &str = "input_ids";
const INPUT_MASK: &str = "attention_mask";
const OUTPUT_TOKENS: &str = "logits";
const OUTPUT_CLASSES: &str = "classes";

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
    token_columns: usize,
    class_columns: usize,
    pad_id: i64,
}

impl Session {
    /// Opens `model`, the bytes of the model of `bundle`, on `device`. Fatal where the device is
    /// missing or the model does not take and give what the heads of the bundle need.
    pub fn open(
        runtime: &Runtime,
        bundle: &Bundle,
        model: &[u8],
        device: Device,
    ) -> Result<Self, Fault> {
        if device == Device::Cuda {
            let context = "starting inference on device `cuda`: this build has no CUDA execution \
                           provider; set the device to `cpu`";
            return Err(Fault::plain(FaultClass::Fatal, context));
        }
        let fault = |reason: &str| {
            let path = bundle.model_path.display();
            Fault::plain(FaultClass::Fatal, format!("opening model `{path}`: {reason}"))
        };
        let inner = builder(runtime)
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
        Ok(Self { inner, token_columns, class_columns, pad_id: bundle.window.pad_id.into() })
    }

    /// What the model says of each row. All rows go in one call and are padded to the longest.
    ///
    /// Invariant: the worker passes one row. With more, int8 results depend on the company.
    pub fn scores(&mut self, rows: &[&Chunk]) -> Result<Vec<RowScores>, RunError> {
        let tokens = rows.iter().map(|row| row.padded_tokens).max().unwrap_or_default();
        let mut ids = Vec::with_capacity(rows.len() * tokens);
        let mut mask = Vec::with_capacity(rows.len() * tokens);
        for row in rows {
            let padding = tokens.saturating_sub(row.ids.len());
            ids.extend(row.ids.iter().copied().chain(std::iter::repeat_n(self.pad_id, padding)));
            mask.extend(
                std::iter::repeat_n(1_i64, row.ids.len()).chain(std::iter::repeat_n(0, padding)),
            );
        }
        let ids = Tensor::from_array(([rows.len(), tokens], ids))?;
        let mask = Tensor::from_array(([rows.len(), tokens], mask))?;
        let outputs = self.inner.run(ort::inputs! { INPUT_IDS => ids, INPUT_MASK => mask })?;
        let mut scores: Vec<RowScores> = rows.iter().map(|_| RowScores::default()).collect();
        let columns = self.token_columns;
        if columns > 0 {
            let logits = read(&outputs, OUTPUT_TOKENS, &[rows.len(), tokens, columns])?;
            for ((row, scores), logits) in
                rows.iter().zip(&mut scores).zip(logits.chunks(tokens * columns))
            {
                // One special token stands before the text.
                let first = 1 + row.owned.start - row.tokens.start;
                let last = 1 + row.owned.end - row.tokens.start;
                let owned = logits.get(first * columns..last * columns);
                scores.logits = owned.unwrap_or_default().to_vec();
            }
        }
        let columns = self.class_columns;
        if columns > 0 {
            let logits = read(&outputs, OUTPUT_CLASSES, &[rows.len(), columns])?;
            for (scores, logits) in scores.iter_mut().zip(logits.chunks(columns)) {
                scores.classes = logits.to_vec();
            }
        }
        Ok(scores)
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
    if !logits.iter().all(|logit| logit.is_finite()) {
        return Err(RunError::NotFinite);
    }
    Ok(logits)
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

/// How sessions run. The level of graph optimisation is named, not left to a default, since it
/// changes bits. One thread a session: many windows side by side use the cores better than one
/// window spread over them, and sums do not depend on how work was split. The arena is kept, and
/// with it memory patterns, one a shape. Limit: a row has at most `tokens_max` lengths, so both stop
/// growing once each was seen.
fn builder(runtime: &Runtime) -> Result<SessionBuilder, ort::Error> {
    let cpu = ort::ep::CPU::default().with_arena_allocator(true).build().error_on_failure();
    Ok(ort::session::Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(true)?
        .with_log_level(LogLevel::Warning)?
        .with_no_environment_execution_providers()?
        .with_execution_providers([cpu])?)
}
