//! `raw words -> level of urgency` in the words of RFC 5424, section 6.2.1.
//!
//! Reads a syslog priority (`<34>`: facility times 8 plus severity), the words of syslog, log4j,
//! java.util.logging and Python, their letters where one stands alone (`E`), the numbers of syslog
//! (0 to 7) and of bunyan and pino (10 to 60). Deliberately knows no order of incidents ("SEV1").

use std::sync::LazyLock;

use regex::Regex;

use super::reading::{Reading, only, pattern, text_value};

/// Severities by their syslog number.
const LEVELS: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// Words of each severity, in lower case.
const WORDS: [&[&str]; 8] = [
    &["emergency", "emerg", "panic"],
    &["alert"],
    &["critical", "crit", "fatal"],
    &["error", "err", "severe"],
    &["warning", "warn"],
    &["notice"],
    &["info", "information", "informational"],
    &["debug", "trace", "verbose", "fine", "finer", "finest", "config"],
];

/// Letters that stand for a severity where one stands alone: Android, glog.
const LETTERS: [(&str, usize); 7] =
    [("F", 2), ("C", 2), ("E", 3), ("W", 4), ("I", 6), ("D", 7), ("V", 7)];

/// Largest priority: facility 23, severity 7.
const PRIORITY_MAX: usize = 191;

/// Reads the severity of a span.
pub(super) fn read(raw: &str) -> Reading {
    let word = raw.trim_matches(|letter: char| !letter.is_alphanumeric() && !"<>".contains(letter));
    let level = by_priority(word).or_else(|| by_number(word)).or_else(|| by_letter(word));
    let level = level
        .or_else(|| only(PARTS.find_iter(raw).filter_map(|part| by_word(part.as_str())).map(Some)));
    let name = level.and_then(|level| LEVELS.get(level));
    name.map_or(Reading::Unread, |name| text_value((*name).to_owned()))
}

fn by_priority(word: &str) -> Option<usize> {
    let digits = word.strip_prefix('<')?.split_once('>')?.0;
    let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let priority = digits.parse::<usize>().ok().filter(|_| is_number)?;
    (priority <= PRIORITY_MAX).then_some(priority % 8)
}

fn by_number(word: &str) -> Option<usize> {
    match word {
        "10" | "20" => Some(7),
        "30" => Some(6),
        "40" => Some(4),
        "50" => Some(3),
        "60" => Some(2),
        _ if word.len() == 1 => word.parse::<usize>().ok().filter(|level| *level <= 7),
        _ => None,
    }
}

fn by_letter(word: &str) -> Option<usize> {
    LETTERS.iter().find(|(letter, _)| *letter == word).map(|(_, level)| *level)
}

fn by_word(word: &str) -> Option<usize> {
    let word = word.to_ascii_lowercase();
    WORDS.iter().position(|words| words.contains(&word.as_str()))
}

static PARTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z]+"));

#[cfg(test)]
mod tests {
    use super::read;
    use crate::assemble::reading::Reading;

    fn check(raw: &str, expected: &str) {
        let found = match read(raw) {
            Reading::Value(value) => value.written().into_owned(),
            Reading::Blank | Reading::Unread => "unread".to_owned(),
        };
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn all_forms_come_to_one_scale() {
        check("<34>", "critical");
        check("<34>1 2003-10-11T22:14:15.003Z", "critical");
        check("<165>", "notice");
        check("WARN", "warning");
        check("[Error]", "error");
        check("level=info", "info");
        check("FATAL", "critical");
        check("E", "error");
        check("3", "error");
        check("30", "info");
        check("TRACE", "debug");
    }

    #[test]
    fn what_is_no_level_or_two_is_unread() {
        for raw in ["<192>", "<1234>", "SEV1", "8", "X", "", "error or warning", "<>"] {
            check(raw, "unread");
        }
    }
}
