//! `heads of bundle.json -> Heads`: what a model answers, and from which of its outputs.
//!
//! Token heads share the output `logits`, one after the other in their order, and so do heads of
//! whole texts the output `classes`. Labels are counted through all heads. Deliberately decodes
//! nothing: that is `infer`, by `training/DECODER.md`.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;

/// One task of a model: its labels, and how their scores are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Head {
    /// Labels that may overlap, each told token by token; each also gives a flag.
    Multilabel(Multilabel),
    /// Labels of words, at most one a word.
    Entities(Entities),
    /// Classes of a whole text, of which one holds.
    Classes(Classes),
}

/// A head with one column a label.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multilabel {
    /// Name of the head.
    pub name: String,
    /// Score below which a span is no candidate.
    pub floor: f64,
    /// Labels in the order of their columns.
    pub labels: Vec<Label>,
}

/// A head with the columns `O, B-1, I-1, B-2, I-2, ..` (outside, begin, inside).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entities {
    /// Name of the head.
    pub name: String,
    /// What it labels.
    #[serde(default)]
    pub words: WordUnit,
    /// From a span's features to its confidence.
    pub calibration: EntityCalibration,
    /// Labels in the order of their columns.
    pub labels: Vec<EntityLabel>,
}

/// What an [`Entities`] head labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordUnit {
    /// Words of the tokenizer, for which each sign of punctuation is one.
    #[default]
    Tokenizer,
    /// What stands between white space, but for signs that open before it or close behind it.
    WhiteSpace,
}

/// A head with one column a class.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Name of the head.
    pub name: String,
    /// What logits are divided by before the softmax, above 0 (temperature scaling, Guo et al.,
    /// 2017).
    pub temperature: f64,
    /// Confidence under which an answer is better looked at by a person, in `[0, 1]`, fitted with
    /// the rest; for `sluice eval` and for who writes the rules of a pipeline.
    #[serde(default)]
    pub review_below: Option<f64>,
    /// Classes in the order of their columns.
    pub labels: Vec<ClassLabel>,
}

/// A label of a [`Multilabel`] head.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "ManifestLabel")]
pub struct Label {
    /// Name, such as `Governing Law`.
    pub name: String,
    /// What one answer is.
    pub unit: Unit,
    /// Confidence from which on a span is a finding, in `[0, 1]`.
    pub threshold: f64,
    /// From a span's features to its confidence.
    pub calibration: SpanCalibration,
    /// Confidence from which on the flag is raised, in `[0, 1]`.
    pub flag_threshold: f64,
    /// From the flag's score to its confidence.
    pub flag_calibration: FlagCalibration,
}

/// A label of an [`Entities`] head.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityLabel {
    /// Name, such as `Medication`.
    pub name: String,
    /// Confidence from which on a span is a finding, in `[0, 1]`.
    pub threshold: f64,
}

/// A class of a [`Classes`] head.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLabel {
    /// Name, such as `card_arrival`.
    pub name: String,
}

/// What one answer of a label is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Whole sentences.
    Sentence,
    /// A few words inside a sentence.
    Phrase {
        /// Probability from which on a token belongs to a phrase.
        extend: f64,
        /// Probability that the best token of a phrase reaches at least.
        seed: f64,
        /// Most weaker tokens between two of a phrase.
        gap_tokens_max: usize,
        /// Most answers in one document.
        spans_max: usize,
    },
}

/// Logistic regression over the features of a span: `sigmoid(bias + w1 f1 + .. + w5 f5)`, the
/// features as in section 4 of `training/DECODER.md`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanCalibration {
    /// Offset.
    pub bias: f64,
    /// Weights of the features, in their order.
    pub weights: [f64; 5],
}

/// Logistic regression over the features of an entity's span, as [`SpanCalibration`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityCalibration {
    /// Offset.
    pub bias: f64,
    /// Weights of the features, in their order.
    pub weights: [f64; 3],
}

/// Platt scaling (Platt, 1999): `sigmoid(a * score + b)`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagCalibration {
    /// Slope; not negative, so that order is kept.
    pub a: f64,
    /// Offset.
    pub b: f64,
}

/// A label of a [`Multilabel`] head as it is written; the key `unit` says which.
#[derive(Deserialize)]
#[serde(tag = "unit", rename_all = "snake_case")]
enum ManifestLabel {
    Sentence(SentenceLabel),
    Phrase(PhraseLabel),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentenceLabel {
    name: String,
    threshold: f64,
    calibration: SpanCalibration,
    flag_threshold: f64,
    flag_calibration: FlagCalibration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseLabel {
    name: String,
    extend: f64,
    seed: f64,
    gap: usize,
    max_spans: usize,
    threshold: f64,
    calibration: SpanCalibration,
    flag_threshold: f64,
    flag_calibration: FlagCalibration,
}

impl From<ManifestLabel> for Label {
    fn from(label: ManifestLabel) -> Self {
        match label {
            ManifestLabel::Sentence(label) => Self {
                name: label.name,
                unit: Unit::Sentence,
                threshold: label.threshold,
                calibration: label.calibration,
                flag_threshold: label.flag_threshold,
                flag_calibration: label.flag_calibration,
            },
            ManifestLabel::Phrase(label) => Self {
                name: label.name,
                unit: Unit::Phrase {
                    extend: label.extend,
                    seed: label.seed,
                    gap_tokens_max: label.gap,
                    spans_max: label.max_spans,
                },
                threshold: label.threshold,
                calibration: label.calibration,
                flag_threshold: label.flag_threshold,
                flag_calibration: label.flag_calibration,
            },
        }
    }
}

impl Head {
    /// Name of the head, such as `intent`.
    pub fn name(&self) -> &str {
        match self {
            Self::Multilabel(head) => &head.name,
            Self::Entities(head) => &head.name,
            Self::Classes(head) => &head.name,
        }
    }

    /// What the head is, as the key `kind` says it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Multilabel(_) => "multilabel",
            Self::Entities(_) => "entities",
            Self::Classes(_) => "classes",
        }
    }

    /// Names of the labels, in their order.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        let (spans, entities, classes): (&[Label], &[EntityLabel], &[ClassLabel]) = match self {
            Self::Multilabel(head) => (&head.labels, &[], &[]),
            Self::Entities(head) => (&[], &head.labels, &[]),
            Self::Classes(head) => (&[], &[], &head.labels),
        };
        let spans = spans.iter().map(|label| &label.name);
        let entities = entities.iter().map(|label| &label.name);
        let classes = classes.iter().map(|label| &label.name);
        spans.chain(entities).chain(classes).map(String::as_str)
    }

    /// How many labels it has.
    pub const fn label_count(&self) -> usize {
        match self {
            Self::Multilabel(head) => head.labels.len(),
            Self::Entities(head) => head.labels.len(),
            Self::Classes(head) => head.labels.len(),
        }
    }

    /// How many columns of the output `logits` it takes.
    pub const fn token_columns(&self) -> usize {
        match self {
            Self::Multilabel(head) => head.labels.len(),
            Self::Entities(head) => 1 + 2 * head.labels.len(),
            Self::Classes(_) => 0,
        }
    }

    /// How many columns of the output `classes` it takes.
    pub const fn class_columns(&self) -> usize {
        match self {
            Self::Multilabel(_) | Self::Entities(_) => 0,
            Self::Classes(head) => head.labels.len(),
        }
    }
}

/// A head and where it stands among the others.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    /// The head.
    pub head: &'a Head,
    /// Its labels, counted through all heads.
    pub labels: Range<usize>,
    /// Its columns of the output `logits`; empty for a head of whole texts.
    pub token_columns: Range<usize>,
    /// Its columns of the output `classes`; empty for a token head.
    pub class_columns: Range<usize>,
}

/// All heads of a model, in their order; names of heads and of labels stand once.
#[derive(Clone, Debug, PartialEq)]
pub struct Heads(Vec<Head>);

impl Heads {
    /// Checks what `bundle.json` says of its heads. The error is a key and what is wrong there.
    pub(crate) fn new(heads: Vec<Head>) -> Result<Self, (String, String)> {
        claim(!heads.is_empty(), "heads", "at least one is needed")?;
        let mut head_names = BTreeSet::new();
        let mut label_names = BTreeSet::new();
        for (index, head) in heads.iter().enumerate() {
            let at = |key: &str| format!("heads[{index}].{key}");
            let is_new = !head.name().is_empty() && head_names.insert(head.name());
            claim(is_new, at("name"), "it is empty or stands twice")?;
            claim(head.label_count() > 0, at("labels"), "at least one is needed")?;
            for (label, name) in head.label_names().enumerate() {
                let is_new = !name.is_empty() && label_names.insert(name);
                let key = at(&format!("labels[{label}].name"));
                claim(is_new, key, "it is empty or stands twice, in this head or another")?;
            }
            check(head).map_err(|(key, detail)| (at(&key), detail))?;
        }
        Ok(Self(heads))
    }

    /// The heads, each with its places, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Placed<'_>> {
        let (mut label, mut token, mut class) = (0, 0, 0);
        self.0.iter().map(move |head| Placed {
            head,
            labels: advance(&mut label, head.label_count()),
            token_columns: advance(&mut token, head.token_columns()),
            class_columns: advance(&mut class, head.class_columns()),
        })
    }

    /// The head of that name.
    pub fn get(&self, name: &str) -> Option<Placed<'_>> {
        self.iter().find(|placed| placed.head.name() == name)
    }

    /// The head that label number `label` belongs to.
    pub fn of_label(&self, label: usize) -> Option<Placed<'_>> {
        self.iter().find(|placed| placed.labels.contains(&label))
    }

    /// Names of all labels, in the order in which findings count them.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Head::label_names)
    }

    /// Confidence from which on a span of that label is a finding; 0 for a class, since the rules
    /// of a pipeline judge how sure it is. Nothing reaches that of a label that is not there.
    pub fn threshold(&self, label: usize) -> f64 {
        self.parameter(label, |head, label| match head {
            Head::Multilabel(head) => head.labels.get(label).map(|label| label.threshold),
            Head::Entities(head) => head.labels.get(label).map(|label| label.threshold),
            Head::Classes(_) => Some(0.0),
        })
    }

    /// Confidence from which on the flag of that label is raised; nothing reaches that of a label
    /// without one.
    pub fn flag_threshold(&self, label: usize) -> f64 {
        self.parameter(label, |head, label| match head {
            Head::Multilabel(head) => head.labels.get(label).map(|label| label.flag_threshold),
            Head::Entities(_) | Head::Classes(_) => None,
        })
    }

    fn parameter(&self, label: usize, of: impl Fn(&Head, usize) -> Option<f64>) -> f64 {
        self.of_label(label)
            .and_then(|placed| of(placed.head, label - placed.labels.start))
            .unwrap_or(f64::INFINITY)
    }

    /// Labels of all heads.
    pub fn label_count(&self) -> usize {
        self.0.iter().map(Head::label_count).sum()
    }

    /// Columns of the output `logits`; 0 where the model has no token head.
    pub fn token_columns(&self) -> usize {
        self.0.iter().map(Head::token_columns).sum()
    }

    /// Columns of the output `classes`; 0 where the model has no head of whole texts.
    pub fn class_columns(&self) -> usize {
        self.0.iter().map(Head::class_columns).sum()
    }
}

/// The next `count` places.
const fn advance(at: &mut usize, count: usize) -> Range<usize> {
    let start = *at;
    *at += count;
    start..*at
}

fn claim(holds: bool, key: impl Into<String>, detail: &str) -> Result<(), (String, String)> {
    if holds { Ok(()) } else { Err((key.into(), detail.to_owned())) }
}

/// The first number of a head that cannot be.
fn check(head: &Head) -> Result<(), (String, String)> {
    match head {
        Head::Multilabel(head) => {
            for (index, label) in head.labels.iter().enumerate() {
                check_label(label)
                    .map_err(|(key, detail)| (format!("labels[{index}].{key}"), detail))?;
            }
        }
        Head::Entities(head) => {
            for (index, label) in head.labels.iter().enumerate() {
                probability(label.threshold, &format!("labels[{index}].threshold"))?;
            }
        }
        Head::Classes(head) => {
            claim(head.temperature > 0.0, "temperature", "it must be above 0")?;
            probability(head.review_below.unwrap_or_default(), "review_below")?;
        }
    }
    Ok(())
}

fn check_label(label: &Label) -> Result<(), (String, String)> {
    probability(label.threshold, "threshold")?;
    probability(label.flag_threshold, "flag_threshold")?;
    if let Unit::Phrase { extend, seed, .. } = label.unit {
        probability(extend, "extend")?;
        probability(seed, "seed")?;
    }
    claim(
        label.flag_calibration.a >= 0.0,
        "flag_calibration.a",
        "a negative slope would turn the order round",
    )
}

fn probability(value: f64, key: &str) -> Result<(), (String, String)> {
    claim((0.0..=1.0).contains(&value), key, "it must lie between 0 and 1")
}
