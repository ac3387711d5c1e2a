//! `checked pipelines + settings -> engines`: models loaded, children probed, rules compiled.

use std::sync::Arc;

use super::engine::Engine;
use crate::assemble::Plan;
use crate::chunk::Chunker;
use crate::claim::{self, Stores};
use crate::config::bundle::Bundle;
use crate::config::pipeline::PdfEngine;
use crate::config::settings::{Compute, Secret, SettingsError};
use crate::config::stores;
use crate::config::{Flow, Labels};
use crate::error::{Fault, FaultClass};
use crate::infer;
use crate::redact::Redactor;
use crate::registry::Client;
use crate::sink::schemas::Schemas;
use crate::text::{self, Launch, Walls};
use crate::types::{Digest, Key, Position, Provenance};
use crate::validate::Rules;

/// What all engines of a process share.
pub struct Base {
    /// Threads that own the sessions.
    pub pool: infer::Pool,
    /// How text children are started.
    pub launch: Launch,
    /// The walls that they raise.
    pub walls: Walls,
}

impl From<SettingsError> for Fault {
    fn from(error: SettingsError) -> Self {
        Self::new(FaultClass::Fatal, "reading the settings", error)
    }
}

/// What flows reach besides Kafka, and by which secrets.
#[derive(Default)]
pub struct Reach {
    /// Finds the schema of an Avro envelope.
    pub registry: Option<Arc<Client>>,
    /// The key of redaction, which a flow that redacts cannot do without.
    pub key: Option<Key>,
    /// Whether a claim's store may stand on this machine.
    pub allows_loopback: bool,
    /// Variables of the environment that configure stores.
    pub variables: Vec<(String, Secret)>,
}

impl Reach {
    /// What these settings and secrets reach.
    pub fn new(registry: Option<Arc<Client>>, key: Option<Key>, stores: &stores::Stores) -> Self {
        let (allows_loopback, variables) = (stores.allows_loopback, stores.variables());
        Self { registry, key, allows_loopback, variables }
    }

    /// The stores of a flow that takes claims.
    fn stores(&self, flow: &Flow) -> Result<Option<Stores>, Fault> {
        let Some(claims) = &flow.pipeline.input.claims else { return Ok(None) };
        let (allows_loopback, variables) = (self.allows_loopback, self.variables.as_slice());
        Stores::open(&claim::Setup { claims, allows_loopback, variables }).map(Some)
    }
}

/// Loads and warms the models of `flows`, each once, and makes an engine for each flow, in order.
/// `reach` says how what stands around them is reached.
pub fn build(
    compute: &Compute,
    reach: &Reach,
    flows: Vec<Flow>,
) -> Result<(Base, Vec<Engine>), Fault> {
    // Opened before the models load, so that a wrong setting is told at once.
    let stores = flows.iter().map(|flow| reach.stores(flow)).collect::<Result<Vec<_>, _>>()?;
    let needs_pdfium = flows.iter().any(|flow| flow.pipeline.text.pdf_engine == PdfEngine::Pdfium);
    let pdfium = if needs_pdfium { Some(compute.pdfium()?) } else { None };
    let launch = Launch::this_program(pdfium, compute.text_sandbox);
    let walls = text::walls(&launch)?;
    if !walls.is_whole() {
        tracing::warn!(walls = %walls, "text children lack a wall; see `--text-sandbox`");
    }
    let (bundles, models) = distinct_bundles(&flows);
    let pool = infer::Pool::start(infer::Setup {
        bundles,
        thread_count: compute.inference_threads(),
        cache_bytes: compute.cache_bytes,
        device: compute.device,
        policy: None,
        library: compute.onnxruntime()?,
    })?;
    let engines = flows
        .into_iter()
        .zip(models)
        .zip(stores)
        .map(|((flow, model), stores)| {
            let engine = engine(flow, model, &Means { launch: &launch, pool: &pool, reach })?;
            Ok(Engine { stores, ..engine })
        })
        .collect::<Result<_, Fault>>()?;
    Ok((Base { pool, launch, walls }, engines))
}

/// The bundles without repetition, and for each flow the index of its own.
fn distinct_bundles(flows: &[Flow]) -> (Vec<Arc<Bundle>>, Vec<usize>) {
    let mut bundles: Vec<Arc<Bundle>> = Vec::new();
    let models = flows.iter().map(|flow| {
        let digest = flow.bundle.manifest_digest;
        let known = bundles.iter().position(|bundle| bundle.manifest_digest == digest);
        known.unwrap_or_else(|| {
            bundles.push(Arc::new(flow.bundle.clone()));
            bundles.len() - 1
        })
    });
    let models = models.collect();
    (bundles, models)
}

/// What engines are made from, besides their flow.
struct Means<'a> {
    launch: &'a Launch,
    pool: &'a infer::Pool,
    reach: &'a Reach,
}

fn engine(flow: Flow, model: usize, means: &Means<'_>) -> Result<Engine, Fault> {
    let pipeline = &flow.pipeline;
    let plan = plan(&flow)?;
    let rules = Rules::new(&pipeline.rules, &pipeline.fields)
        .map_err(|problems| unchecked(&flow, &problems))?;
    let output = output_schemas(&flow, &plan)?;
    let redactor = redactor(&flow, means.reach.key.as_ref())?;
    let text_engine = text::engine_version(means.launch, &pipeline.text)?;
    let provenance = Provenance {
        redaction_key: redactor.as_ref().map(Redactor::key_name),
        ..provenance(&flow, means.pool.engine(), text_engine, output.digest())
    };
    Ok(Engine {
        model,
        chunker: Chunker::load(&flow.bundle, flow.pipeline.gate)?,
        plan,
        rules,
        registry: means.reach.registry.clone(),
        stores: None,
        redactor,
        output: Arc::new(output),
        provenance,
        flow,
    })
}

/// What takes identifiers out of the flow's outcomes, where its pipeline asks for it.
pub fn redactor(flow: &Flow, key: Option<&Key>) -> Result<Option<Redactor>, Fault> {
    let Some(spec) = &flow.pipeline.redact else { return Ok(None) };
    let Some(key) = key else {
        let name = &flow.pipeline.name;
        let what = format!("the pipeline `{name}` redacts, and there is no key for it");
        return Err(Fault::plain(FaultClass::Fatal, what));
    };
    let labels = Labels::from(&flow.bundle);
    let kinds = spec
        .kinds(&labels)
        .into_iter()
        .filter_map(|(index, kind)| Some((index, labels.names().get(index)?.clone(), kind)));
    Ok(Some(Redactor::new(spec, kinds, &flow.pipeline.fields, key.clone())))
}

/// What to make of which label of the flow's model.
pub fn plan(flow: &Flow) -> Result<Plan, Fault> {
    let pipeline = &flow.pipeline;
    let labels = Labels::from(&flow.bundle);
    Plan::new(&pipeline.fields, &pipeline.sections, pipeline.flags.as_ref(), &labels)
        .map_err(|problems| unchecked(flow, &problems))
}

/// The output schemas of the flow.
pub fn output_schemas(flow: &Flow, plan: &Plan) -> Result<Schemas, Fault> {
    let names: Vec<String> = plan.flag_names().map(str::to_owned).collect();
    let pipeline = &flow.pipeline;
    Schemas::build(&flow.record_schema, &pipeline.fields, pipeline.flags.as_ref(), &names).map_err(
        |problems| {
            let problems: Vec<_> =
                problems.into_iter().map(|problem| (problem.key, problem.message)).collect();
            unchecked(flow, &problems)
        },
    )
}

fn unchecked(flow: &Flow, problems: &[(String, String)]) -> Fault {
    let (key, problem) = problems.first().cloned().unwrap_or_default();
    let dir = flow.dir.display();
    let count = problems.len();
    let what =
        format!("checking `{dir}`: {key}: {problem} ({count} in all; run `sluice check {dir}`)");
    Fault::plain(FaultClass::Fatal, what)
}

/// The provenance of all documents of the flow: what runs its model, what reads its text, and the
/// digest of its output schema; nothing of a document yet.
pub fn provenance(
    flow: &Flow,
    engine: &infer::Engine,
    text_engine: String,
    schema_digest: Digest,
) -> Provenance {
    Provenance {
        pipeline: flow.pipeline.name.clone(),
        pipeline_revision: flow.pipeline.revision.clone(),
        config_digest: flow.config_digest,
        schema_digest,
        model: flow.bundle.name.clone(),
        model_revision: flow.bundle.revision.clone(),
        model_digest: flow.bundle.model_digest,
        tokenizer_digest: flow.bundle.tokenizer_digest,
        thresholds_digest: flow.bundle.manifest_digest,
        gate_digest: flow.bundle.gate.as_ref().filter(|_| flow.pipeline.gate).map(|it| it.digest),
        sluice_version: env!("CARGO_PKG_VERSION").to_owned(),
        text_engine,
        onnxruntime_version: engine.onnxruntime_version.clone(),
        provider: engine.provider.clone(),
        cpu_class: engine.cpu_class.clone(),
        redaction_key: None,
        document_digest: Digest::of(b""),
        document_uri: None,
        text_digest: None,
        position: Position { topic: Arc::from(""), partition: 0, offset: 0 },
        part: 0,
    }
}
