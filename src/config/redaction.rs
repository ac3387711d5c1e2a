//! The section `redact` of `pipeline.yaml`: what identifies a person, and what stands in its place.
//!
//! Deliberately finds and replaces nothing: that is the room `redact`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::labels::Labels;
use super::problem::{Report, suggest};

/// What identifies a person.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// Name of a person.
    Name,
    /// Anything smaller than a state: street, town, zip code, hospital.
    Place,
    /// A date of birth; always masked, since with any other date it tells an age above 89.
    BirthDate,
    /// A day, a month or a holiday, in numbers or words; a year alone is none.
    Date,
    /// An age; only above 89 is it one that identifies.
    Age,
    /// Telephone or fax number.
    Phone,
    /// E-mail address.
    Email,
    /// Address of a web page.
    Url,
    /// Address in the Internet Protocol, version 4 or 6, or of a network card.
    IpAddress,
    /// Social security number.
    Ssn,
    /// Number of a medical record.
    RecordNumber,
    /// Number of a health plan's beneficiary.
    PlanNumber,
    /// Number of an account.
    AccountNumber,
    /// Any other number or code: licence, vehicle, device, case.
    Other,
}

impl IdentifierKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Name,
        Self::Place,
        Self::BirthDate,
        Self::Date,
        Self::Age,
        Self::Phone,
        Self::Email,
        Self::Url,
        Self::IpAddress,
        Self::Ssn,
        Self::RecordNumber,
        Self::PlanNumber,
        Self::AccountNumber,
        Self::Other,
    ];

    /// Name as it stands in `pipeline.yaml` and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Place => "place",
            Self::BirthDate => "birth_date",
            Self::Date => "date",
            Self::Age => "age",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Url => "url",
            Self::IpAddress => "ip_address",
            Self::Ssn => "ssn",
            Self::RecordNumber => "record_number",
            Self::PlanNumber => "plan_number",
            Self::AccountNumber => "account_number",
            Self::Other => "other",
        }
    }

    /// The kind that a name such as `phi_NAME`, `LOCATION` or `record_number` says; anything
    /// unknown is [`Self::Other`].
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.trim_start_matches("phi_") {
            "address" | "location" => Self::Place,
            "ip" => Self::IpAddress,
            "mrn" => Self::RecordNumber,
            bare => Self::ALL.into_iter().find(|kind| kind.name() == bare).unwrap_or(Self::Other),
        }
    }
}

/// Takes identifiers out of everything that leaves: records, reviews, rejects, keys, headers and
/// digests. Needs the variable `SLUICE_REDACT_KEY`. Without this section nothing is redacted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redact {
    /// Head of the model bundle all of whose labels are identifiers, of the kind that their name
    /// says: `phi_NAME` is a name, `phi_ID` is of kind `other`.
    pub head: Option<String>,
    /// Single labels of the model bundle whose spans are identifiers; they win over `head`.
    pub labels: Vec<IdentifierLabel>,
    /// Kinds of identifiers that rules look for, by form and by the words around; all unless given.
    pub rules: Vec<IdentifierKind>,
    /// What stands in the place of an identifier.
    pub policy: Policies,
    /// Whether rejects carry the message as it came: body, key and headers with all that
    /// identifies. Without it they carry its position and a keyed digest of the body.
    pub reject_bytes: bool,
}

impl Redact {
    /// What the labels of a model identify, by their index; labels that it does not have are left
    /// out.
    pub fn kinds(&self, labels: &Labels) -> BTreeMap<usize, IdentifierKind> {
        let head = self.head.as_deref().and_then(|name| labels.head(name));
        let of_head = head.map_or(0..0, |head| head.labels.clone()).filter_map(|label| {
            let name = labels.names().get(label)?;
            Some((label, IdentifierKind::of(name)))
        });
        let single =
            self.labels.iter().filter_map(|one| Some((labels.index(&one.label)?, one.kind)));
        of_head.chain(single).collect()
    }
}

impl Default for Redact {
    fn default() -> Self {
        Self {
            head: None,
            labels: Vec::new(),
            rules: IdentifierKind::ALL.to_vec(),
            policy: Policies::default(),
            reject_bytes: false,
        }
    }
}

/// A label whose spans are identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierLabel {
    /// Label in the model bundle.
    #[schemars(length(min = 1))]
    pub label: String,
    /// What its spans are.
    pub kind: IdentifierKind,
}

/// What stands in the place of an identifier, by its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// For every kind that has no entry of its own, dates and ages excepted.
    pub default: Policy,
    /// For dates, typed values of fields included. Dates of birth are always masked. Ages need no policy: above 89 they become 90+.
    pub date: DatePolicy,
    /// For names of persons.
    pub name: Option<Policy>,
    /// For places.
    pub place: Option<Policy>,
    /// For telephone and fax numbers.
    pub phone: Option<Policy>,
    /// For e-mail addresses.
    pub email: Option<Policy>,
    /// For addresses of web pages.
    pub url: Option<Policy>,
    /// For addresses of machines.
    pub ip_address: Option<Policy>,
    /// For social security numbers.
    pub ssn: Option<Policy>,
    /// For numbers of medical records.
    pub record_number: Option<Policy>,
    /// For numbers of health plan beneficiaries.
    pub plan_number: Option<Policy>,
    /// For numbers of accounts.
    pub account_number: Option<Policy>,
    /// For all other numbers and codes.
    pub other: Option<Policy>,
}

impl Policies {
    /// The policy for identifiers of `kind`; for dates and ages the one of a date or an age that
    /// cannot be read.
    pub fn of(&self, kind: IdentifierKind) -> Policy {
        let own = match kind {
            IdentifierKind::Name => self.name,
            IdentifierKind::Place => self.place,
            IdentifierKind::Phone => self.phone,
            IdentifierKind::Email => self.email,
            IdentifierKind::Url => self.url,
            IdentifierKind::IpAddress => self.ip_address,
            IdentifierKind::Ssn => self.ssn,
            IdentifierKind::RecordNumber => self.record_number,
            IdentifierKind::PlanNumber => self.plan_number,
            IdentifierKind::AccountNumber => self.account_number,
            IdentifierKind::Other => self.other,
            IdentifierKind::BirthDate | IdentifierKind::Date | IdentifierKind::Age => {
                Some(Policy::Mask)
            }
        };
        own.unwrap_or(self.default)
    }
}

/// What stands in the place of an identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Its kind: `[NAME]`.
    #[default]
    Mask,
    /// Its kind and the first 64 bits of its HMAC-SHA256, so that equal values can be joined:
    /// `[NAME:0123456789abcdef]`.
    Hash,
    /// A made-up value of the same kind; the same one for the same identifier under one key.
    Surrogate,
}

impl Policy {
    /// Name as it stands in `pipeline.yaml` and in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Hash => "hash",
            Self::Surrogate => "surrogate",
        }
    }
}

/// What becomes of a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePolicy {
    /// The year stays: `1984` in the text, 1 January of it in a column of type `date`.
    #[default]
    Year,
    /// All dates of one subject move by the same number of days, less than a year, that follows
    /// from the key; without a subject in the envelope, all dates of one document.
    Shift,
    /// `[DATE]` in the text; a column of type `date` has no value.
    Mask,
    /// Dates are no identifiers here.
    Keep,
}

impl DatePolicy {
    /// Name as it stands in `pipeline.yaml` and in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Shift => "shift",
            Self::Mask => "mask",
            Self::Keep => "keep",
        }
    }
}

/// Why the section `policy` has no key for a kind: nothing is to be chosen.
pub(super) fn settled(kind: &str) -> Option<&'static str> {
    match kind {
        "birth_date" => Some("dates of birth are always masked; drop the key"),
        "age" => Some("an age above 89 always becomes 90+; drop the key"),
        _ => None,
    }
}

/// Labels and head of identifiers: there, each once, and not without anything that finds
/// identifiers. What depends on the model is left out where it is not known.
pub(super) fn check(draft: &Draft, labels: Option<&Labels>, report: &mut Report<'_>) {
    let Some(redact) = &draft.redact else { return };
    for (index, one) in redact.labels.iter().enumerate() {
        let pointer = format!("/redact/labels/{index}/label");
        if redact.labels.iter().take(index).any(|earlier| earlier.label == one.label) {
            report.at(&pointer, format!("`{}` stands here twice", one.label), "keep one of them");
        }
        if let Some(labels) = labels.filter(|labels| labels.index(&one.label).is_none()) {
            let names: Vec<_> = labels.names().iter().map(String::as_str).collect();
            let hint = suggest(&one.label, &names);
            report.at(&pointer, format!("the model has no label `{}`", one.label), hint);
        }
    }
    if let (Some(head), Some(labels)) = (redact.head.as_deref(), labels)
        && labels.head(head).is_none()
    {
        let names: Vec<_> = labels.heads().iter().map(|head| head.name.as_str()).collect();
        let hint = suggest(head, &names);
        report.at("/redact/head", format!("the model has no head `{head}`"), hint);
    }
    if redact.head.is_none() && redact.labels.is_empty() && redact.rules.is_empty() {
        report.at(
            "/redact",
            "neither a label nor a rule finds identifiers",
            "name a head of the model, or leave `rules` out to have all",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, load};
    use super::{DatePolicy, IdentifierKind as Kind, Policy};

    /// The problems of a good pipeline with this section, without place.
    fn problems(section: &str) -> Vec<String> {
        let root = fixture::folder(&format!("{}{section}", fixture::GOOD));
        let found = load(&root.path().join("leases")).err().unwrap_or_default();
        found.iter().map(|one| format!("{}: {}", one.key, one.problem)).collect()
    }

    #[test]
    fn a_section_has_defaults_and_policies_by_kind() {
        let section = "redact:\n  labels:\n    - {label: Parties, kind: name}\n  \
                       policy:\n    default: hash\n    name: surrogate\n    date: shift\n";
        let root = fixture::folder(&format!("{}{section}", fixture::GOOD));
        let flow = load(&root.path().join("leases")).unwrap();
        let redact = flow.pipeline.redact.unwrap();
        assert_eq!(redact.rules, Kind::ALL);
        assert_eq!(redact.policy.of(Kind::Name), Policy::Surrogate);
        assert_eq!(redact.policy.of(Kind::Phone), Policy::Hash);
        assert_eq!(redact.policy.date, DatePolicy::Shift);
        assert!(!redact.reject_bytes);
        let kinds = redact.kinds(&super::Labels::from(&flow.bundle));
        assert_eq!(kinds.into_values().collect::<Vec<_>>(), [Kind::Name]);
    }

    #[test]
    fn slips_are_told() {
        for (section, expected) in [
            (
                "redact:\n  labels:\n    - {label: Partys, kind: name}\n",
                "redact.labels[0].label: the model has no label `Partys`",
            ),
            ("redact:\n  head: phi\n", "redact.head: the model has no head `phi`"),
            ("redact:\n  rules: []\n", "redact: neither a label nor a rule finds identifiers"),
            ("redact:\n  policy:\n    name: blur\n", "redact.policy.name: unknown value `blur`"),
            ("redact:\n  rules: [names]\n", "redact.rules[0]: unknown value `names`"),
        ] {
            assert_eq!(problems(section), [expected], "{section}");
        }
        for (kind, expected) in [
            ("birth_date", "dates of birth are always masked; drop the key"),
            ("age", "an age above 89 always becomes 90+; drop the key"),
            ("emial", "did you mean `email`?"),
        ] {
            let section = format!("redact:\n  policy:\n    {kind}: mask\n");
            let root = fixture::folder(&format!("{}{section}", fixture::GOOD));
            let found = load(&root.path().join("leases")).err().unwrap_or_default();
            assert_eq!(found.iter().map(|one| &one.hint).collect::<Vec<_>>(), [expected]);
        }
        let twice = "    - {label: Parties, kind: name}\n";
        let told = problems(&format!("redact:\n  labels:\n{twice}{twice}"));
        assert_eq!(told, ["redact.labels[1].label: `Parties` stands here twice"]);
    }

    #[test]
    fn a_kind_is_told_by_the_name_of_a_label() {
        for (name, kind) in [
            ("phi_NAME", Kind::Name),
            ("phi_LOCATION", Kind::Place),
            ("RECORD_NUMBER", Kind::RecordNumber),
            ("phi_ID", Kind::Other),
            ("Age", Kind::Age),
            ("address", Kind::Place),
            ("what", Kind::Other),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }
}
