//! What redaction did to one document, told without a word of it.

/// Who took a place for an identifier; between several the first of this order is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decider {
    /// The envelope names the subject.
    Envelope,
    /// A rule on the form of the words.
    Rule,
    /// The model, with the label of that name.
    Model(String),
    /// A typed column of the pipeline that holds a date.
    Column,
    /// It was found elsewhere in the document.
    Repeat,
}

impl Decider {
    /// As it stands in the audit: `envelope`, `rule`, `model:LABEL`, `column` or `repeat`.
    pub fn name(&self) -> String {
        match self {
            Self::Envelope => "envelope".to_owned(),
            Self::Rule => "rule".to_owned(),
            Self::Model(label) => format!("model:{label}"),
            Self::Column => "column".to_owned(),
            Self::Repeat => "repeat".to_owned(),
        }
    }
}

/// How often identifiers of one kind were replaced, by what, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redaction {
    /// Kind of identifier, such as `name`.
    pub kind: &'static str,
    /// What stands in its place, such as `mask`.
    pub policy: &'static str,
    /// Who decided.
    pub decider: Decider,
    /// Places in the text.
    pub count: u32,
}
