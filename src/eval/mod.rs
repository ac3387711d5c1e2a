//! `model, annotated data -> figures`: the command `sluice eval`.
//!
//! Runs what the worker runs, from text to scores, and judges it as the evaluations in `training/`
//! do; the heads that answer the data decide how.
//! Like the worker it knows several rooms; no room knows it. Deliberately makes no values
//! and judges no rule of a pipeline: it measures the model, and with `--identifiers` on a pipeline
//! that redacts all that finds identifiers.

mod classes;
mod clauses;
mod data;
mod entities;
mod formats;
mod identifiers;
mod judge;
mod labels;
mod predict;
mod score;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

pub use self::classes::{ClassFigures, ClassLabelFigures, ScopeFigures};
pub use self::clauses::{ClauseFigures, ClauseLabelFigures};
pub use self::data::Reading;
pub use self::entities::{EntityFigures, EntityLabelFigures};
pub use self::identifiers::{IdentifierFigures, IdentifierLabelFigures};
pub use self::judge::{Figures, Measured};
pub use self::score::Rates;

use self::judge::Judge;
use self::predict::{Asker, Prediction};
use self::score::ratio;
use crate::chunk::Chunker;
use crate::config;
use crate::config::bundle::{Bundle, MANIFEST};
use crate::config::pipeline::{Pipeline, TextLimits};
use crate::config::samples::sample_key;
use crate::config::settings::Compute;
use crate::infer::{Engine, Pool, Setup};
use crate::redact::Redactor;
use crate::text::{Launch, Reader};
use crate::types::{Digest, Document, MediaType, Sensitive, Text};
use crate::worker;

/// What to measure, and on what.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// Folder of a pipeline, or of a model bundle
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Annotated documents, gzipped or not: `.conll` (a word and its tag a line), `.csv` (a text
    /// and its class a row), `.json` (lists of these by split, as CLINC150), or else JSON lines
    /// (`text` with `spans` or `entities`, as CUAD, MACCROBAT, ASQ-PHI and `MaintIE`)
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// How the data is read.
    #[command(flatten)]
    pub reading: Reading,
    /// What of the model is measured, and how.
    #[command(flatten)]
    pub measured: Measured,
    /// Measure clauses also on the text of the original PDFs in this folder (its `manifest.json` maps
    /// record ids to files), both times on the records that have one
    #[arg(long, value_name = "DIR")]
    pub pdf: Option<PathBuf>,
    /// How the figures are written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// What does the work.
    #[command(flatten)]
    pub compute: Compute,
}

/// How figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// What one evaluation gave.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the model bundle.
    pub model: String,
    /// Revision of the model bundle.
    pub revision: String,
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
    /// Instruction class of the processor.
    pub cpu_class: String,
    /// Tokens of all documents, windows' overlap not counted.
    pub tokens: usize,
    /// Share of the tokens of all windows, overlap counted, that the gate kept from the model, in
    /// `[0, 1]`.
    pub gated_share: f64,
    /// Time for all documents, loading the model not counted.
    pub seconds: f64,
    /// Figures on the texts as the data has them.
    pub text: Figures,
    /// Figures on the texts of the original PDFs, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdf: Option<Figures>,
    /// Originals that gave no text, by reject code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pdf_rejects: BTreeMap<&'static str, usize>,
}

/// Measures what `args` name and writes the figures to stdout, progress to stderr.
pub fn run(args: &EvalArgs) -> Result<()> {
    let report =
        measure(args, Launch::this_program(args.compute.pdfium().ok(), args.compute.text_sandbox))?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        }
        Format::Table => write_table(&report, &mut out)?,
    }
    Ok(())
}

fn write_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { model, revision, onnxruntime, cpu_class, tokens, gated_share, seconds, .. } =
        report;
    let documents = report.text.documents();
    writeln!(out, "model {model} {revision}, ONNX Runtime {onnxruntime} on {cpu_class}")?;
    writeln!(out, "{documents} documents, {tokens} tokens, {seconds:.1} s")?;
    if *gated_share > 0.0 {
        writeln!(
            out,
            "kept from the model by its gate: {:.1} % of the tokens",
            100.0 * gated_share
        )?;
    }
    writeln!(out)?;
    report.text.table(out)?;
    let Some(pdf) = &report.pdf else { return Ok(()) };
    writeln!(out, "\nthe same documents by the text of their PDFs:\n")?;
    pdf.table(out)?;
    for (code, count) in &report.pdf_rejects {
        writeln!(out, "{code}: {count}")?;
    }
    Ok(())
}

/// Measures what `args` name; `launch` says how text children are started.
pub fn measure(args: &EvalArgs, launch: Launch) -> Result<Report> {
    let Subject { bundle, is_gated, limits, redactor } = subject(&args.dir)?;
    let bundle = Arc::new(bundle);
    let mut records = data::records(&args.data, &args.reading)?;
    let judge = Judge::new(&bundle, &mut records, &args.measured)?.with(redactor);
    ensure!(
        args.pdf.is_none() || judge.is_of_clauses(),
        "`--pdf` compares words, which only clauses are judged by"
    );
    let originals = args.pdf.as_deref().map(data::originals).transpose()?;
    if let Some(originals) = &originals {
        records.retain(|record| originals.contains_key(&record.id));
        ensure!(!records.is_empty(), "no record of the data has a PDF in the folder");
    }
    let pool = Pool::start(Setup {
        bundles: vec![Arc::clone(&bundle)],
        thread_count: args.compute.inference_threads(),
        cache_bytes: args.compute.cache_bytes,
        device: args.compute.device,
        policy: None,
        library: args.compute.onnxruntime()?,
    })?;
    let chunker = Chunker::load(&bundle, is_gated)?;
    let asker = Asker { bundle: &bundle, chunker: &chunker, handle: pool.handle() };
    let begun = Instant::now();
    let texts = records.iter().map(|record| Ok(Some(Text::from_pages([record.text.clone()]))));
    let predictions = asker.ask(texts, &mut progress("texts", records.len()))?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut rejects = BTreeMap::new();
    let pdf = match &originals {
        None => None,
        Some(originals) => {
            let mut reader = Reader::new(launch);
            let texts = records.iter().map(|record| {
                let path = originals.get(&record.id).context("a record without PDF")?;
                original(path, &limits, &mut reader, &mut rejects)
            });
            Some(asker.ask(texts, &mut progress("PDFs", records.len()))?)
        }
    };
    let rows = |of: fn(&(usize, usize)) -> usize| -> usize {
        predictions.iter().map(|prediction| of(&prediction.row_tokens)).sum()
    };
    let (read, gated) = (rows(|it| it.0), rows(|it| it.1));
    let figures = |predictions: &Vec<Prediction>| judge.figures(&records, predictions);
    let Engine { onnxruntime_version, cpu_class, .. } = pool.engine().clone();
    Ok(Report {
        model: bundle.name.clone(),
        revision: bundle.revision.clone(),
        onnxruntime: onnxruntime_version,
        cpu_class,
        tokens: predictions.iter().map(|prediction| prediction.token_count).sum(),
        gated_share: ratio(gated, read + gated),
        seconds,
        text: figures(&predictions),
        pdf: pdf.as_ref().map(figures),
        pdf_rejects: rejects,
    })
}

/// What is measured.
struct Subject {
    bundle: Bundle,
    /// Whether the gate of the bundle is at work.
    is_gated: bool,
    /// How documents are read.
    limits: TextLimits,
    /// What takes identifiers out of them.
    redactor: Option<Redactor>,
}

/// What stands in `dir`, a pipeline's or a bundle's folder.
fn subject(dir: &Path) -> Result<Subject> {
    if dir.join(MANIFEST).is_file() {
        let (bundle, limits) = (Bundle::load(dir)?, TextLimits::default());
        return Ok(Subject { bundle, is_gated: true, limits, redactor: None });
    }
    match config::load(dir) {
        Ok(flow) => {
            // What is found depends on no key.
            let redactor = worker::redactor(&flow, sample_key().as_ref())?;
            let Pipeline { gate: is_gated, text: limits, .. } = flow.pipeline;
            Ok(Subject { bundle: flow.bundle, is_gated, limits, redactor })
        }
        Err(problems) => {
            let mut lines = String::new();
            for problem in problems {
                write!(lines, "\n{problem}")?;
            }
            bail!("reading pipeline `{}`:{lines}", dir.display())
        }
    }
}

/// The text of one PDF; `None`, counted by code, where it is refused.
fn original(
    path: &Path,
    limits: &TextLimits,
    reader: &mut Reader,
    rejects: &mut BTreeMap<&'static str, usize>,
) -> Result<Option<Text>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
    let document = Document {
        id: String::new(),
        part: 0,
        media_type: MediaType::Pdf,
        digest: Digest::of(&bytes),
        bytes: Sensitive::new(bytes),
        range: None,
        identifiers: Arc::default(),
        fetched_from: None,
    };
    match reader.text(&document, limits)? {
        Ok(text) => Ok(Some(text)),
        Err(reject) => {
            *rejects.entry(reject.code.name()).or_default() += 1;
            Ok(None)
        }
    }
}

/// Tells progress on stderr, every tenth of the way.
fn progress(what: &str, total: usize) -> impl FnMut(usize) {
    let step = total.div_ceil(10).max(1);
    move |done| {
        if done.is_multiple_of(step) || done == total {
            // Progress that cannot be shown is no failure.
            drop(writeln!(io::stderr(), "eval: {done} of {total} {what}"));
        }
    }
}
