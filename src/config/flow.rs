//! `pipeline folder -> Flow`, or every mistake in it at once.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bundle::{Bundle, BundleError, MANIFEST};
use super::check::{self, Known};
use super::draft::Draft;
use super::labels::Labels;
use super::pipeline::Pipeline;
use super::problem::{Problem, Report};
use super::shape;
use super::yaml::{self, Places};
use crate::types::Digest;

/// Name of the file that says what a pipeline does.
pub const PIPELINE_FILE: &str = "pipeline.yaml";

/// The other usual ending of its kind, which is not read.
const MISNAMED_FILE: &str = "pipeline.yml";

/// Limit: a settings file is for people; a larger one is another file by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One pipeline folder, read and checked.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it does.
    pub pipeline: Pipeline,
    /// Its folder.
    pub dir: PathBuf,
    /// Digest of `pipeline.yaml`.
    pub config_digest: Digest,
    /// The model bundle that it names.
    pub bundle: Bundle,
    /// Text of the Avro schema that it names; known to be JSON, its columns not yet compared.
    pub record_schema: String,
    /// File of that schema.
    pub record_schema_path: PathBuf,
    /// Where work on a range ends: by partition, one past its last offset. `None`: never.
    pub ends: Option<BTreeMap<i32, i64>>,
    places: Places,
}

impl Flow {
    /// The consumer group: the pipeline's own, or `sluice.` and its name.
    pub fn group(&self) -> String {
        let named = self.pipeline.input.group.clone();
        named.unwrap_or_else(|| format!("sluice.{}", self.pipeline.name))
    }

    /// The flow in a group of its own, for work on `range` once more, with outputs called `name`.
    #[must_use]
    pub fn in_group_of(mut self, name: &str, range: &str) -> Self {
        let group = format!("{}.{}", self.group(), self.again_id(name, range));
        self.pipeline.input.group = Some(group);
        self
    }

    /// The flow with `.NAME` behind every output topic.
    #[must_use]
    pub fn to_outputs(mut self, name: &str) -> Self {
        let output = &mut self.pipeline.output;
        let topics = [&mut output.record_topic, &mut output.review_topic, &mut output.reject_topic];
        for topic in topics.into_iter().chain(&mut output.audit_topic) {
            topic.extend([".", name]);
        }
        self
    }

    /// Names work on `range` with outputs called `name`: the same for the same.
    pub fn again_id(&self, name: &str, range: &str) -> String {
        let parts = [("pipeline", &*self.pipeline.name), ("output", name), ("range", range)];
        let digest = Digest::of_parts(parts.map(|(key, value)| (key, value.as_bytes())));
        format!("again.{name}.{}", digest.short())
    }

    /// Languages (ISO 639-1) that are extracted: the pipeline's own, or the model's.
    pub fn languages(&self) -> &[String] {
        let own = &self.pipeline.text.languages;
        if own.is_empty() { &self.bundle.languages } else { own }
    }

    /// A problem of the value at `key`, such as `fields[2].type`, for checks that other rooms
    /// make.
    pub fn problem(
        &self,
        key: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        let pointer = format!("/{}", key.replace(']', "").replace(['[', '.'], "/"));
        self.places.problem(&self.dir.join(PIPELINE_FILE), &pointer, problem, hint)
    }

    /// A problem of the record schema at `column`, such as `clauses.audit_rights`.
    pub fn schema_problem(
        &self,
        column: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        Problem {
            line: column_line(&self.record_schema, column),
            key: column.to_owned(),
            ..Problem::of_file(&self.record_schema_path, problem, hint)
        }
    }
}

/// The line of the Avro schema `text` that gives the column at the end of `key` its name.
fn column_line(text: &str, key: &str) -> Option<usize> {
    let column = format!("\"{}\"", key.rsplit('.').next().unwrap_or(key));
    let names = |line: &str| line.contains("\"name\"") && line.contains(&column);
    text.lines().position(names).map(|index| index + 1)
}

/// Reads and checks the pipeline in the folder `dir`. The problems stand in the order of their
/// files and lines.
pub fn load(dir: &Path) -> Result<Flow, Vec<Problem>> {
    let (file, text) = read_pipeline(dir).map_err(|problem| vec![problem])?;
    let read = yaml::read(&file, &text);
    let mut problems = read.problems;
    let Some(value) = read.value else { return Err(problems) };

    let mut report = Report::new(&file, &read.places);
    let wrong = shape::check(&value, &mut report);
    let draft = Draft::new(value.clone(), &wrong);
    let bundle = load_bundle(dir, &draft, &mut report);
    let labels = bundle.as_ref().map(Labels::from);
    let known = bundle
        .as_ref()
        .zip(labels.as_ref())
        .map(|(bundle, labels)| Known { labels, languages: &bundle.languages });
    check::check(&draft, known, &mut report);
    let schema = draft.output.as_ref().and_then(|output| {
        let path = dir.join(&output.schema);
        match read_schema(&path) {
            Ok(text) => Some((path, text)),
            Err(problem) => {
                report.problems.push(problem);
                None
            }
        }
    });
    problems.append(&mut report.problems);

    if let (true, Some(bundle), Some((record_schema_path, record_schema))) =
        (problems.is_empty(), bundle, schema)
    {
        match serde_json::from_value::<Pipeline>(value) {
            Ok(pipeline) => {
                return Ok(Flow {
                    pipeline,
                    dir: dir.to_path_buf(),
                    config_digest: Digest::of(text.as_bytes()),
                    bundle,
                    record_schema,
                    record_schema_path,
                    ends: None,
                    places: read.places,
                });
            }
            Err(error) => problems.push(Problem::of_file(&file, error.to_string(), "")),
        }
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

/// What flows of one process must not share.
pub fn check_together(flows: &[Flow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<&str, &Flow> = BTreeMap::new();
    let mut groups: BTreeMap<(String, &str), &Flow> = BTreeMap::new();
    for flow in flows {
        let name = flow.pipeline.name.as_str();
        if let Some(first) = names.insert(name, flow) {
            problems.push(flow.problem(
                "name",
                format!("`{name}` is the name of `{}` too", first.dir.display()),
                "record ids and transactions carry the name; give each its own",
            ));
        }
        let topic = flow.pipeline.input.topic.as_str();
        if let Some(first) = groups.insert((flow.group(), topic), flow) {
            problems.push(flow.problem(
                "input.group",
                format!(
                    "reads the topic `{topic}` in the same group as `{}`: each would see a part",
                    first.dir.display()
                ),
                "give each its own group",
            ));
        }
    }
    problems
}

fn read_pipeline(dir: &Path) -> Result<(PathBuf, String), Problem> {
    if dir.is_file() {
        let hint = "name the folder that holds pipeline.yaml";
        return Err(Problem::of_file(dir, "is a file", hint));
    }
    if !dir.is_dir() {
        return Err(Problem::of_file(dir, "there is no such folder", ""));
    }
    let file = dir.join(PIPELINE_FILE);
    if file.try_exists().is_ok_and(|exists| !exists) {
        let hint = if dir.join(MISNAMED_FILE).exists() {
            format!("rename `{MISNAMED_FILE}`")
        } else {
            format!("name the folder that holds {PIPELINE_FILE}")
        };
        return Err(Problem::of_file(&file, "there is no such file", hint));
    }
    let text = read_text(&file)?;
    Ok((file, text))
}

/// The text of a settings file.
fn read_text(path: &Path) -> Result<String, Problem> {
    let of = |problem: String, hint: &str| Problem::of_file(path, problem, hint);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| of(format!("cannot be read: {error}"), ""))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(of(format!("is larger than {FILE_BYTES_MAX} bytes"), ""));
    }
    String::from_utf8(bytes)
        .map_err(|error| of(format!("is not UTF-8: {error}"), "save it as UTF-8"))
}

fn load_bundle(dir: &Path, draft: &Draft, report: &mut Report<'_>) -> Option<Bundle> {
    const AT: &str = "/model";
    let model = draft.text_at(AT)?;
    if Path::new(model).is_absolute() {
        report.at(AT, "is an absolute path", "name it relative to pipeline.yaml");
        return None;
    }
    match Bundle::load(&dir.join(model)) {
        Ok(bundle) => Some(bundle),
        Err(error) => {
            let hint = if is_no_folder(&error) {
                "name the bundle's folder, relative to pipeline.yaml"
            } else {
                ""
            };
            report.at(AT, chain(&error), hint);
            None
        }
    }
}

/// Whether there is no manifest where the bundle should be: no such folder, or a file.
fn is_no_folder(error: &BundleError) -> bool {
    match error {
        BundleError::Read { path, source } => {
            path.ends_with(MANIFEST)
                && matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        }
        BundleError::Shape { .. } | BundleError::Value { .. } | BundleError::Digest { .. } => false,
    }
}

/// An error with all its causes.
fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        line.push_str(": ");
        line.push_str(&error.to_string());
        next = error.source();
    }
    line
}

fn read_schema(path: &Path) -> Result<String, Problem> {
    let text = read_text(path)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(_)) => Ok(text),
        Ok(_) => Err(Problem::of_line(path, 1, "is no Avro record schema", "start with `{`")),
        Err(error) => {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or_default();
            Err(Problem::of_line(path, error.line(), format!("is not JSON: {what}"), ""))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::load;
    use crate::config::fixture::{GOOD, folder};

    #[test]
    fn a_file_that_lies_elsewhere_is_told_with_its_place() {
        let root = folder(GOOD);
        let dir = root.path().join("leases");
        let check = |expected: &str| {
            let told = load(&dir).unwrap_err()[0].to_string();
            assert!(told.ends_with(expected), "{told}");
        };
        let model = "; name the bundle's folder, relative to pipeline.yaml";
        for name in ["bundle", "../bundle/bundle.json"] {
            let text = GOOD.replace("model: ../bundle", &format!("model: {name}"));
            fs::write(dir.join("pipeline.yaml"), text).unwrap();
            check(model);
        }
        fs::rename(dir.join("pipeline.yaml"), dir.join("pipeline.yml")).unwrap();
        check("pipeline.yaml: there is no such file; rename `pipeline.yml`");
        fs::remove_file(dir.join("pipeline.yml")).unwrap();
        check("there is no such file; name the folder that holds pipeline.yaml");
    }
}
