//! `flags, environment -> Settings`: where sluice runs.
//!
//! Deliberately says nothing of what is extracted: that is `pipeline.yaml`. Secrets come by the
//! environment only, since a command line can be read by every process of the machine, and no
//! formatter prints them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::flow::Flow;
pub use super::libraries::loader_folders;
use super::libraries::{self, Library};
use super::oauth;
use super::pipeline::Guarantee;
use super::properties::{self, Property};
pub use super::registry::{Credentials, Registry, Tls};
pub use super::secrets::{Renewed, Secret, secret};
use super::stores::Stores;
use crate::failpoint::{self, Plant};
use crate::types::Key;

/// All settings of `sluice run`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The brokers and how to speak to them.
    #[command(flatten)]
    pub kafka: Kafka,
    /// The schema registry, if any.
    #[command(flatten)]
    pub registry: Registry,
    /// The stores that claims name.
    #[command(flatten)]
    pub stores: Stores,
    /// What does the work.
    #[command(flatten)]
    pub compute: Compute,
    /// How the process is watched and stopped.
    #[command(flatten)]
    pub service: Service,
    /// What is logged.
    #[command(flatten)]
    pub logs: Logs,
    /// What is sent to a collector.
    #[command(flatten)]
    pub otlp: Otlp,
}

/// What is wrong with a setting: which flag or variable, what, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingsError {
    /// Flag or variable.
    pub setting: String,
    /// What is wrong, hint last.
    pub problem: String,
}

impl SettingsError {
    pub(super) fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into() }
    }
}

/// The key of redaction for `flows`, from `SLUICE_REDACT_KEY` or the file that
/// `SLUICE_REDACT_KEY_FILE` names; `None` where none of
/// them redacts.
pub fn redact_key<'a>(
    flows: impl IntoIterator<Item = &'a Flow>,
) -> Result<Option<Key>, SettingsError> {
    const NAME: &str = "SLUICE_REDACT_KEY";
    let Some(flow) = flows.into_iter().find(|flow| flow.pipeline.redact.is_some()) else {
        return Ok(None);
    };
    let given = secret(NAME)?;
    let wrong = |problem: String| Err(SettingsError::new(NAME, problem));
    let made = "make one with `openssl rand -hex 32` and keep it: with another key nothing joins";
    match given.as_ref().map(|secret| secret.reveal().as_bytes()) {
        None => {
            let name = &flow.pipeline.name;
            wrong(format!("is missing, and the pipeline `{name}` redacts; {made}"))
        }
        // A line break that slips in on one machine and not on another would part their digests.
        Some(secret) if secret.trim_ascii() != secret => {
            wrong("begins or ends with white space; take it out".to_owned())
        }
        Some(secret) => match Key::new(secret) {
            Some(key) => Ok(Some(key)),
            None => wrong(format!("is shorter than {} bytes; {made}", Key::BYTES_MIN)),
        },
    }
}

/// The faults that `SLUICE_FAILPOINTS` plants; none unless the program was built with the feature
/// `failpoints`, for its own tests.
pub fn planted_faults() -> Result<Vec<Plant>, SettingsError> {
    const NAME: &str = "SLUICE_FAILPOINTS";
    let given = if cfg!(feature = "failpoints") { std::env::var_os(NAME) } else { None };
    let text = given.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    failpoint::parse(&text).map_err(|error| SettingsError::new(NAME, error.to_string()))
}

/// Whether the guard of document text in logs is to be lifted; never unless the program was built
/// with the feature `failpoints`, for the test that proves its own search.
pub fn is_unguarded() -> bool {
    cfg!(feature = "failpoints") && std::env::var_os("SLUICE_UNGUARDED").is_some()
}

/// The brokers and how to speak to them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct Kafka {
    /// Brokers to start from: host:port, separated by commas
    #[arg(long, env = "SLUICE_BROKERS", value_name = "HOST:PORT,..")]
    pub brokers: String,
    /// Name of this worker, unique and the same after a restart, such as the pod's name; needed
    /// for exactly once
    #[arg(long, env = "SLUICE_INSTANCE", value_name = "NAME", value_parser = instance)]
    pub instance: Option<String>,
    /// First part of the transactional id, before pipeline and instance; to keep two
    /// installations on one cluster apart
    #[arg(
        long,
        env = "SLUICE_TRANSACTIONAL_PREFIX",
        value_name = "NAME",
        default_value = "sluice",
        value_parser = instance
    )]
    pub transactional_prefix: String,
    /// Protocol of the consumer group
    #[arg(long, env = "SLUICE_GROUP_PROTOCOL", value_enum, default_value_t)]
    pub group_protocol: GroupProtocol,
    /// A librdkafka property, such as security.protocol=ssl; may stand several times. Secrets come
    /// by variables only: `SLUICE_KAFKA_SASL_PASSWORD` is sasl.password, and
    /// `SLUICE_KAFKA_SASL_PASSWORD_FILE` names a file that holds it
    #[arg(long = "kafka", value_name = "KEY=VALUE", value_parser = properties::parse)]
    pub properties: Vec<Property>,
}

/// Protocol of the consumer group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    /// The consumer protocol where the brokers have it, else the classic one
    #[default]
    Auto,
    /// The consumer protocol of KIP-848
    Consumer,
    /// The protocol of brokers before Apache Kafka 4.0
    Classic,
}

impl Kafka {
    /// Librdkafka properties of the flags and of the variables `SLUICE_KAFKA_*`, checked together;
    /// a variable wins.
    pub fn properties(&self) -> Result<Vec<Property>, SettingsError> {
        let mut all = self.properties.clone();
        all.extend(properties::from_environment(std::env::vars_os())?);
        oauth::settled(all)
    }

    /// The transactional id of `flow`: prefix, pipeline and instance, so that a worker that comes
    /// back fences its own ghost. `None` for at least once.
    pub fn transactional_id(&self, flow: &Flow) -> Result<Option<String>, SettingsError> {
        if flow.pipeline.delivery.guarantee == Guarantee::AtLeastOnce {
            return Ok(None);
        }
        let Some(instance) = &self.instance else {
            return Err(SettingsError::new(
                "--instance (SLUICE_INSTANCE)",
                format!(
                    "is missing, and the pipeline `{}` delivers exactly once; give each worker a \
                     name that it keeps after a restart, or set `delivery.guarantee: \
                     at_least_once`",
                    flow.pipeline.name
                ),
            ));
        };
        let prefix = &self.transactional_prefix;
        Ok(Some(format!("{prefix}.{}.{instance}", flow.pipeline.name)))
    }
}

/// A name that may stand in a transactional id.
fn instance(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 128 || !text.bytes().all(is_name) {
        return Err("1 to 128 letters, digits, dots, underscores and hyphens".to_owned());
    }
    Ok(text.to_owned())
}

/// What does the work.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model and text")]
pub struct Compute {
    /// Where the model runs; one that is asked for and missing is an error
    #[arg(long, env = "SLUICE_DEVICE", value_enum, default_value_t)]
    pub device: Device,
    /// Threads that run the model, each with a session of its own [default: one per core; on cuda
    /// 2, so that one copies and splits rows while the other runs]
    #[arg(long, env = "SLUICE_INFERENCE_THREADS", value_name = "COUNT")]
    pub inference_threads: Option<NonZeroUsize>,
    /// Most bytes of scores that are kept for windows of text that come again, over all models; 0
    /// keeps none
    #[arg(long, env = "SLUICE_CACHE_BYTES", value_name = "BYTES", default_value_t = 33_554_432)]
    pub cache_bytes: usize,
    /// Child processes that read PDF [default: one per core]
    #[arg(long, env = "SLUICE_TEXT_CHILDREN", value_name = "COUNT")]
    pub text_children: Option<NonZeroUsize>,
    /// Walls around the processes that read PDF and HTML: no files, no network, no other system
    /// calls
    #[arg(long, env = "SLUICE_TEXT_SANDBOX", value_enum, default_value_t)]
    pub text_sandbox: Sandbox,
    /// Shared library of ONNX Runtime [default: in `lib` beside the executable or above, or of `make runtime`]
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Shared library `PDFium` [default: in `lib` beside the executable or above, or of `make runtime`]
    #[arg(long, env = "SLUICE_PDFIUM_PATH", value_name = "FILE")]
    pub pdfium: Option<PathBuf>,
}

/// Threads that run the model on a card unless told otherwise: each has a stream, and memory of the
/// card for its own weights and activations.
const CARD_THREADS: usize = 2;

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The processor
    #[default]
    Cpu,
    /// An NVIDIA GPU, by the CUDA provider of ONNX Runtime
    Cuda,
}

impl Device {
    /// Name in the provenance of records and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// What to do where the kernel lacks a wall around text children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    /// The worker does not start without Landlock and seccomp
    Required,
    /// What the kernel has is raised, and what it lacks is told in the log
    #[default]
    BestEffort,
    /// None is raised; to find out whether a wall is what stops an engine
    Off,
}

impl Compute {
    /// Threads that run the model.
    pub fn inference_threads(&self) -> usize {
        let usual = || match self.device {
            Device::Cpu => cores(),
            Device::Cuda => CARD_THREADS,
        };
        self.inference_threads.map_or_else(usual, NonZeroUsize::get)
    }

    /// Child processes that read PDF.
    pub fn text_children(&self) -> usize {
        self.text_children.map_or_else(cores, NonZeroUsize::get)
    }

    /// The shared library of ONNX Runtime.
    pub fn onnxruntime(&self) -> Result<PathBuf, SettingsError> {
        libraries::find(Library::OnnxRuntime, self.onnxruntime.as_deref())
    }

    /// The shared library `PDFium`.
    pub fn pdfium(&self) -> Result<PathBuf, SettingsError> {
        libraries::find(Library::Pdfium, self.pdfium.as_deref())
    }
}

/// Cores that this process may use, quotas of its container included.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How the process is watched and stopped.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Service")]
pub struct Service {
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "SLUICE_LISTEN", value_name = "HOST:PORT", default_value = "0.0.0.0:9464")]
    pub listen: SocketAddr,
    /// After SIGTERM, finish and commit what is in work and be gone within so long, in
    /// milliseconds; below the supervisor's own deadline
    #[arg(
        long,
        env = "SLUICE_DRAIN_DEADLINE_MS",
        value_name = "MS",
        default_value_t = 25_000,
        value_parser = clap::value_parser!(u64).range(0..=3_600_000)
    )]
    pub drain_deadline_ms: u64,
    /// Address of the admin port: what holds flows up, their release, a drain. Open only with a
    /// token, in `SLUICE_ADMIN_TOKEN` or in the file that `SLUICE_ADMIN_TOKEN_FILE` names
    #[arg(
        long,
        env = "SLUICE_ADMIN_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9465"
    )]
    pub admin_listen: SocketAddr,
}

impl Service {
    /// How long a drain may take.
    pub const fn drain_deadline(&self) -> Duration {
        Duration::from_millis(self.drain_deadline_ms)
    }
}

/// What is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// Form of the log lines on stderr
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Level of the log lines, or levels by module: `info`, `warn,sluice::source=debug`
    #[arg(long, env = "SLUICE_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    #[default]
    Json,
    /// For people
    Text,
}

/// What is sent to an OpenTelemetry collector. What these settings do not say, such as headers with
/// credentials, the sampler, or attributes of the resource, is read from the variables of the
/// OpenTelemetry specification.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "OpenTelemetry")]
pub struct Otlp {
    /// Collector that takes OTLP, such as `http://collector:4318`; without one nothing is sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// How it takes it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", value_enum, default_value_t)]
    pub otlp_protocol: OtlpProtocol,
    /// Name of this service there
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", default_value = "sluice")]
    pub otlp_service: String,
    /// What it is sent
    #[arg(
        long,
        env = "SLUICE_OTLP_SIGNALS",
        value_enum,
        value_delimiter = ',',
        default_value = "traces,metrics,logs"
    )]
    pub otlp_signals: Vec<Signal>,
}

/// A transport of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP, usually port 4318
    #[default]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// Protobuf over gRPC, usually port 4317
    Grpc,
}

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signal {
    /// A span for each stage of a delivery
    Traces,
    /// What `/metrics` shows
    Metrics,
    /// The log lines of stderr
    Logs,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::super::{fixture, load};
    use super::{Settings, instance};

    #[derive(Parser, Debug)]
    struct Command {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn the_flags_fit_together() {
        Command::command().debug_assert();
    }

    #[test]
    fn no_formatter_prints_the_value_of_a_property() {
        let flags = ["x", "--brokers", "b:1", "--kafka", "sasl.username=hunter2"];
        let command = Command::try_parse_from(flags).unwrap();
        let printed = format!("{command:?}");
        assert!(printed.contains("sasl.username"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn exactly_once_asks_for_an_instance() {
        let id = |pipeline: &str, flags: &[&str]| {
            let root = fixture::folder(pipeline);
            let flow = load(&root.path().join("leases")).unwrap();
            let flags = ["x", "--brokers", "b:1"].iter().chain(flags);
            let kafka = Command::try_parse_from(flags).unwrap().settings.kafka;
            kafka.transactional_id(&flow).map_err(|error| error.to_string())
        };
        let repeating = format!("{}delivery:\n  guarantee: at_least_once\n", fixture::GOOD);
        let named = ["--instance", "worker-0"];
        assert_eq!(id(fixture::GOOD, &named), Ok(Some("sluice.leases.worker-0".to_owned())));
        assert_eq!(id(&repeating, &[]), Ok(None));
        let missing = id(fixture::GOOD, &[]).unwrap_err();
        assert!(missing.starts_with("--instance (SLUICE_INSTANCE): is missing"), "{missing}");
    }

    #[test]
    fn an_instance_is_a_name() {
        assert!(instance("sluice-0").is_ok());
        for bad in ["", "a b", "ä"] {
            assert!(instance(bad).is_err(), "{bad}");
        }
    }
}
