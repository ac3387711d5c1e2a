//! `sluice eval` on the splits of the data sets, against the figures that the models' cards give:
//! `make test-figures`, apart from the other tests on data, since it takes as long as all of them.

use serde_json::Value;

use super::folder;
use crate::eval::{evaluate, evaluate_model};
use crate::onnx::bundle_dir;

/// How far a figure may lie from the card's. On the machine that the card was made on they agree
/// to all its digits; on a processor of another instruction class scores differ in their last
/// bits, and a pair of neighbours in the ranking may change places.
const TOLERANCE: f64 = 0.002;

/// What a figure may lose by reading the original PDF and not the data set's text.
const LOSS_MAX: f64 = 0.01;

#[test]
#[ignore = "it measures whole splits: `make test-figures`"]
fn contracts_give_the_figures_of_their_card_and_their_originals_do_too() {
    let manifest = std::fs::read(bundle_dir().join("bundle.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for split in ["dev", "test"] {
        let data = folder().join(format!("cuad/{split}.jsonl.gz"));
        let report = serde_json::to_value(evaluate(&data, &[]).unwrap()).unwrap();
        let metrics = manifest["metrics"][split].as_object().unwrap();
        let mut compared_count = 0;
        for (name, card) in metrics {
            // What only tuning can know, such as figures across folds, is in no evaluation.
            let Some(found) = report["text"].get(name) else { continue };
            let pairs = match card.as_object() {
                Some(rates) => rates.iter().map(|(key, card)| (card, &found[key])).collect(),
                None => vec![(card, found)],
            };
            for (card, found) in pairs {
                let [card, found] = [card, found].map(|figure| figure.as_f64().unwrap());
                assert!((card - found).abs() <= TOLERANCE, "{split} {name}: {found}, card {card}");
                compared_count += 1;
            }
        }
        assert!(compared_count >= 8, "{split}: the card gives {compared_count} figures only");
        // With `--pdf` both texts are measured on the records alone that have an original.
        let originals = folder().join("cuad/pdf").display().to_string();
        let report = evaluate(&data, &["--pdf", &originals]).unwrap();
        let report = serde_json::to_value(report).unwrap();
        assert_eq!(report.get("pdf_rejects"), None, "{report}");
        for figure in ["/flag_map", "/span_micro/f1", "/span_aupr_one_to_one"] {
            let of = |kind: &str| report[kind].pointer(figure).and_then(Value::as_f64).unwrap();
            let (plain, pdf) = (of("text"), of("pdf"));
            assert!(plain > 0.3, "{split} {figure}: {plain}");
            assert!(plain - pdf <= LOSS_MAX, "{split} {figure}: {plain} plain, {pdf} by PDF");
        }
    }
}

/// One head of a model that has several, and the data that it is measured on.
struct Row {
    model: &'static str,
    head: &'static str,
    /// Splits of the card, and what stands for `*` in `file` and `more`.
    splits: &'static [(&'static str, &'static str)],
    file: &'static str,
    more: &'static [&'static str],
}

const SPLITS: &[(&str, &str)] = &[("dev", "dev"), ("test", "test")];

const ROWS: &[Row] = &[
    Row {
        model: "incident-logs",
        head: "entities",
        splits: SPLITS,
        file: "mwo2kg_ner/*.conll",
        more: &[],
    },
    Row {
        model: "incident-logs",
        head: "maintie",
        splits: SPLITS,
        file: "maintie/*.jsonl",
        more: &[],
    },
    Row {
        model: "incident-logs",
        head: "failure_mode",
        splits: SPLITS,
        file: "mwo2kg_failure_mode/*.csv",
        more: &[],
    },
    Row {
        model: "incident-logs",
        head: "cause",
        splits: SPLITS,
        file: "omin_faa/*.jsonl",
        more: &["--text-key", "narrative", "--class-key", "primary_cause"],
    },
    Row {
        model: "incident-logs",
        head: "phase",
        splits: SPLITS,
        file: "omin_faa/*.jsonl",
        more: &["--text-key", "narrative", "--class-key", "flight_phase", "--rest", "Other phase"],
    },
    Row {
        model: "support-tickets",
        head: "intent",
        splits: &[("dev", "val"), ("test", "test")],
        file: "clinc150/data_full.json",
        more: &["--split", "*"],
    },
    // Its dev part is cut from the training part by the recipe.
    Row {
        model: "support-tickets",
        head: "banking_intent",
        splits: &[("test", "test")],
        file: "banking77/*.csv",
        more: &[],
    },
];

/// Name of a figure in a card, and where it stands in a report.
const NAMES: &[(&str, &str)] = &[
    ("micro F1", "/outer_micro/f1"),
    ("precision", "/outer_micro/p"),
    ("recall", "/outer_micro/r"),
    ("accuracy", "/accuracy"),
    ("macro F1", "/macro_f1"),
    ("in-scope accuracy", "/in_scope_accuracy"),
    ("out-of-scope recall by class", "/out_of_scope_recall"),
    ("out-of-scope recall by class or low confidence", "/out_of_scope_caught"),
    ("in-scope answers not sent to review", "/in_scope_sure"),
    ("accuracy of those", "/in_scope_sure_accuracy"),
];

#[test]
#[ignore = "it measures whole splits: `make test-figures`"]
fn heads_give_the_figures_of_their_cards() {
    for Row { model, head, splits, file, more } in ROWS {
        let manifest = bundle_dir().with_file_name(model).join("bundle.json");
        let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
        for (split, part) in *splits {
            let data = folder().join(file.replace('*', part));
            let more = more.iter().map(|word| if *word == "*" { part } else { *word });
            let more: Vec<_> = ["--head", head].into_iter().chain(more).collect();
            let report = evaluate_model(model, &data, &more).unwrap();
            let report = serde_json::to_value(report).unwrap();
            let card = manifest["metrics"][split][head].as_object().unwrap();
            assert!(!card.is_empty(), "{model} {split} {head}");
            for (name, card) in card {
                let (_, at) = NAMES.iter().find(|(known, _)| known == name).unwrap();
                let found = report["text"].pointer(at).and_then(Value::as_f64).unwrap();
                let card = card.as_f64().unwrap();
                assert!(
                    (card - found).abs() <= TOLERANCE,
                    "{model} {split} {head} {name}: {found}, card {card}"
                );
            }
        }
    }
}

/// The card of the clinical model gives single figures of the test split. Those of identifiers are
/// of the model and the rules of the pipeline together, and are not of the model alone.
#[test]
#[ignore = "it measures whole splits: `make test-figures`"]
fn clinical_entities_give_the_figure_of_their_card() {
    let manifest = bundle_dir().with_file_name("clinical-notes").join("bundle.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let card = manifest["metrics"]["entities_micro_f1_test"].as_f64().unwrap();
    let data = folder().join("maccrobat2020/test.jsonl");
    let report = evaluate_model("clinical-notes", &data, &[]).unwrap();
    let report = serde_json::to_value(report).unwrap();
    let found = report["text"]["micro"]["f1"].as_f64().unwrap();
    assert!((card - found).abs() <= TOLERANCE, "{found}, card {card}");
}
