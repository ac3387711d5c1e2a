//! `sluice extract DIR FILE...`: JSON lines on stdout, progress on stderr.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::offline::{KeyFrom, Means, Offline, position};
use super::{Failure, say, say_aside};
use crate::config::media_type_of;
use crate::error::{Fault, FaultClass};
use crate::source::{MAX_FILE_BYTES, delivery_of_bytes, delivery_of_file};
use crate::types::Delivery;

/// Extract from files without Kafka: one JSON line per part on stdout.
#[derive(Args)]
pub(super) struct ExtractArgs {
    /// Pipeline folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Files, folders (read with all below them), or `-` for one document on stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Content type of all inputs; by the file's extension unless given
    #[arg(long = "type", value_name = "TYPE")]
    content_type: Option<String>,
    #[command(flatten)]
    means: Means,
}

pub(super) fn extract(args: &ExtractArgs) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.files {
        collect(path, &mut files)?;
    }
    let offline = Offline::load(&args.dir, &args.means, KeyFrom::Environment)?;
    let count = files.len();
    let redacts = offline.engine.flow.pipeline.redact.is_some();
    let inputs = files.iter().enumerate().map(|(number, path)| {
        let (name, delivery) = input(args, number, path)?;
        // A file may be named after who it is about; its number tells the reader which it was.
        let name = if redacts { delivery.position.to_string() } else { name };
        Ok((name, delivery))
    });
    let mut told = 0;
    offline.each(inputs, |ended| {
        told += 1;
        say(&offline.json(&ended)?.to_string())?;
        say_aside(&format!("\r{told} outcomes of {count} files"));
        Ok(())
    })?;
    say_aside("\n");
    Ok(())
}

fn input(args: &ExtractArgs, number: usize, path: &Path) -> Result<(String, Delivery), Fault> {
    let own = args.content_type.as_deref();
    if path == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin()
            .take(MAX_FILE_BYTES)
            .read_to_end(&mut body)
            .map_err(|error| Fault::new(FaultClass::Fatal, "reading stdin", error))?;
        let kind = own.unwrap_or("text/plain");
        return Ok((
            "-".to_owned(),
            delivery_of_bytes(body, "-".to_owned(), kind, position(number)),
        ));
    }
    let kind = own.unwrap_or_else(|| media_type_of(path));
    let delivery = delivery_of_file(path, kind, position(number))?;
    Ok((path.display().to_string(), delivery))
}

/// Files at and below `path`, in order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let fault =
        |error| Fault::new(FaultClass::Fatal, format!("reading `{}`", path.display()), error);
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(fault)?;
    below.sort();
    below.iter().try_for_each(|path| collect(path, files))
}
