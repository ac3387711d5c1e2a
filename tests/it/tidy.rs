//! House rules that neither the compiler nor clippy keeps, each with a proof that it can fail.
//!
//! Reads the tree as it lies on disk, so that a copy without version control is judged alike.
#![expect(clippy::string_slice, reason = "offsets come from a search in the same text")]
#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the files of this tree are named in lower case"
)]

use std::path::{Path, PathBuf};

use super::tidy_code::{bare, imports};

/// Stages of the way of a document. Each knows the leaves and no other stage.
const ROOMS: &[&str] = &[
    "assemble", "chunk", "claim", "decode", "infer", "redact", "route", "sink", "source", "text",
    "validate",
];

/// What any module may know. Leaves know leaves only.
const LEAVES: &[&str] = &[
    "backoff",
    "config",
    "error",
    "failpoint",
    "guard",
    "http",
    "kafka",
    "ledger",
    "listen",
    "metrics",
    "pulse",
    "queue",
    "registry",
    "shutdown",
    "telemetry",
    "types",
];

/// What may know everything.
const WIRING: &[&str] = &["cli", "eval", "inspect", "lib", "main", "worker"];

/// Foreign crates with the only places that may name them.
const FOREIGN: &[(&str, &[&str])] = &[
    ("anyhow", &["src/cli/", "src/eval/", "src/inspect/", "src/worker/again.rs"]),
    ("apache_avro", &["src/decode/", "src/registry/", "src/sink/"]),
    ("axum", &["src/admin.rs", "src/health.rs", "src/listen.rs"]),
    ("clap", &["src/cli/", "src/config/", "src/eval/", "src/inspect/"]),
    ("futures_core", &["src/claim/"]),
    ("hmac", &["src/types/"]),
    ("html5ever", &["src/text/"]),
    ("jsonschema", &["src/config/"]),
    ("landlock", &["src/text/"]),
    ("libc", &["src/text/"]),
    ("nix", &["src/text/"]),
    ("object_store", &["src/claim/"]),
    ("ort", &["src/infer/"]),
    ("pdf_extract", &["src/text/"]),
    ("pdfium_render", &["src/text/"]),
    ("opentelemetry", &["src/metrics/", "src/telemetry/"]),
    ("opentelemetry_appender_tracing", &["src/telemetry/"]),
    ("opentelemetry_otlp", &["src/telemetry/"]),
    ("opentelemetry_prometheus", &["src/metrics/"]),
    ("opentelemetry_sdk", &["src/metrics/", "src/telemetry/"]),
    ("prometheus", &["src/metrics/"]),
    (
        "rdkafka",
        &[
            "src/cli/demo",
            "src/inspect/",
            "src/kafka/",
            "src/sink/",
            "src/source/",
            "src/worker/again.rs",
        ],
    ),
    ("reqwest", &["src/claim/"]),
    ("rustix", &["src/claim/", "src/failpoint.rs", "src/text/"]),
    ("rustls", &["src/http.rs"]),
    ("saphyr_parser", &["src/config/"]),
    ("schemars", &["src/config/"]),
    ("seccompiler", &["src/text/"]),
    ("sha2", &["src/types/"]),
    ("tokenizers", &["src/chunk/"]),
    (
        "tokio",
        &[
            "src/admin.rs",
            "src/claim/",
            "src/kafka/",
            "src/listen.rs",
            "src/shutdown.rs",
            "src/telemetry/",
            "src/worker/",
        ],
    ),
    ("tracing_subscriber", &["src/telemetry/"]),
    ("ureq", &["src/http.rs", "src/kafka/", "src/registry/"]),
    ("whatlang", &["src/text/"]),
];

/// Rooms without IO, clock or chance, and what they must not name.
const PURE: &[&str] = &["assemble", "chunk", "decode", "redact", "route", "validate"];
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "rand",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
];

/// Limit: lines of one source file, its tests included.
const FILE_LINES_MAX: usize = 500;
/// Limit: lines of a document, by its name.
const DOCUMENT_LINES_MAX: &[(&str, usize)] = &[("ARCHITECTURE.md", 250), ("README.md", 100)];

/// One file of the tree.
struct Source {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// The module directly below the crate's root that the file belongs to.
fn module_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split('/').next().map(|name| name.trim_end_matches(".rs"))
}

fn rooms_import_leaves_only(file: &Source) -> Vec<String> {
    let Some(module) = module_of(&file.path).filter(|module| !WIRING.contains(module)) else {
        return Vec::new();
    };
    let (reached, mut problems) = imports(&file.path, &bare(&file.text));
    for other in reached {
        if other != module && !LEAVES.contains(&other.as_str()) {
            problems.push(format!("{}: `{module}` must not import `{other}`", file.path));
        }
    }
    problems
}

fn foreign_crates_have_one_place(file: &Source) -> Vec<String> {
    if !file.path.starts_with("src/") {
        return Vec::new();
    }
    let code = bare(&file.text);
    FOREIGN
        .iter()
        .filter(|(name, places)| {
            names(&code, name) && !places.iter().any(|place| file.path.starts_with(place))
        })
        .map(|(name, places)| {
            format!("{}: `{name}` belongs to {} only", file.path, places.join(", "))
        })
        .collect()
}

/// Whether `code` holds the path segment `name` with something behind it, or imports it whole.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let before = code[..at].chars().next_back();
        let behind = &code[at + name.len()..];
        let is_imported = code[..at].trim_end().ends_with("use");
        !before.is_some_and(is_part)
            && (behind.trim_start().starts_with("::")
                || (is_imported && !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_')))
    })
}

fn pure_rooms_do_no_io(file: &Source) -> Vec<String> {
    let Some(module) = module_of(&file.path).filter(|module| PURE.contains(module)) else {
        return Vec::new();
    };
    let code = bare(&file.text);
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    IMPURE
        .iter()
        .filter(|name| {
            code.match_indices(**name).any(|(at, _)| {
                !code[..at].chars().next_back().is_some_and(is_part)
                    && !code[at + name.len()..].starts_with(is_part)
            })
        })
        .map(|name| format!("{}: `{module}` is pure and must not name `{name}`", file.path))
        .collect()
}

fn the_environment_is_read_in_one_place(file: &Source) -> Vec<String> {
    let may = ["benches/", "src/cli/", "src/config/", "src/main.rs", "tests/"];
    if may.iter().any(|place| file.path.starts_with(place)) {
        return Vec::new();
    }
    let code = bare(&file.text);
    ["env::var", "env::args"]
        .iter()
        .filter(|call| code.contains(**call))
        .map(|call| format!("{}: `{call}` belongs to src/config and src/cli", file.path))
        .collect()
}

fn files_open_with_their_contract_and_stay_small(file: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    if !file.text.starts_with("//!") {
        problems.push(format!("{}: does not open with `//!`", file.path));
    }
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        problems.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path));
    }
    problems
}

fn nothing_is_left_to_do(file: &Source) -> Vec<String> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let is_word =
        |line: &str, word: &str| line.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
    numbered(file, |line| {
        words.iter().find(|word| is_word(line, word)).map(|word| format!("holds `{word}`"))
    })
}

fn no_path_of_one_machine(file: &Source) -> Vec<String> {
    let roots = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/tm", "p/w"),
    ];
    let starts_path = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}'))
    };
    numbered(file, |line| {
        roots
            .iter()
            .find(|root| line.match_indices(**root).any(|(at, _)| starts_path(line, at)))
            .map(|root| format!("holds the path of one machine, `{root}`"))
    })
}

fn numbered(file: &Source, judge: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| Some(format!("{}:{}: {}", file.path, index + 1, judge(line)?)))
        .collect()
}

fn prose_names_what_exists(file: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folders = ["src/", "tests/", "schemas/", "pipelines/", "scripts/", "training/", "models/"];
    let is_path = |words: &&str| {
        folders.iter().any(|folder| words.starts_with(folder))
            && !words.contains([' ', '*', '{', '<'])
            && !words.contains("NAME")
    };
    let is_prose = |line: &&str| file.path.ends_with(".md") || line.trim_start().starts_with("//");
    let prose: Vec<_> = file.text.lines().filter(is_prose).collect();
    prose
        .join("\n")
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_path)
        .filter(|path| !exists(path))
        .map(|path| format!("{}: names `{path}`, which does not exist", file.path))
        .collect()
}

fn documents_stay_short(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count();
    DOCUMENT_LINES_MAX
        .iter()
        .filter(|(name, most)| file.path == *name && lines > *most)
        .map(|(name, most)| format!("{name}: {lines} lines, at most {most}"))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` whose name passes, in order; hidden ones and data left out.
fn walk(folder: &Path, passes: &dyn Fn(&str) -> bool, found: &mut Vec<Source>) {
    let skipped = ["corpus", "expected", "samples", "target", "__pycache__"];
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || skipped.contains(&name) {
            continue;
        }
        if path.is_dir() {
            walk(&path, passes, found);
        } else if passes(name)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).expect("below the root");
            let path = path.to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}

fn rust() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        walk(&root().join(folder), &|name| name.ends_with(".rs"), &mut found);
    }
    assert!(found.len() > 50, "the tree was not found");
    found
}

/// Everything that people write and read.
fn prose_and_code() -> Vec<Source> {
    let endings = [
        ".avsc", ".json", ".md", ".py", ".rs", ".sh", ".toml", ".xml", ".yaml", ".yml", "Makefile",
    ];
    let passes =
        |name: &str| !name.contains('.') || endings.iter().any(|ending| name.ends_with(ending));
    let mut found = Vec::new();
    for folder in
        ["src", "tests", "benches", "fuzz", "schemas", "scripts", "pipelines", "training", "helm"]
    {
        walk(&root().join(folder), &passes, &mut found);
    }
    for entry in std::fs::read_dir(root()).expect("the root") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && !name.starts_with('.') && passes(name) {
            let text = std::fs::read_to_string(&path).expect("text in UTF-8");
            found.push(source(name, &text));
        }
    }
    found
}

fn documents() -> Vec<Source> {
    prose_and_code().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

#[test]
fn the_house_is_tidy() {
    let of_rust: &[fn(&Source) -> Vec<String>] = &[
        rooms_import_leaves_only,
        foreign_crates_have_one_place,
        pure_rooms_do_no_io,
        the_environment_is_read_in_one_place,
        files_open_with_their_contract_and_stay_small,
    ];
    let exists = |path: &str| root().join(path).exists();
    let mut problems = Vec::new();
    for file in rust() {
        problems.extend(of_rust.iter().flat_map(|rule| rule(&file)));
        problems.append(&mut prose_names_what_exists(&file, exists));
    }
    for file in prose_and_code() {
        problems.append(&mut nothing_is_left_to_do(&file));
        problems.append(&mut no_path_of_one_machine(&file));
    }
    for file in documents() {
        problems.append(&mut documents_stay_short(&file));
        problems.append(&mut prose_names_what_exists(&file, exists));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_room_and_leaf_of_the_rules_exists() {
    for name in ROOMS.iter().chain(LEAVES) {
        let src = root().join("src");
        let exists =
            src.join(name).join("mod.rs").exists() || src.join(format!("{name}.rs")).exists();
        assert!(exists, "there is no module `{name}`; take it out of the rules");
    }
}

/// `rule` refuses each of the texts at that path, and takes the others.
fn check(rule: impl Fn(&Source) -> Vec<String>, path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        assert!(!rule(&source(path, text)).is_empty(), "{path} passes with: {text}");
    }
    for text in good {
        let problems = rule(&source(path, text));
        assert!(problems.is_empty(), "{problems:?} for: {text}");
    }
}

#[test]
fn an_import_of_another_room_is_seen_however_it_is_written() {
    let bad = [
        "use crate::sink::Codec;",
        "use crate::{types::Text, sink};",
        "use crate::{\n    config::{self, Flow},\n    sink::codec::{self, Codec},\n};",
        "fn f() { crate::sink::send() }",
        "use super::sink;",
        "pub use super::{types, sink::Codec};",
        "mod inner { use super::super::sink; }",
        "use crate as house;",
        "use crate::{self as house};",
        "use crate::*;",
        "use super::{super::sink};",
        "// crate::types\nuse crate :: sink;",
    ];
    let good = [
        "use crate::types::Text;",
        "use crate::chunk::tokens;",
        "//! see [`crate::sink`]\n/* crate::sink */ const A: &str = \"crate::sink\";",
        "const A: &str = r#\"crate::sink \" \"#; use super::types;",
        "const Q: char = '\"'; fn f<'a>(x: &'a str) {} // crate::sink '\"",
        "mod tests { use super::*; use super::sink; }",
        "use crate::{config::Flow, types::{self, Text}};",
    ];
    check(rooms_import_leaves_only, "src/chunk/mod.rs", &bad, &good);
    let bad =
        ["use super::super::sink;", "mod a { mod b { use super::super::super::super::sink; } }"];
    check(rooms_import_leaves_only, "src/chunk/tokens.rs", &bad, &["use super::sink;"]);
    check(rooms_import_leaves_only, "src/types/value.rs", &["use crate::chunk::A;"], &[]);
    check(
        rooms_import_leaves_only,
        "src/queue/mod.rs",
        &["use super::infer;"],
        &["use super::types;"],
    );
    check(rooms_import_leaves_only, "src/worker/mod.rs", &[], &["use crate::sink::Codec;"]);
}

#[test]
fn a_foreign_crate_is_seen_outside_its_place() {
    let bad = ["use ort::Session;", "fn f() { ort::init() }", "use ort;", "use ort as o;"];
    let good = ["// ort::x", "use report::A;", "use crate::sort::A;", "let ort = 1;"];
    check(foreign_crates_have_one_place, "src/chunk/mod.rs", &bad, &good);
    check(foreign_crates_have_one_place, "src/infer/session.rs", &[], &bad);
}

#[test]
fn io_is_seen_in_a_pure_room() {
    let bad = ["use std::fs;", "let now = Instant::now();", "async { tokio::time::sleep(x) }"];
    let good = ["let random = 1;", "#[cfg(test)]\nmod tests { use std::fs; }", "// std::fs"];
    check(pure_rooms_do_no_io, "src/route/mod.rs", &bad, &good);
    check(pure_rooms_do_no_io, "src/sink/mod.rs", &[], &bad);
    let bad = ["let x = std::env::var_os(\"A\");", "env::args()"];
    check(the_environment_is_read_in_one_place, "src/text/mod.rs", &bad, &["env!(\"A\")"]);
    check(the_environment_is_read_in_one_place, "src/config/settings.rs", &[], &bad);
}

#[test]
fn slips_of_form_are_seen() {
    let long = "//! x\n".repeat(FILE_LINES_MAX + 1);
    let rule = files_open_with_their_contract_and_stay_small;
    check(rule, "src/a.rs", &["use a;", &long], &["//! A."]);
    let left = format!("// {}: later", concat!("TO", "DO"));
    check(nothing_is_left_to_do, "a.py", &[&left], &["# todo list", "AUTODOX"]);
    let bad = [format!("see {}/shared", concat!("/wo", "rk")), concat!("\"/ro", "ot/x").to_owned()];
    let good = ["../wo".to_owned() + "rk/x", "frame".to_owned() + "wo" + "rk/x"];
    check(
        no_path_of_one_machine,
        "a.md",
        &bad.each_ref().map(|s| &**s),
        &good.each_ref().map(|s| &**s),
    );
    let rule = |file: &Source| prose_names_what_exists(file, |path| path == "src/lib.rs");
    let good = ["`src/lib.rs`", "`pipelines/NAME/pipeline.yaml`", "src/gone.rs", "`src/*.rs`"];
    check(rule, "README.md", &["see `src/gone.rs`"], &good);
    check(rule, "src/lib.rs", &["//! See `src/gone.rs`"], &["let path = \"`src/gone.rs`\";"]);
    check(documents_stay_short, "README.md", &[&"x\n".repeat(101)], &["x"]);
}
