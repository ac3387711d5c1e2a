//! `rows of token ids -> logits`: one model in ONNX Runtime, owned by one thread.
//!
//! The only file that names `ort`. Deliberately neither batches nor pads by itself: with int8 by
//! dynamic quantisation the range of activations is taken over all rows of a call, so what shares
//! a call changes the result.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::Tensor;
use regex::bytes::Regex;

use crate::config::bundle::Bundle;
use crate::config::settings::Device;
use crate::error::{Fault, FaultClass};
use crate::types::Chunk;

const INPUT_IDS: &str = "input_ids";
const INPUT_MASK: &str = "attention_mask";
const OUTPUT: &str = "logits";

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

/// Why a run gave no logits. Says nothing about the document but counts.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// ONNX Runtime refused; its message may hold token ids, so only the code is kept.
    #[error("onnx runtime failed with {0:?}")]
    Runtime(ort::ErrorCode),
    /// The output is not rows x tokens x labels.
    #[error("the model's output has shape {found:?}, not {expected:?}")]
    Shape {
        /// What was asked for.
        expected: [i64; 3],
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

/// One model, ready to run.
pub struct Session {
    inner: ort::session::Session,
    label_count: usize,
    pad_id: i64,
}

impl Session {
    /// Opens `model`, the bytes of the model of `bundle`, on `device`. Fatal where the device is
    /// missing or the model does not take and give what a bundle's model must.
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
        let has = |outlets: &[ort::value::Outlet], name: &str| {
            outlets.iter().any(|outlet| outlet.name() == name)
        };
        if inner.inputs().len() != 2
            || !has(inner.inputs(), INPUT_IDS)
            || !has(inner.inputs(), INPUT_MASK)
            || !has(inner.outputs(), OUTPUT)
        {
            return Err(fault("it must take `input_ids` and `attention_mask` and give `logits`"));
        }
        Ok(Self { inner, label_count: bundle.labels.len(), pad_id: bundle.window.pad_id.into() })
    }

    /// The logits of each row's owned tokens, row by row as in
    /// [`crate::types::WindowScores::logits`]. All rows go in one call and are padded to the
    /// longest.
    ///
    /// Invariant: the worker passes one row. With more, int8 results depend on the company.
    pub fn logits(&mut self, rows: &[&Chunk]) -> Result<Vec<Vec<f32>>, RunError> {
        let tokens = rows.iter().map(|row| row.padded_tokens).max().unwrap_or_default();
        let labels = self.label_count;
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
        let output = outputs.get(OUTPUT).ok_or(RunError::Runtime(ort::ErrorCode::NoSuchFile))?;
        let (shape, logits) = output.try_extract_tensor::<f32>()?;
        let expected = [rows.len(), tokens, labels].map(|size| i64::try_from(size).unwrap_or(-1));
        if **shape != expected {
            return Err(RunError::Shape { expected, found: shape.to_vec() });
        }
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(RunError::NotFinite);
        }
        let of_row = |(row, logits): (&&Chunk, &[f32])| {
            // One special token stands before the text.
            let first = 1 + row.owned.start - row.tokens.start;
            let last = 1 + row.owned.end - row.tokens.start;
            logits.get(first * labels..last * labels).unwrap_or_default().to_vec()
        };
        Ok(rows.iter().zip(logits.chunks(tokens * labels)).map(of_row).collect())
    }
}

/// How sessions run. The level of graph optimisation is named, not left to a default, since it
/// changes bits. One thread a session: many windows side by side use the cores better than one
/// window spread over them, and sums do not depend on how work was split. The arena is kept, and
/// with it memory patterns: shapes are few, so it stops growing once each was seen.
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
