//! The targets of `fuzz/` over their committed corpus and thousands of changes of it, on every run of the tests.
//!
//! Deliberately blind to coverage: that is `make fuzz`, which needs a build of its own. What it finds is minimised, mended,
//! and put into the corpus, where this looks at it for ever after.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use targets::{TARGETS, Target, root};

use crate::support::env;

/// Changes of the corpus that each target sees, where `SLUICE_FUZZ_CHANGES` does not say more.
const CHANGES_COUNT: usize = 1_500;
/// Longest changed input, in bytes; a test of size stands in `bombs`.
const INPUT_BYTES_MAX: usize = 16_384;

/// Files of the corpus of a target, in order.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of `{name}` is empty");
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Words that a format gives weight to, from its dictionary in the form of libFuzzer.
fn dictionary(name: &str) -> Vec<Vec<u8>> {
    let Ok(text) = std::fs::read_to_string(root().join(format!("fuzz/dictionaries/{name}.dict")))
    else {
        return Vec::new();
    };
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

/// `\\`, `\"` and `\xAB` as libFuzzer reads them.
fn unescaped(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
        } else if let [b'x', high, low, ..] = after {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[3..];
        } else {
            bytes.push(after[0]);
            rest = &after[1..];
        }
    }
    bytes
}

/// A small generator (xorshift64, Marsaglia 2003) with a fixed seed: every run sees the same changes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }

    /// One change of `input`: of a bit, a byte, a run, or by what stands elsewhere.
    fn change(&mut self, input: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], words: &[Vec<u8>]) {
        let at = self.roll(input.len() + 1);
        let scale = self.roll(9);
        let length = 1 + self.roll(1 << scale);
        let end = (at + length).min(input.len());
        match self.roll(9) {
            0 if at < input.len() => input[at] ^= 1 << self.roll(8),
            1 if at < input.len() => input[at] = self.byte(),
            2 => input.insert(at, self.byte()),
            3 => drop(input.drain(at..end)),
            4 => {
                let run = input[at..end].to_vec();
                let place = self.roll(input.len() + 1);
                drop(input.splice(place..place, run));
            }
            5 => input.truncate(at),
            6 | 7 if !words.is_empty() => {
                let word = words[self.roll(words.len())].clone();
                drop(input.splice(at..at, word));
            }
            _ => {
                let other = &others[self.roll(others.len())].1;
                let from = self.roll(other.len() + 1);
                let run = &other[from..(from + length).min(other.len())];
                drop(input.splice(at..end, run.iter().copied()));
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

/// Runs `target` over its corpus and `count` changes of it; gives back the first input that breaks a promise.
fn find(target: Target, name: &str, count: usize) -> Option<Vec<u8>> {
    let (corpus, words) = (corpus(name), dictionary(name));
    let breaks = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| target(input))).is_err();
    if let Some((_, input)) = corpus.iter().find(|(_, input)| breaks(input)) {
        return Some(input.clone());
    }
    let mut dice = Dice(0x5EED_F022);
    let changed = std::iter::repeat_with(|| {
        let mut input = corpus[dice.roll(corpus.len())].1.clone();
        input.truncate(INPUT_BYTES_MAX);
        (0..=dice.roll(4)).for_each(|_| dice.change(&mut input, &corpus, &words));
        input
    });
    changed.take(count).find(|input| breaks(input))
}

/// The targets of these names hold for their corpus and changes of it.
fn hold(names: &[&str]) {
    let more = env("SLUICE_FUZZ_CHANGES").map(|text| text.parse().expect("a count"));
    for (name, target) in TARGETS.iter().filter(|(name, _)| names.contains(name)) {
        let found = find(*target, name, more.unwrap_or(CHANGES_COUNT));
        let shown = found.map(|input| input.escape_ascii().to_string());
        assert!(shown.is_none(), "`{name}` is broken by b\"{}\"", shown.unwrap_or_default());
    }
}

const DECODING: [&str; 5] = ["avro", "decode", "fhir", "hl7", "log"];
const READING: [&str; 4] = ["html", "pdf", "plain", "wire"];
const EXTRACTING: [&str; 3] = ["assemble", "chunk", "redact"];
const SETTINGS: [&str; 1] = ["pipeline"];

#[test]
fn no_message_body_breaks_decoding() {
    hold(&DECODING);
}

#[test]
fn no_document_breaks_reading() {
    hold(&READING);
}

#[test]
fn no_text_breaks_extracting() {
    hold(&EXTRACTING);
}

#[test]
fn no_settings_break_checking() {
    hold(&SETTINGS);
}

#[test]
fn a_broken_promise_is_found() {
    // A target that cannot bear one dropped brace, which no file of the corpus has.
    fn fragile(input: &[u8]) {
        let depth: i32 =
            input.iter().map(|byte| i32::from(*byte == b'{') - i32::from(*byte == b'}')).sum();
        assert!(depth == 0, "braces do not match");
    }
    assert!(find(fragile, "fhir", 0).is_none(), "the corpus itself is broken");
    assert!(find(fragile, "fhir", CHANGES_COUNT).is_some());
}

#[test]
fn every_target_is_in_the_tests_and_in_the_fuzzer() {
    let names = |found: &[&str]| found.iter().map(|name| (*name).to_owned()).collect();
    let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let tested: BTreeSet<String> =
        names(&[&DECODING[..], &READING, &EXTRACTING, &SETTINGS].concat());
    assert_eq!(all, tested);
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let of_manifest = manifest.lines().filter_map(|line| {
        line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"").map(str::to_owned)
    });
    assert_eq!(all, of_manifest.collect());
    let folders = std::fs::read_dir(root().join("fuzz/corpus")).unwrap();
    let of_corpus = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(all, of_corpus.collect());
}

/// The Rust files below `path`, or `path` itself.
fn sources(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![std::fs::read_to_string(path).unwrap()];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let is_source = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|it| it == "rs");
    entries.filter(is_source).flat_map(|path| sources(&path)).collect()
}

/// Names of the dependencies of a manifest, as code has them.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let lines = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")));
    names.collect()
}

/// What is missing to build the rooms of `fuzz/sluice.rs`: modules and crates that they name.
fn missing(listed: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let modules: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let all = dependencies(&root().join("Cargo.toml"));
    let paths =
        listed.lines().filter_map(|line| line.strip_prefix("#[path = \"../")?.strip_suffix("\"]"));
    let mut missing = BTreeSet::new();
    for path in paths {
        let path = root().join(path);
        let path = if path.ends_with("mod.rs") { path.parent().unwrap() } else { &path };
        for source in sources(path) {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let words = |before| {
                    line.split(before).skip(1).filter_map(|rest: &str| {
                        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
                    })
                };
                let unknown = words("crate::")
                    .filter(|word| word.starts_with(char::is_lowercase) && !modules.contains(word));
                missing.extend(unknown.map(|word| format!("mod {word}")));
                let foreign = all.iter().filter(|name| {
                    line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                        .any(|word| word.starts_with(&format!("{name}::")))
                });
                missing.extend(foreign.filter(|name| !crates.contains(*name)).cloned());
            }
        }
    }
    missing.into_iter().collect()
}

#[test]
fn the_fuzzer_has_every_module_and_crate_that_its_rooms_name() {
    let listed = std::fs::read_to_string(root().join("fuzz/sluice.rs")).unwrap();
    let crates = dependencies(&root().join("fuzz/Cargo.toml"));
    assert_eq!(missing(&listed, &crates), Vec::<String>::new());
    let fewer = crates.iter().filter(|name| *name != "nix").cloned().collect();
    let listed = listed.replace("pub mod http;", "");
    assert_eq!(missing(&listed, &fewer), ["mod http", "nix"]);
}

/// `(name, version)` of every package of a lock file.
fn locked(path: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let packages = text.split("[[package]]").skip(1).map(|entry| {
        let value = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_matches('"').to_owned()
        };
        (value("name = "), value("version = "))
    });
    packages.collect()
}

#[test]
fn the_fuzzer_is_built_from_the_versions_that_the_worker_is() {
    let (worker, fuzzer) =
        (locked(&root().join("Cargo.lock")), locked(&root().join("fuzz/Cargo.lock")));
    let names: BTreeSet<_> = worker.iter().map(|(name, _)| name).collect();
    let other: Vec<_> = fuzzer
        .iter()
        .filter(|package| names.contains(&package.0) && !worker.contains(package))
        .collect();
    assert!(fuzzer.len() > 100 && other.is_empty(), "{other:?}: copy Cargo.lock and lock again");
}
