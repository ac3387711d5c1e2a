//! `sluice explain CODE`

use clap::Args;

use super::{Failure, say};
use crate::guard;
use crate::types::{RejectCode, ReviewCode};

/// Tell what a code means and what to do about it.
#[derive(Args)]
pub(super) struct ExplainArgs {
    /// Code of a reject, a review or a flow, such as `PDF_ENCRYPTED`; all codes without it
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub(super) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let Some(code) = &args.code else {
        let rejects: Vec<_> = RejectCode::ALL.iter().map(|code| code.name()).collect();
        let reviews: Vec<_> = ReviewCode::ALL.iter().map(|code| code.name()).collect();
        say(&format!("rejects: {}", rejects.join(" ")))?;
        say(&format!("reviews: {}", reviews.join(" ")))?;
        return say(&format!("states: {}", guard::CODE));
    };
    let wanted = code.to_ascii_uppercase();
    let reject = RejectCode::from_name(&wanted).map(|code| ("reject", code.page()));
    let review = ReviewCode::from_name(&wanted).map(|code| ("review", code.page()));
    // RULE_BROKEN is both: which of the two, the rule's `otherwise` says.
    let pages: Vec<_> = reject.into_iter().chain(review).collect();
    let hold = (wanted == guard::CODE).then_some(("state of a flow", guard::PAGE));
    let pages: Vec<_> = pages.into_iter().chain(hold).collect();
    if pages.is_empty() {
        let words = format!("no code is called `{code}`; `sluice explain` lists all");
        return Err(Failure::Usage(words));
    }
    for (kind, page) in pages {
        let page: Vec<_> = page.lines().map(str::trim).collect();
        say(&format!("{wanted} ({kind})\n{}", page.join("\n").trim()))?;
    }
    Ok(())
}
