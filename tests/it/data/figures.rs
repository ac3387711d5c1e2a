//! `sluice eval` on the contracts' splits, against the figures that the model's card gives.

use serde_json::Value;

use super::folder;
use crate::eval::evaluate;
use crate::onnx::bundle_dir;

/// How far a figure may lie from the card's. On the machine that the card was made on they agree
/// to all its digits; on a processor of another instruction class scores differ in their last
/// bits, and a pair of neighbours in the ranking may change places.
const TOLERANCE: f64 = 0.002;

#[test]
fn both_splits_give_the_figures_of_the_model_card() {
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
    }
}
