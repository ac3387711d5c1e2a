//! `what is wrong -> one line with file, line, key and hint`.
//!
//! Deliberately keeps no order of importance: every problem is an error, and all are told at once.

use std::fmt;
use std::path::{Path, PathBuf};

use super::yaml::Places;

/// One mistake in a pipeline folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file that holds the mistake, as it was named on the command line.
    pub file: PathBuf,
    /// Line in the file, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// The key, such as `fields[2].type`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong, in lower case without a final stop.
    pub problem: String,
    /// How to mend it; empty where the problem says it all.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: &Path, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            file: file.to_path_buf(),
            line: None,
            key: String::new(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// A problem of one line of a file.
    pub fn of_line(
        file: &Path,
        line: usize,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { line: Some(line), ..Self::of_file(file, problem, hint) }
    }
}

/// Collects the problems of one `pipeline.yaml`.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a Path,
    places: &'a Places,
    /// Found so far.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) const fn new(file: &'a Path, places: &'a Places) -> Self {
        Self { file, places, problems: Vec::new() }
    }

    /// A problem of the value at `pointer` (RFC 6901); the line is that of its key, or of the
    /// nearest key above where it has none.
    pub(super) fn at(
        &mut self,
        pointer: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(self.places.problem(self.file, pointer, problem, hint));
    }

    /// The line of the key at `pointer`; 1 where nothing has a line.
    pub(super) fn line(&self, pointer: &str) -> usize {
        self.places.line(pointer).unwrap_or(1)
    }
}

/// The candidate that `given` most likely was meant to be: at most one slip in three letters, or
/// else a start so alike that the ending may differ (`Party`, `Parties`).
pub(super) fn closest<'c>(given: &str, candidates: &[&'c str]) -> Option<&'c str> {
    /// Jaro-Winkler similarity, which favours a common start.
    const ALIKE_MIN: f64 = 0.85;
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let given = plain(given);
    let slips = |candidate: &&'c str| strsim::damerau_levenshtein(&given, &plain(candidate));
    let nearest = candidates.iter().min_by_key(|candidate| (slips(candidate), **candidate))?;
    let is_close = slips(nearest) <= (given.chars().count() / 3).max(1)
        || strsim::jaro_winkler(&given, &plain(nearest)) >= ALIKE_MIN;
    is_close.then_some(*nearest)
}

/// "did you mean" where one candidate is close, else the candidates themselves if they are few.
pub(super) fn suggest(given: &str, candidates: &[&str]) -> String {
    /// Limit: a hint stays on one line.
    const LISTED_MAX: usize = 12;
    if let Some(candidate) = closest(given, candidates) {
        return format!("did you mean `{candidate}`?");
    }
    if candidates.is_empty() || candidates.len() > LISTED_MAX {
        return String::new();
    }
    format!("known are {}", listed(candidates))
}

/// The words in backticks, with commas.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Problem, suggest};

    #[test]
    fn a_problem_reads_file_line_key_problem_hint() {
        let mut problem = Problem::of_line(
            Path::new("pipelines/x/pipeline.yaml"),
            12,
            "unknown value `dat`",
            "did you mean `date`?",
        );
        problem.key = "fields[2].type".to_owned();
        assert_eq!(
            problem.to_string(),
            "pipelines/x/pipeline.yaml:12: fields[2].type: unknown value `dat`; \
             did you mean `date`?"
        );
        let whole = Problem::of_file(Path::new("x"), "is missing", "");
        assert_eq!(whole.to_string(), "x: is missing");
    }

    #[test]
    fn a_suggestion_is_close_or_a_short_list() {
        let check = |given: &str, candidates: &[&str], expected: &str| {
            assert_eq!(suggest(given, candidates), expected, "{given}");
        };
        check("topc", &["topic", "group"], "did you mean `topic`?");
        check("record-topic", &["record_topic"], "did you mean `record_topic`?");
        check("Governing law", &["Governing Law"], "did you mean `Governing Law`?");
        check("Party", &["Parties", "Agreement Date"], "did you mean `Parties`?");
        check("zebra", &["topic", "group"], "known are `topic`, `group`");
        check("zebra", &[], "");
        check("zebra", &["many"; 13], "");
    }
}
