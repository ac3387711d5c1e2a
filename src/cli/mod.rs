//! The command line: what a person types, and what the exit code says.
//!
//! Exit codes: 0 done, 1 a fault of the world, 64 wrong usage, 78 a mistake in a pipeline folder.

mod check;
mod demo;
mod doctor;
mod explain;
mod extract;
mod golden;
mod likeness;
mod new;
mod offline;
mod operator;
mod reconcile;
mod rejects;
mod replay;
mod run;
mod schema;
mod table;
mod topics;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{self, Flow, Problem};
use crate::error::Fault;
use crate::eval::{self, EvalArgs};
use crate::text;

/// Streaming document extraction: Kafka in, small language models, validated records out.
#[derive(Parser)]
#[command(name = "sluice", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one or more pipelines against Kafka until SIGTERM
    Run(Box<run::RunArgs>),
    /// Extract from files without Kafka: one JSON line per document on stdout
    Extract(extract::ExtractArgs),
    /// Make a pipeline folder to start from
    New(new::NewArgs),
    /// Look for mistakes in pipeline folders; all at once
    Check(check::CheckArgs),
    /// Compare the samples of pipelines with their expected outcomes
    Test(golden::TestArgs),
    /// Measure a pipeline's model on annotated data
    Eval(EvalArgs),
    /// Run a pipeline's samples through an embedded Kafka, and show what comes out
    Demo(demo::DemoArgs),
    /// Tell what a code means and what to do about it
    Explain(explain::ExplainArgs),
    /// Compare inputs with outcomes: nothing lost, nothing twice; exit code 1 where they differ
    Reconcile(reconcile::ReconcileArgs),
    /// Find what holds a flow up, and what to do about it; exit code 1 where something does
    Doctor(doctor::DoctorArgs),
    /// Look at rejects, and send their messages in again
    Rejects(rejects::RejectsArgs),
    /// Run the input of a published outcome again, and compare; exit code 1 unless it is the same
    Replay(replay::ReplayArgs),
    /// Print, register or compare the schemas of a pipeline
    Schema(schema::SchemaArgs),
    /// Make the topics of a pipeline
    Topics(topics::TopicsArgs),
    /// Read documents for a parent process
    #[command(name = text::CHILD_COMMAND, hide = true)]
    TextChild,
}

/// Why a command failed.
pub(crate) enum Failure {
    /// The world: broker, registry, file.
    Fault(Fault),
    /// Mistakes in pipeline folders, all of them.
    Problems(Vec<Problem>),
    /// The command did its work and the answer is no; it has been told already.
    Told,
    /// The command line makes no sense.
    Usage(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<config::settings::SettingsError> for Failure {
    fn from(error: config::settings::SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Fault>() {
            Ok(fault) => Self::Fault(fault),
            Err(error) => Self::Usage(format!("{error:#}")),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Fault(Fault::new(crate::error::FaultClass::Fatal, "writing to stdout", error))
    }
}

/// Keeps ONNX Runtime from writing events to a database below the home folder, and from sending them
/// to its maker.
const RUNTIME_SILENCE: &str = "ORT_DISABLE_TELEMETRY";

/// Becomes this program again with [`RUNTIME_SILENCE`] in its environment, unless it stands there.
/// The library looks as it is loaded, before it takes any setting, and a program with threads cannot
/// safely change its own environment.
fn silence_runtime() -> Result<(), std::io::Error> {
    if std::env::var_os(RUNTIME_SILENCE).is_some_and(|value| value == "1") {
        return Ok(());
    }
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let mut again = process::Command::new("/proc/self/exe");
    Err(again.arg0(name).args(args).env(RUNTIME_SILENCE, "1").exec())
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 64 } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    if !matches!(cli.command, Command::TextChild)
        && let Err(error) = silence_runtime()
    {
        say_aside(&format!("error: starting again with {RUNTIME_SILENCE} set: {error}\n"));
        return ExitCode::FAILURE;
    }
    let done = match cli.command {
        Command::TextChild => return text::child_main(),
        Command::Run(args) => run::run(&args),
        Command::Extract(args) => extract::extract(&args),
        Command::New(args) => new::new(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => golden::test(&args),
        Command::Eval(args) => eval::run(&args).map_err(Failure::from),
        Command::Demo(args) => demo::demo(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Rejects(args) => rejects::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Topics(args) => topics::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    let (code, words) = match failure {
        Failure::Fault(fault) => (1, format!("error: {}\n", fault.chain())),
        Failure::Usage(words) => (64, format!("error: {words}\n")),
        Failure::Told => (1, String::new()),
        Failure::Problems(problems) => {
            let mut words = String::new();
            for problem in problems {
                words.extend([problem.to_string(), "\n".to_owned()]);
            }
            (78, words)
        }
    };
    say_aside(&words);
    ExitCode::from(code)
}

/// Writes to stderr; a closed stderr is nobody's loss.
pub(crate) fn say_aside(words: &str) {
    drop(std::io::stderr().lock().write_all(words.as_bytes()));
}

/// Writes a line to stdout.
pub(crate) fn say(words: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(words.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Loads every folder, or gives the problems of all.
pub(crate) fn load_all(dirs: &[PathBuf]) -> Result<Vec<Flow>, Failure> {
    let mut flows = Vec::new();
    let mut problems = Vec::new();
    for dir in dirs {
        match config::load(dir) {
            Ok(flow) => flows.push(flow),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(config::check_together(&flows));
    if problems.is_empty() { Ok(flows) } else { Err(Failure::Problems(problems)) }
}

/// Loads one folder.
pub(crate) fn load(dir: &Path) -> Result<Flow, Failure> {
    config::load(dir).map_err(Failure::Problems)
}
