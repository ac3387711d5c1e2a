//! `number -> input`: what arrives while faults happen; the same number gives the same document.
//!
//! Mostly short texts of 50 to 500 tokens; every twentieth input is a contract, a PDF or broken.

use std::path::PathBuf;

use crate::support::flow::contracts;
use crate::support::kafka::Input;

/// Sentences of about 30 to 50 tokens.
const CLAUSES: [&str; 8] = [
    "The Supplier shall deliver the goods listed in Schedule A to the premises of the Buyer within \
     thirty days after each purchase order, and title passes on acceptance.",
    "Neither party may assign this Agreement, by operation of law or otherwise, without the prior \
     written consent of the other party, which shall not be unreasonably withheld.",
    "This Agreement begins on the date first written above and remains in force for three years, \
     and thereafter renews for successive terms of one year unless ended by notice of ninety days.",
    "Except for breach of confidentiality, the liability of either party under this Agreement shall \
     not exceed the fees paid in the twelve months before the claim arose.",
    "The Buyer may, on ten days' notice and during business hours, inspect the books and records of \
     the Supplier that concern the prices charged under this Agreement.",
    "Each party shall keep the information of the other party confidential for five years after \
     this Agreement ends and shall use it for no purpose but the performance of its duties.",
    "The Supplier shall maintain commercial general liability insurance of not less than two \
     million dollars for each occurrence and shall name the Buyer as an additional insured.",
    "Invoices are due within forty-five days of receipt, and late payments bear interest of one \
     percent a month or the highest rate that the law allows, whichever is lower.",
];

/// Files among the samples of the contracts pipeline, each with its type: five whole documents
/// and one that ends as a reject.
const FILES: [(&str, &str); 6] = [
    ("008-reseller-form.txt", "text/plain"),
    ("004-exclusive-distributor.pdf", "application/pdf"),
    ("011-truncated.pdf", "application/pdf"),
    ("005-distributor.txt", "text/plain"),
    ("009-maintenance.html", "text/html"),
    ("019-lease-of-1850.txt", "text/plain"),
];

/// One input in so many is a file.
const FILE_EVERY: usize = 20;

/// The input of this number. A hundred keys, so that each has an order to be kept.
pub(super) fn input(number: usize) -> Input {
    let (body, kind) = if number % FILE_EVERY == FILE_EVERY - 1 {
        let (name, kind) = FILES[number / FILE_EVERY % FILES.len()];
        let path: PathBuf = contracts().join("samples").join(name);
        (std::fs::read(path).expect("reading a sample"), kind)
    } else {
        (text(number).into_bytes(), "text/plain")
    };
    Input::new(&format!("key-{}", number % 100), &body)
        .header("content-type", kind.as_bytes())
        .header("document-id", format!("document-{number}").as_bytes())
}

/// A short agreement: mostly two or three clauses, at most eleven.
fn text(number: usize) -> String {
    let count = match number % 10 {
        0 => 3 + number / 10 % 9,
        few => 1 + few % 3,
    };
    let clauses = (0..count).map(|place| CLAUSES[(number * 3 + place) % CLAUSES.len()]);
    let body = clauses.collect::<Vec<_>>().join(" ");
    format!(
        "SUPPLY AGREEMENT No. {number}. This Supply Agreement is entered into as of March {}, 2021 \
         by and between Alpha {number} Holdings, Inc. and Beta Trading LLC. {body}",
        number % 28 + 1
    )
}
