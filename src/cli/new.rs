//! `sluice new pipeline`: a model bundle -> a pipeline folder that `sluice check` passes.
//!
//! One column for each label, by the plainest type; the owner names, types and prunes them.
//! Deliberately writes over nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::table::flag_name;
use super::{Failure, say};
use crate::assemble::Plan;
use crate::config::bundle::{Bundle, MANIFEST};
use crate::config::pipeline::FlagSpec;
use crate::config::{HeadKind, Labels, RESERVED_COLUMNS};
use crate::error::{Fault, FaultClass};

/// Folder whose bundles are tried where none is named.
const MODELS: &str = "models";
/// Column of the flags.
const FLAGS: &str = "flags";
/// The one sample: what a pipeline says to an empty document.
const SAMPLE: &str = "001-empty.txt";

/// Make something new to start from.
#[derive(Args)]
pub(super) struct NewArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a pipeline folder that `sluice check` passes, with a column for each label of a model
    Pipeline(PipelineArgs),
}

/// Make a pipeline folder.
#[derive(Args)]
struct PipelineArgs {
    /// Name: lower-case letters, digits and hyphens; also the folder's
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder in which the pipeline's folder is made
    #[arg(long, default_value = "pipelines", value_name = "DIR")]
    dir: PathBuf,
    /// Folder of the model bundle; `models/NAME`, or the first in `models`, unless named
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

pub(super) fn new(args: &NewArgs) -> Result<(), Failure> {
    let What::Pipeline(args) = &args.what;
    if !is_name(&args.name) {
        let hint = "a name has at most 63 lower-case letters, digits and hyphens, a letter first";
        return Err(Failure::Usage(format!("`{}` is no name: {hint}", args.name)));
    }
    let dir = args.dir.join(&args.name);
    if dir.exists() {
        let words = format!("`{}` is there already; take another name", dir.display());
        return Err(Failure::Usage(words));
    }
    let model = match &args.model {
        Some(model) => model.clone(),
        None => a_bundle(&args.name)?,
    };
    let bundle = Bundle::load(&model)
        .map_err(|error| Fault::new(FaultClass::Fatal, "loading the model bundle", error))?;
    let draft = Draft::new(&args.name, &Labels::from(&bundle))?;
    let files = [
        ("pipeline.yaml", draft.pipeline(&relative(&args.dir, &model)?)),
        ("record.avsc", draft.record()),
        ("README.md", draft.readme(&dir)),
        ("SAMPLES.md", draft.samples()),
        (&format!("samples/{SAMPLE}"), String::new()),
        (&format!("expected/{SAMPLE}.json"), expected()),
    ];
    for (name, text) in files {
        write(&dir.join(name), &text)?;
    }
    let dir = dir.display();
    say(&format!(
        "made {dir} with the model bundle {}\nnext: edit {dir}/pipeline.yaml and record.avsc, then \
         `sluice check {dir}` and `sluice test {dir}`",
        model.display()
    ))
}

/// The rule of `Pipeline::name`.
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// `models/NAME`, else the first bundle by name.
fn a_bundle(name: &str) -> Result<PathBuf, Failure> {
    let own = Path::new(MODELS).join(name);
    if own.join(MANIFEST).is_file() {
        return Ok(own);
    }
    let entries = fs::read_dir(MODELS).into_iter().flatten().flatten();
    let bundles = entries.map(|entry| entry.path()).filter(|path| path.join(MANIFEST).is_file());
    bundles.min().ok_or_else(|| {
        Failure::Usage(format!("no model bundle in `{MODELS}`; name its folder with --model"))
    })
}

/// The way from a folder inside `parent` to `model`.
fn relative(parent: &Path, model: &Path) -> Result<String, Failure> {
    let fault = |error| Fault::new(FaultClass::Fatal, "looking for the model bundle", error);
    fs::create_dir_all(parent).map_err(fault)?;
    let from = fs::canonicalize(parent).map_err(fault)?;
    let to = fs::canonicalize(model).map_err(fault)?;
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other);
    let shared = shared.count();
    let ups = from.components().count() - shared + 1;
    let mut way: PathBuf = std::iter::repeat_n("..", ups).collect();
    way.extend(to.components().skip(shared));
    Ok(way.display().to_string())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let fault = |error| {
        Fault::new(FaultClass::Fatal, format!("writing the file `{}`", path.display()), error)
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, text).map_err(fault)?;
    Ok(())
}

/// How labels of identifiers begin; a head of nothing else is for redaction.
const IDENTIFIER: &str = "phi_";

/// One column of the draft.
struct Column {
    name: String,
    /// The key of its source and what it names.
    source: (&'static str, String),
    is_class: bool,
}

/// A pipeline before its owner has touched it.
struct Draft<'a> {
    name: &'a str,
    columns: Vec<Column>,
    flags: Vec<String>,
    /// The head that marks identifiers of persons.
    identifiers: Option<String>,
}

impl<'a> Draft<'a> {
    fn new(name: &'a str, labels: &Labels) -> Result<Self, Failure> {
        let spec = FlagSpec { column: FLAGS.to_owned(), labels: Vec::new() };
        let has_flags = (0..labels.names().len()).any(|label| labels.has_flag(label));
        let sections = BTreeMap::new();
        let plan =
            Plan::new(&[], &sections, has_flags.then_some(&spec), labels).map_err(|problems| {
                let told: Vec<_> = problems.into_iter().map(|(_, problem)| problem).collect();
                Failure::Usage(told.join("; "))
            })?;
        let mut columns: Vec<Column> = Vec::new();
        let mut identifiers = None;
        for head in labels.heads() {
            let mut names = labels.names().get(head.labels.clone()).into_iter().flatten();
            if names.all(|name| name.starts_with(IDENTIFIER)) {
                identifiers = Some(head.name.clone());
                continue;
            }
            let (key, names) = match head.kind {
                HeadKind::Classes => ("head", vec![head.name.clone()]),
                HeadKind::Multilabel | HeadKind::Entities => {
                    ("label", labels.names().get(head.labels.clone()).unwrap_or_default().to_vec())
                }
            };
            for source in names {
                let column = column_name(&source, &columns);
                let is_class = key == "head";
                columns.push(Column { name: column, source: (key, source), is_class });
            }
        }
        let flags = plan.flag_names().map(str::to_owned).collect();
        Ok(Self { name, columns, flags, identifiers })
    }

    fn pipeline(&self, model: &str) -> String {
        let name = self.name;
        let mut text = format!(
            "# {name}: say here in one line what it extracts, and from what.\n\
             # Every key is explained in schemas/pipeline.schema.json; `sluice check` tells every \
             mistake at once.\n\
             version: 1\nname: {name}\nrevision: \"1\"\nmodel: {model}\n\n\
             input:\n  topic: {name}.documents\n\n\
             # A column for each label of the model. Take out what nobody asks for, and give the \
             others their\n# types: date, duration, number and so on.\nfields:\n"
        );
        for Column { name, source: (key, source), is_class } in &self.columns {
            let kind = if *is_class { "class" } else { "text\n    many: true" };
            // A string of JSON is one of YAML.
            let source = json!(source);
            let line = writeln!(text, "  - name: {name}\n    {key}: {source}\n    type: {kind}");
            debug_assert!(line.is_ok(), "a string takes every line");
        }
        if !self.flags.is_empty() {
            text += "\nflags:\n  column: flags\n";
        }
        if let Some(head) = &self.identifiers {
            text += "\n# Identifiers of persons leave replaced; the key is SLUICE_REDACT_KEY.\n";
            text.extend(["redact:\n  head: ", head, "\n"]);
        }
        text += "\n# What must hold before a record is published; what does not goes to people, or \
                 is refused:\n# rules:\n#   - rule: required\n#     field: COLUMN\n";
        text + &format!(
            "\noutput:\n  record_topic: {name}.records\n  review_topic: {name}.reviews\n  \
             reject_topic: {name}.rejects\n"
        )
    }

    fn record(&self) -> String {
        let mut fields = vec![
            json!({"name": "record_id", "type": "string",
                   "doc": "PIPELINE/TOPIC/PARTITION/OFFSET/PART: the same on every attempt."}),
            json!({"name": "document_id", "type": "string",
                   "doc": "Identifier of the document, as its sender gave it."}),
        ];
        fields.extend(self.columns.iter().map(|column| {
            if column.is_class {
                json!({"name": column.name, "type": ["null", "string"], "default": null})
            } else {
                let list = json!({"type": "array", "items": "string"});
                json!({"name": column.name, "type": list, "default": []})
            }
        }));
        if !self.flags.is_empty() {
            let flags = self.flags.iter().map(|flag| json!({"name": flag, "type": "sluice.Flag"}));
            let flags: Vec<Value> = flags.collect();
            let record = json!({"type": "record", "name": "Flags", "fields": flags});
            fields.push(json!({"name": FLAGS, "type": record}));
        }
        let evidence = json!({"type": "array", "items": "sluice.Evidence"});
        fields.push(json!({"name": "evidence", "type": evidence,
                           "doc": "Places in the text that the values stand on."}));
        fields.push(json!({"name": "provenance", "type": "sluice.Provenance",
                           "doc": "What made this record, and from what."}));
        let record = json!({
            "type": "record",
            "name": "Record",
            "namespace": format!("sluice.{}", self.name.replace('-', "_")),
            "doc": "What one document says. Give each column a doc.",
            "fields": fields,
        });
        format!("{record:#}\n")
    }

    fn readme(&self, dir: &Path) -> String {
        let (name, dir) = (self.name, dir.display());
        format!(
            "# {name}\n\nSay here who reads the records, what the columns mean to them, and what \
             goes to review.\n\n    sluice check {dir}\n    sluice test {dir}\n    sluice extract \
             {dir} FILE...\n"
        )
    }

    fn samples(&self) -> String {
        format!(
            "# Samples of {}\n\nWhere each comes from, and under which licence.\n\n\
             | sample | from | shows |\n|--|--|--|\n| {SAMPLE} | made here | an empty document is \
             refused |\n",
            self.name
        )
    }
}

/// A column name made of a label, and not taken.
fn column_name(label: &str, taken: &[Column]) -> String {
    let mut name = flag_name(label);
    name.truncate(50);
    let is_free = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name != FLAGS
            && !RESERVED_COLUMNS.contains(&name)
            && taken.iter().all(|column| column.name != name)
    };
    if is_free(&name) {
        return name;
    }
    let numbered = (1..).map(|number| format!("column_{name}_{number}"));
    numbered.into_iter().find(|name| is_free(name)).unwrap_or(name)
}

/// What `sluice test` expects of the sample.
fn expected() -> String {
    let outcome = json!({
        "code": "DOCUMENT_EMPTY",
        "detail": "the message body has no bytes",
        "document": SAMPLE,
        "outcome": "reject",
        "part": 0,
        "room": "decode",
    });
    format!("{outcome:#}\n")
}

#[cfg(test)]
mod tests {
    use super::{Column, column_name, is_name};

    #[test]
    fn names_follow_the_rule_of_the_pipeline() {
        for name in ["leases", "a", "clinical-notes-2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Leases", "2leases", "-a", "a_b", "a/b", "..", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn column_names_are_made_of_labels_and_stand_once() {
        let column = |name: &str| Column {
            name: name.to_owned(),
            source: ("label", String::new()),
            is_class: false,
        };
        let taken = [column("sex"), column("column_sex_1")];
        for (label, expected) in [
            ("Rofr/Rofo", "rofr_rofo"),
            ("Sex", "column_sex_2"),
            ("flags", "column_flags_1"),
            ("provenance", "column_provenance_1"),
            ("1st", "column_1st_1"),
            ("Größe", "gr_e"),
        ] {
            assert_eq!(column_name(label, &taken), expected);
        }
    }
}
