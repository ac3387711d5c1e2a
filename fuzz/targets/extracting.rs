//! `text -> windows, typed values, published text`: the middle of the house on any text.

use std::sync::LazyLock;

use sluice::assemble::{Plan, assemble as assemble_findings};
use sluice::chunk::Chunker;
use sluice::config::{Flow, Labels, load};
use sluice::redact::{Redactor, Subject};
use sluice::text::language;
use sluice::types::{
    Chunks, Evidence, Extraction, Finding, FlagScore, Identifier, Key, RejectCode, Sensitive, Span,
    Text,
};

use super::root;

/// Pipelines whose plans have every type of field between them; the first one redacts.
const PIPELINES: [&str; 3] = ["clinical-notes", "contracts", "incident-logs"];

/// Most findings of one text.
const FINDINGS_MAX: usize = 24;

/// Text in UTF-8; what is none is replaced, as no reader of documents would.
pub fn chunk(input: &[u8]) {
    /// One that cuts all of a text, and one with a gate.
    static READY: LazyLock<(Flow, [Chunker; 2])> = LazyLock::new(|| {
        let flow = flow("contracts");
        let chunkers = [false, true].map(|is_gated| {
            Chunker::load(&flow.bundle, is_gated).map_err(|fault| fault.chain()).unwrap()
        });
        (flow, chunkers)
    });
    let (flow, [everything, gated]) = &*READY;
    let text = text_of(input);
    let body = text.as_str();
    assert!(language(&text).is_none_or(|language| language.len() == 2));
    let chunks = match everything.chunk(&text, usize::MAX) {
        Ok(chunks) => chunks,
        Err(reject) => {
            assert!(reject.code == RejectCode::TextEmpty && !body.contains(is_read));
            return;
        }
    };
    check_windows(&chunks, flow);
    let owned = chunks.windows.iter().map(|window| window.owned.len()).sum::<usize>();
    assert_eq!(owned, chunks.tokens.len(), "a token that no window owns");
    let left = gated.chunk(&text, usize::MAX).unwrap_or_else(|reject| panic!("{}", reject.code));
    check_windows(&left, flow);
    assert!(left.windows.first().is_some_and(|first| first.owned.start == 0), "no opening");
    assert!(left.tokens == chunks.tokens && left.sentences == chunks.sentences);
    // Every token has its place, and every character that is read has its token.
    let mut is_covered = vec![false; body.len()];
    for span in &chunks.tokens {
        assert!(text.slice(*span).is_some(), "a token without a place");
        is_covered[span.range()].fill(true);
    }
    for (at, character) in body.char_indices().filter(|(_, character)| is_read(*character)) {
        assert!(is_covered[at], "U+{:04X} at {at} is in no token", u32::from(character));
    }
    assert!(chunks.word_starts.is_sorted_by(|one, next| one < next));
}

/// Windows hold what they own, in order, and fit the model.
fn check_windows(chunks: &Chunks, flow: &Flow) {
    let mut covered = 0;
    for window in chunks.windows.iter() {
        let (tokens, owned) = (&window.tokens, &window.owned);
        assert!(owned.start >= covered && owned.end > owned.start, "windows own the same token");
        covered = owned.end;
        assert!(tokens.start <= owned.start && owned.end <= tokens.end);
        assert!(tokens.end <= chunks.tokens.len());
        assert_eq!(window.ids.len(), tokens.len() + 2);
        assert!(window.ids.len() <= window.padded_tokens);
        assert!(window.padded_tokens <= flow.bundle.window.tokens_max);
    }
}

/// Whether the model reads a character: the normaliser drops control characters, marks and white
/// space, none of which are ASCII and shown.
fn is_read(character: char) -> bool {
    character.is_ascii_graphic()
}

/// Text behind a line that says where the model found what: any characters, four to a finding.
pub fn assemble(input: &[u8]) {
    static READY: LazyLock<Vec<Ready>> =
        LazyLock::new(|| PIPELINES.into_iter().map(Ready::new).collect());
    let (line, rest) = super::first_line(input);
    let text = text_of(rest);
    for ready in READY.iter() {
        check_assembled(ready, &text, &findings_of(line, &text, ready.labels.names().len()));
    }
}

/// As [`assemble`], and then without identifiers.
pub fn redact(input: &[u8]) {
    static READY: LazyLock<(Ready, Redactor)> = LazyLock::new(|| {
        let ready = Ready::new(PIPELINES[0]);
        let spec = ready.flow.pipeline.redact.as_ref().expect("it redacts");
        let name = |index: usize| ready.labels.names()[index].clone();
        let kinds = spec.kinds(&ready.labels).into_iter().map(|(at, kind)| (at, name(at), kind));
        let key = Key::new(b"a key for the fuzzing of redaction").expect("it is long enough");
        let redactor = Redactor::new(spec, kinds, &ready.flow.pipeline.fields, key);
        (ready, redactor)
    });
    let (ready, redactor) = &*READY;
    let (line, rest) = super::first_line(input);
    let text = text_of(rest);
    let findings = findings_of(line, &text, ready.labels.names().len());
    let extraction = check_assembled(ready, &text, &findings);
    // The envelope's subject: the first words of the text themselves.
    let mut words = text.as_str().split_whitespace();
    let mut identifier = |kind| {
        let value = Sensitive::new(words.next()?.into());
        Some(Identifier { kind, value })
    };
    let identifiers: Vec<_> =
        ["name", "birth_date", "record_number"].into_iter().filter_map(&mut identifier).collect();
    let subject = Subject { identifiers: &identifiers, digest: text.digest() };
    let redacted = redactor.redact(&text, &findings, &extraction, subject);
    let again = redactor.redact(&text, &findings, &extraction, subject);
    assert!(redacted.text.as_str() == again.text.as_str(), "redacted in two ways");
    for evidence in places(&redacted.extraction) {
        check_words(evidence, &redacted.text);
        // Pages are those of the document, whatever is published.
        let original = evidence.original.expect("the place in the original");
        assert!(text.slice(original.span).is_some(), "a place outside the original");
        assert_eq!(evidence.page, text.page_of(original.span.start));
    }
    let places = redactor.places(&text, &findings);
    assert!(places.iter().all(|place| text.slice(*place).is_some()));
    assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start), "places overlap");
}

struct Ready {
    flow: Flow,
    labels: Labels,
    plan: Plan,
}

impl Ready {
    fn new(pipeline: &str) -> Self {
        let flow = flow(pipeline);
        let labels = Labels::from(&flow.bundle);
        let pipeline = &flow.pipeline;
        let flags = pipeline.flags.as_ref();
        let plan = Plan::new(&pipeline.fields, &pipeline.sections, flags, &labels).ok();
        Self { plan: plan.expect("a checked pipeline"), labels, flow }
    }
}

fn flow(pipeline: &str) -> Flow {
    let loaded = load(&root().join("pipelines").join(pipeline));
    loaded.unwrap_or_else(|problems| panic!("{pipeline}: {problems:?}"))
}

/// The text of `input` on pages, each ended by a form feed.
fn text_of(input: &[u8]) -> Text {
    let body = String::from_utf8_lossy(input);
    Text::from_pages(body.split_inclusive('\u{c}').map(str::to_owned))
}

/// Findings as a line of bytes says: label, start, length and confidence of each, wrapped around
/// into what is possible.
fn findings_of(line: &[u8], text: &Text, label_count: usize) -> Vec<Finding> {
    let body = text.as_str();
    let finding = |four: &[u8]| {
        let at = |index: usize| usize::from(four[index]);
        let start = body.floor_char_boundary(at(1) * body.len() / 256);
        let end = body.ceil_char_boundary(start + at(2) / 2);
        let confidence = f32::from(four[3]) / 255.0;
        Finding { label: at(0) % label_count, span: Span { start, end }, confidence }
    };
    line.chunks_exact(4).take(FINDINGS_MAX).map(finding).collect()
}

fn check_assembled(ready: &Ready, text: &Text, findings: &[Finding]) -> Extraction {
    let flagged = (0..ready.labels.names().len()).filter(|label| ready.labels.has_flag(*label));
    let is_found = |label| findings.iter().any(|finding| finding.label == label);
    let scores: Vec<_> = flagged
        .map(|label| FlagScore { label, confidence: 0.5, is_present: is_found(label) })
        .collect();
    let sent = jiff::Timestamp::from_second(1_700_000_000).ok();
    let once = |findings: &[Finding]| {
        let done = assemble_findings(findings, &scores, text, sent, &ready.plan);
        done.unwrap_or_else(|reject| panic!("{}: {}", reject.code, reject.detail))
    };
    let extraction = once(findings);
    places(&extraction).for_each(|evidence| check_evidence(evidence, text));
    let backward: Vec<_> = findings.iter().rev().copied().collect();
    assert!(once(&backward) == extraction, "the order of findings matters");
    extraction
}

fn places(extraction: &Extraction) -> impl Iterator<Item = &Evidence> {
    let values = || extraction.fields.iter().flat_map(|field| &field.values);
    let attributes = values().flat_map(|value| &value.attributes);
    let flags = extraction.flags.iter().flat_map(|flag| &flag.evidence);
    let unread = extraction.fields.iter().flat_map(|field| &field.unread);
    let own = values().map(|value| &value.evidence);
    own.chain(attributes.filter_map(|it| it.evidence.as_ref())).chain(flags).chain(unread)
}

fn check_evidence(evidence: &Evidence, text: &Text) {
    check_words(evidence, text);
    assert_eq!(evidence.page, text.page_of(evidence.span.start));
}

fn check_words(evidence: &Evidence, text: &Text) {
    assert!(text.slice(evidence.span) == Some(evidence.raw.as_str()), "not the words of its place");
    let scalars = |at| text.scalars_before(at);
    assert!(evidence.scalars.start == scalars(evidence.span.start));
    assert!(evidence.scalars.end == scalars(evidence.span.end));
}
