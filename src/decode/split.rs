//! `bytes -> ranges of entries`: a log or a list of work orders is cut into its entries.
//!
//! An entry is a line, with the lines behind it that belong to it: those of a stack trace and,
//! after a line that starts with date and time, every line that starts no entry of its own. Known
//! starts are syslog (RFC 3164 and 5424), date and time in the usual orders, a level, and a JSON
//! object on one line. Blank lines are passed over, line ends belong to no entry. One pass, and
//! the first bytes of each line only, so that any body costs linear time.
//!
//! Deliberately decodes no characters: an entry in which a byte is broken is that entry's matter.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexSet};

use crate::types::Span;

/// Limit: bytes of a line that are looked at for what the line is.
const HEAD_BYTES: usize = 160;

/// UTF-8's byte order mark, no part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How the lines of a body become entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Each line is an entry: JSON lines.
    Each,
    /// By what the lines look like.
    Log,
}

/// The entries of `body` in order; none is empty, none overlaps. Ends after `entries_max`.
pub(super) fn entries(body: &[u8], lines: Lines, entries_max: usize) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut open = Open::Nothing;
    let mut start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    while let Some(rest) = body.get(start..).filter(|rest| !rest.is_empty()) {
        let next = rest.iter().position(|byte| *byte == b'\n');
        let line = next.and_then(|at| rest.get(..at)).unwrap_or(rest);
        let shown = line.trim_ascii_end();
        let end = start + shown.len();
        if !shown.is_empty() {
            let kind = if lines == Lines::Each { Line::Json } else { Line::of(shown) };
            let (goes_on, after) = open.then(kind);
            open = after;
            if let Some(entry) = found.last_mut().filter(|_| goes_on) {
                entry.end = end;
            } else if found.len() == entries_max {
                return found;
            } else {
                found.push(Span { start, end });
            }
        }
        start += next.map_or(rest.len(), |at| at + 1);
    }
    found
}

/// What a line is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Starts with date and time.
    Stamped,
    /// Syslog, or starts with a level.
    Single,
    /// A JSON object.
    Json,
    /// A frame of a stack trace, or what leads to one.
    Trace,
    /// Starts with white space.
    Indented,
    /// Anything else.
    Plain,
}

/// The entry that the next line may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// None: whatever comes starts an entry.
    Nothing,
    /// One whose message may go on in any line that starts no entry.
    Stamped,
    /// One that goes on in indented lines only.
    Single,
    /// A plain line; only a stack trace belongs to it.
    Plain,
    /// A plain line within its stack trace.
    PlainTrace,
}

impl Open {
    /// Whether a line of that kind belongs to this entry, and what is open after it.
    const fn then(self, line: Line) -> (bool, Self) {
        let goes_on = match (self, line) {
            (Self::Nothing, _)
            | (_, Line::Stamped | Line::Single | Line::Json)
            | (Self::Single | Self::PlainTrace, Line::Plain)
            | (Self::Plain, Line::Indented | Line::Plain) => false,
            (Self::Stamped, Line::Trace | Line::Indented | Line::Plain)
            | (Self::Single | Self::PlainTrace, Line::Trace | Line::Indented)
            | (Self::Plain, Line::Trace) => true,
        };
        let after = match (goes_on, self, line) {
            (true, Self::Plain | Self::PlainTrace, _) | (false, _, Line::Trace) => Self::PlainTrace,
            (true, open, _) => open,
            (false, _, Line::Stamped) => Self::Stamped,
            (false, _, Line::Single) => Self::Single,
            (false, _, Line::Json) => Self::Nothing,
            (false, _, Line::Indented | Line::Plain) => Self::Plain,
        };
        (goes_on, after)
    }
}

/// Starts of entries with date and time: ISO 8601 and its kin, day and month first, month by name,
/// the time of day with a fraction (log4j `ABSOLUTE`), klog, log4j `TTCCLayout`, each with a level
/// or a bracket before it.
const STAMPED: [&str; 6] = [
    r"^(?:LEVEL[ \t:]+)?[\[(<]?\d{4}[-/.]\d\d[-/.]\d\d[T ,_]+\d\d:?\d\d",
    r"^(?:LEVEL[ \t:]+)?[\[(<]?\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}[T ,_]+\d\d?:\d\d",
    r"^(?:LEVEL[ \t:]+)?[\[(<]?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:\d\d?[-/ ]MONTH|MONTH \d\d?)[-/ ,]+(?:\d{2,4}[ :T]+\d\d:\d\d|\d\d:\d\d:\d\d(?:\.\d+)? \d{4})",
    r"^[\[(]?\d\d:\d\d:\d\d[.,]\d",
    r"^[IWEF]\d{4} \d\d:\d\d:\d\d",
    r"^\d+ \[[^\]]{1,80}\] LEVEL\b",
];

/// Starts of entries of one line: syslog with a priority, syslog without, a level, an access log.
const SINGLE: [&str; 4] = [
    r"^<\d{1,3}>",
    r"^MONTH [ \d]\d \d\d:\d\d:\d\d ",
    r"^[\[(]?LEVEL(?:[\]):|]|[ \t]+[\[(|:-]|:)",
    r"^[^ ]{1,64} [^ ]{1,64} [^ ]{1,64} \[\d\d/MONTH/\d{4}:\d\d:\d\d:",
];

const LEVEL: &str = "(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|SEVERE|FATAL)";
const MONTH: &str = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";

/// Lines of a stack trace: Java, .NET, Python, Go.
const TRACE: &str = r#"^(?:\s+at \S|\s*(?:Caused by|Suppressed): |\s*\.\.\. \d+ (?:more|common frames)|Traceback \(most recent call last\):|\s+File "|\s*--- End of |goroutine \d+ \[)"#;

/// The patterns of starts; those of [`STAMPED`] come first.
static STARTS: LazyLock<Option<RegexSet>> = LazyLock::new(|| {
    let patterns = STAMPED.iter().chain(&SINGLE);
    let full =
        patterns.map(|one| format!("(?-u){}", one.replace("LEVEL", LEVEL).replace("MONTH", MONTH)));
    RegexSet::new(full).ok()
});

static TRACES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?-u){TRACE}")).ok());

impl Line {
    fn of(line: &[u8]) -> Self {
        if line.starts_with(b"{") && line.ends_with(b"}") {
            return Self::Json;
        }
        let head = line.get(..HEAD_BYTES).unwrap_or(line);
        let is_trace = TRACES.as_ref().is_some_and(|traces| traces.is_match(head));
        if is_trace {
            return Self::Trace;
        }
        let starts = STARTS.as_ref().map(|starts| starts.matches(head));
        match starts.and_then(|found| found.into_iter().next()) {
            Some(number) if number < STAMPED.len() => Self::Stamped,
            Some(_) => Self::Single,
            None if head.first().is_some_and(u8::is_ascii_whitespace) => Self::Indented,
            None => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Line, Lines, STARTS, TRACES, entries};

    fn cut(body: &str, lines: Lines) -> Vec<&str> {
        entries(body.as_bytes(), lines, usize::MAX)
            .into_iter()
            .map(|span| body.get(span.range()).unwrap())
            .collect()
    }

    fn check(body: &str, expected: &[&str]) {
        assert_eq!(cut(body, Lines::Log), expected);
    }

    #[test]
    fn the_patterns_compile() {
        assert!(STARTS.is_some() && TRACES.is_some());
    }

    #[test]
    fn each_known_start_is_known() {
        for line in [
            "2024-05-01 10:00:00,123 INFO [main] com.acme.Pump - started",
            "2024-05-01T10:00:00.000Z pump started",
            "[2017-05-06 10:10:56,344] INFO [Group Metadata Manager]: done",
            "2013-09-06T20:00:48.124817Z something",
            "2024/05/01 10:00:00 [error] 31#31: upstream timed out",
            "20/Oct/2024:10:00:00 +0000 GET",
            "01.05.2024 10:00:00 Pumpe",
            "5/1/2024 9:07 PM shift log",
            "[Fri Sep 09 10:42:29.902022 2011] [core:error] file missing",
            "Fri Sep 9 2011 10:42:29 x",
            "10:42:29,902 INFO started",
            "E0102 03:04:05.678901 12345 file.go:10] boom",
            "0 [main] INFO  com.acme.Pump  - started",
            "INFO  2024-05-01 10:00:00 started",
            "ERROR [2024-05-01 10:00:00,1] started",
        ] {
            assert_eq!(Line::of(line.as_bytes()), Line::Stamped, "{line}");
        }
        for line in [
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed",
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
            "Oct  1 22:14:15 mymachine su: 'su root' failed",
            "ERROR:root:no such file",
            "[WARN] disk is full",
            "INFO - started",
            "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326",
        ] {
            assert_eq!(Line::of(line.as_bytes()), Line::Single, "{line}");
        }
        for line in [
            "replace hose on pump 3",
            "CRITICAL PUMP REPAIR",
            "2004-07-01 BUCKET WON'T OPEN",
            "1000 hr service",
            "{ not closed",
        ] {
            assert_eq!(Line::of(line.as_bytes()), Line::Plain, "{line}");
        }
    }

    #[test]
    fn work_orders_and_machine_lines_are_an_entry_a_line() {
        check("replace hose\n\n  leak at pump \r\n", &["replace hose", "  leak at pump"]);
        check("<1>a\n<2>b\nrest", &["<1>a", "<2>b", "rest"]);
        check("{\"a\":1}\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]);
        check("\u{FEFF}a\nb", &["a", "b"]);
        check("\n \n\t\r\n", &[]);
    }

    #[test]
    fn a_stack_trace_stays_with_its_entry() {
        let java = "2024-05-01 10:00:00,123 ERROR boom\njava.lang.Error: no\n\tat a.B.c(B.java:1)\n\
                    Caused by: x.Y: z\n\t... 3 more";
        let body = format!("{java}\n\n2024-05-01 10:00:01,000 INFO on\n");
        check(&body, &[java, "2024-05-01 10:00:01,000 INFO on"]);
        let plain = "java.lang.Error: no\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)";
        check(&format!("{plain}\nnext order"), &[plain, "next order"]);
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 1\n    boom()";
        check(&format!("{python}\nError: no"), &[python, "Error: no"]);
        let syslog = "<34>Oct 11 22:14:15 host app: failed\n  detail\n\tat x.Y";
        check(&format!("{syslog}\nplain"), &[syslog, "plain"]);
    }

    #[test]
    fn json_lines_are_never_joined() {
        assert_eq!(cut("{\"a\":\n 1}\n\tat x\n", Lines::Each), ["{\"a\":", " 1}", "\tat x"]);
        check("{\"a\":1}\n  indented", &["{\"a\":1}", "  indented"]);
    }

    #[test]
    fn cutting_ends_at_the_limit() {
        assert_eq!(entries(b"a\nb\nc\nd", Lines::Log, 3).len(), 3);
    }

    proptest! {
        #[test]
        fn every_byte_that_shows_is_in_one_entry_and_entries_stand_in_order(
            lines in prop::collection::vec(prop_oneof![
                "[ -~]{0,30}", Just("\tat a.B".to_owned()), Just(String::new()),
                Just("2024-05-01 10:00:00 x".to_owned()), Just("<3>x".to_owned()),
            ], 0..20),
            ends in prop::sample::select(vec!["\n", "\r\n"]),
            mode in prop::sample::select(vec![Lines::Each, Lines::Log]),
        ) {
            let body = lines.join(ends);
            let mut shown = String::new();
            let mut last = 0;
            for span in entries(body.as_bytes(), mode, usize::MAX) {
                prop_assert!(last <= span.start && span.start < span.end);
                last = span.end;
                shown.push_str(body.get(span.range()).unwrap());
            }
            let bare = |text: &str| text.split_ascii_whitespace().collect::<String>();
            prop_assert_eq!(bare(&shown), bare(&body));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for span in entries(&body, Lines::Log, usize::MAX) {
                prop_assert!(body.get(span.range()).is_some());
            }
        }
    }
}
