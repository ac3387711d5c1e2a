//! OBX with a number, a code or a time `-> a line of text`: `Potassium: 5.9 mmol/L (3.5-5.1) H`.
//!
//! Name (OBX-3), value (OBX-5), unit (OBX-6), reference range (OBX-7) and flags (OBX-8) stand in
//! the order in which a printed report has them, since that is what models and people read.
//! Deliberately converts no unit and judges no flag.

use encoding_rs::Encoding;

use super::er7::Separators;
use super::moment;

/// How OBX-2 says that a value is written.
#[derive(Clone, Copy)]
enum Form {
    /// A number, a code of a table or a short text: its first component.
    Plain,
    /// A number with a comparator, a range or a ratio (SN).
    Structured,
    /// A code with its words (CE, CWE, CNE, CF).
    Coded,
    /// A day, with a time or without (DT, TS, DTM).
    Date,
    /// A time of day (TM).
    Time,
}

/// Reads results in a message's own separators and character set.
#[derive(Clone, Copy)]
pub(super) struct Results {
    pub(super) separators: Separators,
    pub(super) charset: &'static Encoding,
}

impl Results {
    /// The line of an OBX; `None` where its type is none of a result, or it has no value.
    pub(super) fn line(&self, segment: &str) -> Option<String> {
        let of = self.separators;
        let form = match of.field(segment, 2) {
            "NM" | "ID" | "IS" => Form::Plain,
            "ST" if self.is_measured(segment) => Form::Plain,
            "SN" => Form::Structured,
            "CE" | "CWE" | "CNE" | "CF" => Form::Coded,
            "DT" | "TS" | "DTM" => Form::Date,
            "TM" => Form::Time,
            _ => return None,
        };
        let values = of.repetitions(of.field(segment, 5));
        let values: Vec<_> = values.filter_map(|value| self.value(form, value)).collect();
        if values.is_empty() {
            return None;
        }
        let mut line = self.coded(of.field(segment, 3)).unwrap_or_default();
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&values.join(", "));
        let unit = of.field(segment, 6);
        if let Some(unit) = self.component(unit, 1).or_else(|| self.component(unit, 2)) {
            line.push(' ');
            line.push_str(&unit);
        }
        if let Some(range) = self.component(of.field(segment, 7), 1) {
            line.extend([" (", range.as_str(), ")"]);
        }
        for flag in of.repetitions(of.field(segment, 8)) {
            if let Some(flag) = self.component(flag, 1) {
                line.push(' ');
                line.push_str(&flag);
            }
        }
        Some(line)
    }

    /// Whether a string is a result and no line of a report: it has a unit, a range or a flag.
    fn is_measured(&self, segment: &str) -> bool {
        (6..=8).any(|number| self.component(self.separators.field(segment, number), 1).is_some())
    }

    fn value(&self, form: Form, value: &str) -> Option<String> {
        match form {
            Form::Plain => self.component(value, 1),
            Form::Structured => {
                let parts: String =
                    (1..=4).filter_map(|part| self.component(value, part)).collect();
                Some(parts).filter(|parts| !parts.is_empty())
            }
            Form::Coded => self.coded(value),
            Form::Date => self.component(value, 1).map(|value| moment::date(&value)),
            Form::Time => self.component(value, 1).map(|value| moment::time(&value)),
        }
    }

    /// The words of a coded element: its text, else its other text, else what was meant, else the
    /// code.
    fn coded(&self, element: &str) -> Option<String> {
        [2, 5, 9, 1].into_iter().find_map(|part| self.component(element, part))
    }

    /// A component on one line, where it holds anything.
    fn component(&self, field: &str, number: usize) -> Option<String> {
        let component = self.separators.component(field, number);
        let text = self.separators.unescape(component, self.charset);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!words.is_empty() && words != "\"\"").then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_8;

    use super::{Results, Separators};

    fn check(segment: &str, expected: Option<&str>) {
        let separators = Separators::of(r"MSH|^~\&|").unwrap();
        let results = Results { separators, charset: UTF_8 };
        assert_eq!(results.line(segment).as_deref(), expected, "{segment}");
    }

    #[test]
    fn a_result_is_a_line_as_a_report_has_it() {
        check(
            "OBX|1|NM|2823-3^Potassium^LN||5.9|mmol/L^millimole per liter^UCUM|3.5-5.1|H|||F",
            Some("Potassium: 5.9 mmol/L (3.5-5.1) H"),
        );
        check(r"OBX|2|NM|777-3^Platelets||250|10*9/L\T\|||", Some("Platelets: 250 10*9/L&"));
        check("OBX|3|SN|1988-5^CRP||<^0.5|mg/L|<5|N", Some("CRP: <0.5 mg/L (<5) N"));
        check("OBX|4|SN|^Titer||^1^:^128", Some("Titer: 1:128"));
        check(
            "OBX|5|CE|600-7^Culture||112283007^Escherichia coli^SCT~^Yeast",
            Some("Culture: Escherichia coli, Yeast"),
        );
        check("OBX|6|CWE|X^^L^^Blood group||^^^^A positive", Some("Blood group: A positive"));
        check("OBX|7|TS|^Collected||202403031430", Some("Collected: 2024-03-03 14:30"));
        check("OBX|8|DT|^Last dose||20240301", Some("Last dose: 2024-03-01"));
        check("OBX|9|TM|^At||0815", Some("At: 08:15"));
        check(
            "OBX|10|ST|^HIV 1 antibody||Negative||Negative|N",
            Some("HIV 1 antibody: Negative (Negative) N"),
        );
        check("OBX|11|NM|||7", Some("7"));
        check("OBX|12|NM|^A||1|mg||HH~A", Some("A: 1 mg HH A"));
    }

    #[test]
    fn what_has_no_value_or_is_no_result_gives_no_line() {
        check("OBX|1|NM|^Potassium||", None);
        check("OBX|1|NM|^Potassium||\"\"|mmol/L", None);
        check("OBX|1|ST|^Note||a line of a report", None);
        check("OBX|1|TX|^Note||a line||range", None);
        check("OBX|1|XPN|^Name||Doe^Jane", None);
    }
}
