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
    let given = plain(given);
    let slips = |candidate: &str| strsim::damerau_levenshtein(&given, &plain(candidate));
    let alike = |candidate: &str| strsim::jaro_winkler(&given, &plain(candidate));
    let candidates = candidates.iter().copied();
    let nearest = candidates.clone().min_by_key(|candidate| (slips(candidate), *candidate))?;
    if slips(nearest) <= (given.chars().count() / 3).max(1) {
        return Some(nearest);
    }
    candidates
        .max_by(|one, other| alike(one).total_cmp(&alike(other)))
        .filter(|candidate| alike(candidate) >= ALIKE_MIN)
}

/// "did you mean" where one candidate is close, else the candidates themselves: all if they are
/// few, and those that sound most like it if they are many.
pub(super) fn suggest(given: &str, candidates: &[&str]) -> String {
    /// Limit: a hint that can be read at a glance; all types of a field, of which none may sound
    /// like the word that was tried (`string` for `text`), are 18.
    const LISTED_MAX: usize = 20;
    /// Limit: of the many labels of a model so many are told.
    const NEAREST_MAX: usize = 6;
    if let Some(candidate) = closest(given, candidates) {
        return format!("did you mean `{candidate}`?");
    }
    if candidates.is_empty() {
        return String::new();
    }
    if candidates.len() <= LISTED_MAX {
        return format!("known are {}", listed(candidates));
    }
    let mut nearest = candidates.to_vec();
    nearest.sort_by(|one, other| likeness(given, other).total_cmp(&likeness(given, one)));
    nearest.truncate(NEAREST_MAX);
    format!("the nearest of {} are {}", candidates.len(), listed(&nearest))
}

/// A name without what people write now so and now so.
fn plain(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}

/// How much two names sound alike, by the two words of theirs that do most: a name of several
/// words is tried by any of them (`expiry` for `Expiration Date`).
fn likeness(one: &str, other: &str) -> f64 {
    /// Limit: letters of a word; shorter ones (`of`, `to`) are in many names.
    const LETTERS_MIN: usize = 3;
    let [one, other] = [one, other].map(plain);
    let words = |name: &str| -> Vec<String> {
        let words = name.split('_').filter(|word| word.chars().count() >= LETTERS_MIN);
        words.chain([name]).map(str::to_owned).collect()
    };
    let others = words(&other);
    let pairs = words(&one).into_iter().flat_map(|word| {
        others.iter().map(move |other| strsim::jaro_winkler(&word, other)).collect::<Vec<_>>()
    });
    // The whole names decide among those that share a word.
    pairs.fold(0.0, f64::max) + strsim::jaro_winkler(&one, &other)
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
        let types = [
            "text",
            "party",
            "date",
            "duration",
            "jurisdiction",
            "class",
            "timestamp",
            "integer",
            "number",
            "comparator",
            "unit",
            "choice",
            "severity",
        ];
        let all = "known are `text`, `party`, `date`, `duration`, `jurisdiction`, `class`, \
                   `timestamp`, `integer`, `number`, `comparator`, `unit`, `choice`, `severity`";
        check("string", &types, all);
        check("int", &types, "did you mean `integer`?");
        let labels: Vec<_> = ["Cap On Liability", "Effective Date", "Expiration Date"]
            .into_iter()
            .chain(["Exclusivity", "Renewal Term", "Termination For Convenience"])
            .chain(["Zebra Crossing"; 15])
            .collect();
        let near = "the nearest of 21 are `Expiration Date`, ";
        assert!(suggest("expiry", &labels).starts_with(near), "{}", suggest("expiry", &labels));
    }
}
