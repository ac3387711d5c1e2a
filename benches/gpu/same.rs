//! `two bundles of the same weights -> where they differ` on a device, and a document alone against in company.

use sluice::config::settings::Device;
use sluice::infer;
use sluice::types::{Finding, WindowScores};

use crate::{Corpus, corpus, scores, start, submit};

/// Limit: difference of a confidence between float32 and half precision, and of one document in
/// other company.
const TOLERANCE: f32 = 0.02;
const COMPANY_TOLERANCE: f32 = 0.005;

/// Prints what differs; ends with a panic where more differs than may.
pub(crate) fn tell(folder: &str, device: Device) {
    let [full, half] = ["fp32", "fp16"].map(|kind| corpus(folder, kind));
    let alone = |corpus: &Corpus| -> Vec<Vec<WindowScores>> {
        let pool = start(folder, &corpus.bundle, device);
        corpus.chunks.iter().map(|chunks| scores(&submit(&pool, chunks))).collect()
    };
    let (of_full, of_half) = (alone(&full), alone(&half));
    let together: Vec<_> = {
        let pool = start(folder, &half.bundle, device);
        let waiting: Vec<_> =
            half.chunks.iter().rev().map(|chunks| submit(&pool, chunks)).collect();
        waiting.iter().rev().map(scores).collect()
    };
    judge("half precision against float32", &half, &of_half, &of_full, TOLERANCE);
    judge("in company against alone", &half, &together, &of_half, COMPANY_TOLERANCE);
}

fn judge(
    what: &str,
    corpus: &Corpus,
    found: &[Vec<WindowScores>],
    expected: &[Vec<WindowScores>],
    tolerance: f32,
) {
    let (mut count, mut moved, mut largest) = (0, 0, 0.0_f32);
    for (number, text) in corpus.texts.iter().enumerate() {
        let findings = |scores: &[WindowScores]| -> Vec<Finding> {
            let mut findings =
                infer::findings(scores, &corpus.chunks[number], text, &corpus.bundle).0;
            findings.sort_by_key(|finding| (finding.label, finding.span.start, finding.span.end));
            findings
        };
        let (found, expected) = (findings(&found[number]), findings(&expected[number]));
        let place = |finding: &Finding| (finding.label, finding.span.start, finding.span.end);
        count += expected.len();
        for one in &expected {
            match found.iter().find(|other| place(other) == place(one)) {
                Some(other) => largest = largest.max((other.confidence - one.confidence).abs()),
                None => moved += 1,
            }
        }
        let is_known = |one: &&Finding| expected.iter().any(|other| place(other) == place(one));
        moved += found.iter().filter(|one| !is_known(one)).count();
    }
    println!(
        "{what}: {count} findings, {moved} at other places, confidences within {largest:.5} (at most {tolerance})"
    );
    assert!(moved == 0 && largest <= tolerance, "{what}: more differs than may");
}
