//! Whole data sets through the shipped pipelines, by `sluice extract`: how documents end, and what
//! is found, against what the data says.
//!
//! Reads `aci_bench`, `incidents_2i2c`, `pdl_excavator` and `logs_permissive` below `SLUICE_DATA`, and
//! fails without. The floors stand a little below what was measured when they were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::folder;

/// The outcomes of `files`, a line each, as `pipelines/NAME` ends them; `more` are arguments.
fn outcomes(pipeline: &str, files: &[PathBuf], more: &[&str]) -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(pipeline);
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("extract")
        .arg(dir)
        .args(files)
        .args(more)
        .env("SLUICE_REDACT_KEY", "a key for this test alone")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("an outcome a line")).collect()
}

/// How many of each kind.
fn kinds(outcomes: &[Value]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for outcome in outcomes {
        *kinds.entry(outcome["outcome"].as_str().expect("a kind")).or_default() += 1;
    }
    kinds
}

fn share(part: usize, whole: usize) -> f64 {
    let [part, whole] = [part, whole].map(|count| u32::try_from(count).expect("a count"));
    f64::from(part) / f64::from(whole)
}

/// Notes that people wrote of visits; their age and sex are given beside them.
#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn notes_of_visits_end_as_records_with_age_sex_problems_and_sections() {
    let path = folder().join("aci_bench/valid.jsonl");
    let lines = std::fs::read_to_string(path).expect("the data set has the file");
    let notes: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a note a line")).collect();
    let place = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (number, note) in notes.iter().enumerate() {
        let file = place.path().join(format!("{number:03}.txt"));
        std::fs::write(&file, note["note"].as_str().expect("a text")).expect("a file");
        files.push(file);
    }
    let ended = outcomes("clinical-notes", &files, &[]);
    assert_eq!(ended.len(), notes.len());
    let told = kinds(&ended);
    assert_eq!(told.get("reject"), None, "{told:?}");
    let records = told.get("record").copied().unwrap_or_default();
    assert!(share(records, notes.len()) >= 0.9, "{told:?}");

    let (mut ages, mut right_ages, mut sexes, mut right_sexes) = (0, 0, 0, 0);
    let mut lists: BTreeMap<&str, usize> = BTreeMap::new();
    for (outcome, note) in ended.iter().zip(&notes) {
        let (record, meta) = (&outcome["record"], &note["meta"]);
        for column in ["problems", "medications", "labs", "procedures", "anatomy", "sections"] {
            *lists.entry(column).or_default() += record[column].as_array().map_or(0, Vec::len);
        }
        if let Some(age) = record["age"].as_i64() {
            // Above 89 an age leaves as 90; "58", "58.0" and "22-month" stand in the data.
            let given = meta["patient_age"].as_str().and_then(|it| it.trim().parse::<f64>().ok());
            ages += 1;
            right_ages +=
                usize::from(given.is_some_and(|it| it.min(90.0).to_string() == age.to_string()));
        }
        if let Some(sex) = record["sex"].as_str() {
            sexes += 1;
            let given = meta["patient_gender"].as_str().unwrap_or_default();
            right_sexes += usize::from(given.trim() == sex);
        }
    }
    let told =
        format!("{told:?}, ages {right_ages}/{ages}, sexes {right_sexes}/{sexes}, {lists:?}");
    let mean = |column| share(lists[column], notes.len());
    assert!(ages >= 14 && share(right_ages, ages) >= 0.9, "{told}");
    assert!(sexes >= 14 && share(right_sexes, sexes) >= 0.9, "{told}");
    assert!(
        mean("problems") >= 15.0 && mean("medications") >= 3.0 && mean("sections") >= 6.0,
        "{told}"
    );
}

/// What a reader finds in a report: words of start and end, the duration, how the impact begins, and
/// a name of the service. Written by hand from the reports; `None` where a report says nothing of it.
struct Read {
    file: &'static str,
    start: Option<&'static str>,
    end: Option<&'static str>,
    duration: Option<&'static str>,
    impact: &'static str,
    service: &'static str,
}

const fn times(
    file: &'static str,
    (start, end, duration): (&'static str, &'static str, &'static str),
    (impact, service): (&'static str, &'static str),
) -> Read {
    let (start, end, duration) = (Some(start), Some(end), Some(duration));
    Read { file, start, end, duration, impact, service }
}

const READ: [Read; 11] = [
    times(
        "2022-09-06-utoronto-500.pdf",
        ("Sep 6 at 05:25", "Sep 6 at 10:48", "PT5H23M"),
        ("Users were getting 500 errors", "UToronto"),
    ),
    times(
        "2022-10-31-utoronto-500-errors-db-full.pdf",
        ("Oct 31 at 18:27", "Oct 31 at 21:00", "PT2H33M"),
        ("Users were unable to log in", "UToronto"),
    ),
    times(
        "2025-08-29-ucmerced-too-many-users-throttled.pdf",
        ("Aug 29 at 09:00", "Sep 2 at 10:30", "P4DT1H30M"),
        ("Students experienced issues", "UCMerced"),
    ),
    times(
        "2025-10-03-utoronto-new-server-startup.pdf",
        ("Oct 3 at 09:11", "Oct 3 at 09:34", "PT23M24S"),
        ("Azure and University of Toronto", "UToronto"),
    ),
    times(
        "2025-10-08-oceanhackweek-hub-503-response.pdf",
        ("Oct 7 at 16:38", "Oct 7 at 16:58", "PT20M"),
        ("The oceanhackweek production hub", "oceanhackweek"),
    ),
    times(
        "2026-01-13-redirect-loop-leap.pdf",
        ("Jan 13 at 20:10", "Jan 14 at 14:02", "PT17H52M20S"),
        ("A workshop using the leap production hub", "leap"),
    ),
    times(
        "2026-01-29-temple-cluster-failed-runtime-check.pdf",
        ("Jan 29 at 15:21", "Jan 29 at 15:28", "PT7M4S"),
        ("The Temple cluster was unreachable", "Temple"),
    ),
    times(
        "2026-03-12-LIS-hub-unreachable-after-ingress-migration.pdf",
        ("Mar 12 at 15:51", "Mar 12 at 16:12", "PT21M3S"),
        ("A change to the LIS ingress", "LIS"),
    ),
    Read {
        file: "2025-08-12-leap-outage.md",
        start: Some("Aug 12, 2025 at 4:32PM UTC"),
        end: None,
        duration: Some("PT1H"),
        impact: "On August 12 2025, a 2i2c engineer",
        service: "LEAP",
    },
    Read {
        file: "2023-01-23-Upgrading-ingress-nginx-caused-brief-outage-in-carbonplan.md",
        start: None,
        end: None,
        duration: None,
        impact: "I think only users of carbonplan",
        service: "carbonplan",
    },
    Read {
        file: "2025-07-11-cloudbank-healthcheck.md",
        start: Some("July 11, 2025 at 4:42PM UTC"),
        end: None,
        duration: None,
        impact: "After a PR from the community",
        service: "cloudbank",
    },
];

/// Reports name no year, which the timestamp of a Kafka message gives; so the words are compared.
#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn reports_of_outages_give_what_a_reader_finds_in_them() {
    let reports = folder().join("incidents_2i2c/reports");
    let ended = outcomes("incident-logs", std::slice::from_ref(&reports), &[]);
    let told = kinds(&ended);
    assert_eq!((ended.len(), told.get("reject")), (21, None), "{told:?}");

    let mut right: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    for read in &READ {
        let of_file =
            |one: &&Value| one["document"].as_str().is_some_and(|it| it.ends_with(read.file));
        let outcome = ended.iter().find(of_file).expect("each report has an outcome");
        let record = &outcome["record"];
        // Where the words name no year, the next ones that do are taken, and both are told.
        let is_told = |field: &str, words: Option<&str>| {
            let places = record["evidence"].as_array().into_iter().flatten();
            let mut places = places.filter(|place| place["field"] == field).peekable();
            match words {
                Some(words) => places.any(|place| place["raw"] == words),
                None => places.peek().is_none(),
            }
        };
        let services = record["services"].as_array().into_iter().flatten();
        let mut services = services.filter_map(Value::as_str).map(str::to_lowercase);
        let impact = record["impact"].as_str().unwrap_or_default();
        let same = [
            ("start", is_told("outage_start", read.start)),
            ("end", is_told("outage_end", read.end)),
            ("duration", record["outage_duration"].as_str() == read.duration),
            ("impact", impact.starts_with(read.impact)),
            ("service", services.any(|service| service.contains(&read.service.to_lowercase()))),
        ];
        for (what, is_same) in same {
            *right.entry(what).or_default() += usize::from(is_same);
            if !is_same {
                missed.push(format!("{what} of {}", read.file));
            }
        }
    }
    let told = format!("{told:?}, of {} right: {right:?}; not: {missed:?}", READ.len());
    for (what, floor) in
        [("start", 11), ("end", 11), ("duration", 11), ("impact", 11), ("service", 6)]
    {
        assert!(right[what] >= floor, "{what}: {told}");
    }
}

/// Raw work orders, one a line, as one message.
#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn every_work_order_ends_as_a_record_and_most_have_an_item() {
    let file = folder().join("pdl_excavator/test.jsonl");
    let lines = std::fs::read_to_string(file).expect("the data set has the file");
    let orders: Vec<String> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|order| order["OriginalShorttext"].as_str().map(|it| it.trim().to_owned()))
        .filter(|order| !order.is_empty())
        .collect();
    let place = tempfile::tempdir().expect("a folder");
    let list = place.path().join("orders.txt");
    std::fs::write(&list, orders.join("\n")).expect("a file");
    let ended = outcomes("incident-logs", &[list], &[]);
    let told = kinds(&ended);
    assert_eq!(told, BTreeMap::from([("record", orders.len())]));
    let has = |one: &Value, column: &str| {
        one["record"][column].as_array().is_some_and(|values| !values.is_empty())
    };
    let items = ended.iter().filter(|one| has(one, "items")).count();
    let columns = ["items", "observations", "activities"];
    let said = ended.iter().filter(|one| columns.iter().any(|column| has(one, column))).count();
    let told = format!("{} orders, {items} with items, {said} with any", orders.len());
    assert!(share(items, orders.len()) >= 0.9 && share(said, orders.len()) >= 0.96, "{told}");
}

/// Logs of many programs, each file a message; two of them are an empty file and one with bytes that
/// are not UTF-8.
#[test]
#[ignore = "it reads the data sets: `make test-data`"]
fn logs_of_many_programs_end_entry_by_entry_as_records() {
    let logs = folder().join("logs_permissive");
    let files = ["lnav", "kafka/kafka1-server.log.2016-12-19-16"].map(|name| logs.join(name));
    let ended = outcomes("incident-logs", &files, &["--type", "text/plain"]);
    let told = kinds(&ended);
    let rejects = ended.iter().filter(|one| one["outcome"] == "reject");
    let codes: Vec<_> = rejects.filter_map(|one| one["code"].as_str()).collect();
    assert_eq!(codes, ["DOCUMENT_EMPTY", "ENCODING_INVALID"], "{told:?}");
    let records = told.get("record").copied().unwrap_or_default();
    let told = format!("{} entries, {told:?}", ended.len());
    assert!(ended.len() >= 2_500 && share(records, ended.len()) >= 0.99, "{told}");

    let is_kafka = |one: &&Value| {
        one["document"].as_str().is_some_and(|document| document.contains("kafka1-server"))
    };
    let kafka: Vec<_> = ended.iter().filter(is_kafka).collect();
    assert_eq!(kafka.len(), 245, "{told}");
    for column in ["timestamp", "severity", "template_hash"] {
        assert!(kafka.iter().all(|one| !one["record"][column].is_null()), "{column}: {told}");
    }
}
