//! The patterns by which identifiers are told, after the list of 45 CFR 164.514(b)(2)(i).
//!
//! Each is of the crate `regex`: linear time, no look-around. Where a pattern has a group `id`, that
//! is the identifier and the rest the words that lead to it. Deliberately wide: a word too much
//! that is hidden costs a reader little, a name that is left costs a patient. Dates are read by
//! [`super::dates`]; photographs and prints of fingers are no text.

use std::sync::LazyLock;

use super::search::Search;
use crate::config::redaction::IdentifierKind as Kind;

/// One pattern of a rule.
pub(super) struct Pattern {
    pub(super) kind: Kind,
    pub(super) search: Search,
    /// Fewest digits that the words must hold, as a number or a code does.
    pub(super) digits_min: usize,
}

/// A number or code: digits, with letters and separators between.
const CODE: &str = r"#?(?P<id>(?:(?:[A-Z]{1,6}[\-/.]){0,2}[A-Z]{0,6}|(?-i:[A-Z]{1,6}) )[0-9][A-Z0-9]*(?:[\-/.][A-Z0-9]+)*)\b";
/// What may stand between a cue and its number.
const LINK: &str =
    r"(?:\s*(?:id|identifier|number|num|no|nr|code)\b)?[\s:#=.(]*(?:(?:is|was|of)\s+)?[\s:#]*";
/// One to four capitalised words or initials behind a title, if there is one.
const PERSON: &str = r"(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof)\b\.?[ \t]+)?(?P<id>(?:\p{Lu}\.|\p{Lu}[\p{L}\p{M}'’\-]*)(?:[ \t]+(?:(?:de|van|von|der|la|bin|al)[ \t]+)*(?:\p{Lu}\.|\p{Lu}[\p{L}\p{M}'’\-]*)){0,3})";
/// An age above 89, in digits and in words.
const OLD: &str = r"(?:9[0-9]|1[0-4][0-9])";
const OLD_WORDS: &str = r"(?:ninety(?:[\s\-](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a|one)\s+hundred(?:\s+(?:and\s+)?(?:one|two|three|four|five|six|seven|eight|nine|ten))?)";
/// People of whom a patient tells.
const RELATIVE: &str = r"(?:grand|great[\s\-]?grand|step|god)?(?:mother|father|mom|mum|dad|parents?|son|daughter|child|aunt|uncle|cousin|brother|sister|sibling|wife|husband|spouse|partner|niece|nephew|twin)(?:['’]s)?(?:-in-law)?";
/// States by their name or by those of their two letters that are no medical abbreviation.
const STATE: &str = r"(?:Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming|AZ|FL|IA|IL|KS|KY|NC|NH|NJ|NM|NV|NY|OH|SC|SD|TN|TX|WI|WV)";

pub(super) static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    [numbers(), contacts(), ages(), names(), places(), others()].into_iter().flatten().collect()
});

fn pattern(kind: Kind, text: &str) -> Pattern {
    Pattern { kind, search: Search::new(text), digits_min: 0 }
}

/// A code of three digits or more behind one of `cues`.
fn code(kind: Kind, cues: &str) -> Pattern {
    let search = Search::new(&format!(r"(?i)\b(?:{cues})\b{LINK}{CODE}"));
    Pattern { kind, search, digits_min: 3 }
}

fn numbers() -> Vec<Pattern> {
    vec![
        code(
            Kind::RecordNumber,
            r"mrn|m\.r\.n|mr|(?:med(?:ical)?\.?\s+)?rec(?:ord)?|chart|hospital|patient(?:['’]s)?",
        ),
        pattern(Kind::RecordNumber, r"(?i)\bmrn(?P<id>[0-9]{4,})\b"),
        code(
            Kind::PlanNumber,
            r"(?:health\s+)?(?:plan|insurance|ins|insur|member(?:ship)?|beneficiary|policy|subscriber|group|medicare|medicaid|payer|hicn|hpbn|mbi)(?:\s+(?:plan|insurance|beneficiary|policy|member))?",
        ),
        // A Medicare Beneficiary Identifier: eleven signs in the order that CMS gives.
        pattern(
            Kind::PlanNumber,
            r"\b[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}\b",
        ),
        code(
            Kind::AccountNumber,
            r"account|acct|a/c|billing|invoice|(?:credit\s+|debit\s+)?card|iban|routing|bank",
        ),
        pattern(
            Kind::AccountNumber,
            r"\b(?:[0-9]{4}[ \-]){3}[0-9]{4}\b|\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
        ),
        pattern(
            Kind::Ssn,
            r"(?i)\b(?:ssn|social\s+security)(?:\s+(?:number|num|no))?[\s:#.=]*(?:is\s+)?(?P<id>[0-9x*]{3}[\s\-]?[0-9x*]{2}[\s\-]?[0-9]{4})\b",
        ),
        pattern(Kind::Ssn, r"\b[0-9]{3}[\- ][0-9]{2}[\- ][0-9]{4}\b"),
        pattern(
            Kind::Ssn,
            r"(?i)\b(?:(?:ssn|social(?:\s+security)?)(?:\s+(?:number|no))?[\s:#.(]*(?:ending|ends|last\s+(?:4|four))(?:\s+(?:in|with|digits|are|is|of))*|last\s+(?:4|four)(?:\s+digits)?\s+(?:of\s+)?(?:(?:his|her|the)\s+)?(?:ssn|social(?:\s+security)?)(?:\s+(?:number|are|is))*)[\s:#)]*(?P<id>[0-9]{4})\b",
        ),
    ]
}

fn contacts() -> Vec<Pattern> {
    vec![
        pattern(Kind::Email, r"(?i)\b[a-z0-9._%+\-]+@[a-z0-9\-]+(?:\.[a-z0-9\-]+)*\.[a-z]{2,}\b"),
        // As it is said: "jane dot doe at example dot org", "jane.doe [at] example [dot] org".
        pattern(
            Kind::Email,
            r"(?i)\b[a-z0-9_\-]+(?:(?:\s+(?:dot|underscore|dash)\s+|\s*[\[(]dot[\])]\s*|\.)[a-z0-9_\-]+)*(?:\s+at\s+|\s*[\[(](?:at|@)[\])]\s*)[a-z0-9\-]+(?:(?:\s+dot\s+|\s*[\[(]dot[\])]\s*)[a-z0-9\-]+)*(?:\s+dot\s+|\s*[\[(]dot[\])]\s*)[a-z]{2,}\b",
        ),
        pattern(
            Kind::Email,
            r"(?i)\b(?:[a-z0-9_.\-]+\s*[\[(]at[\])]\s*|[a-z0-9]+[._0-9][a-z0-9_.\-]*\s+at\s+)(?:[a-z0-9\-]+\.)+(?:com|org|net|edu|gov|mil|io|us|uk|ca|de|eu|info)\b",
        ),
        pattern(Kind::Url, r#"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>"']*[^\s<>"'.,;:!?)\]]"#),
        pattern(
            Kind::Url,
            r#"(?i)\b(?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+(?:com|org|net|edu|gov|mil|io|info|health|clinic)\b(?:/[^\s<>"']*[^\s<>"'.,;:!?)\]])?"#,
        ),
        pattern(
            Kind::IpAddress,
            r"\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\b",
        ),
        pattern(
            Kind::IpAddress,
            r"(?i)\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b|\b(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}\b|\b(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}\b",
        ),
        pattern(
            Kind::Phone,
            r"(?i)\b(?:phone|ph|tel(?:ephone)?|fax|facsimile|cell|mobile|pager|beeper|call|text|reach(?:ed)?(?:\s+(?:him|her|them|me|us))?)\b(?:\s*(?:number|no|at|on|is))*[\s:#.]*(?P<id>[+(]?[0-9][0-9 ().\-]{5,18}[0-9])\b",
        ),
        pattern(
            Kind::Phone,
            r"(?:\+[0-9]{1,3}[ .\-]?|\b1[ .\-])?(?:\([0-9]{3}\) ?|\b[0-9]{3}[ .\-])[0-9]{3}[ .\-][0-9]{4}\b(?i: *(?:x|ext\.?) *[0-9]{1,6}\b)?",
        ),
        Pattern {
            kind: Kind::Phone,
            search: Search::new(r"\+[0-9]{1,3}(?:[ .\-]?\(?[0-9]{1,4}\)?){2,5}\b"),
            digits_min: 8,
        },
        pattern(Kind::Phone, r"\b[0-9]{3}-[0-9]{4}\b"),
    ]
}

/// Ages above 89, whose ever they are.
fn ages() -> Vec<Pattern> {
    let age = |text: &str| {
        pattern(
            Kind::Age,
            &text.replace("OLD_WORDS", OLD_WORDS).replace("OLD", OLD).replace("RELATIVE", RELATIVE),
        )
    };
    vec![
        age(r"(?i)\b(?P<id>OLD)[\s\-]*(?:years?|yrs?|yo|y/o|y\.o\.|y)\b"),
        age(
            r"(?i)\b(?:age|aged|ages)\b\W{0,3}(?:(?:is|of|was|about|around|approximately)\s+)?(?P<id>OLD|OLD_WORDS)\b",
        ),
        age(r"(?i)\b(?P<id>OLD_WORDS)[\s\-]years?[\s\-]old\b"),
        age(r"(?i)\b(?P<id>OLD_WORDS)\s+years\s+of\s+age\b"),
        // "92F with chest pain", and no temperature.
        age(
            r"\b(?P<id>OLD)[ \-]?[MF]\b(?i:,|\s+(?:(?:with|who|here|pt|patient|admitted|seen|found|brought|complain\w*|present\w*|in|from)\b|w/|c/o|s/p|h/o))",
        ),
        age(r"(?i)\b(?P<id>OLD)[\s\-]*(?:male|female|man|woman|gentleman|lady)\b"),
        age(
            r"(?i)\b(?:died|passed(?:\s+away)?|deceased|death|turned|turns|turning|lived|living|lives|alive|well)\W{1,2}(?:(?:at|to|until|till|be|is|now|the|age|of|aged|about|almost|nearly)\W{1,2}){0,4}(?P<id>OLD|OLD_WORDS)\b",
        ),
        age(
            r"(?i)\b(?P<id>OLD(?:st|nd|rd|th)|ninetieth|ninety[\s\-](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|hundredth)\s+birthday\b",
        ),
        age(
            r"(?i)\b(?:is|was|turned|turning|at)\s+(?P<id>OLD_WORDS)\b(?:[.,;)]|\s+(?:and|but|when|now|years|with)\b|\s*$)",
        ),
        age(
            r"(?i)\bin\s+(?:his|her|their)\s+(?:early\s+|mid[\s\-]?|late\s+)?(?P<id>90s|90['’]s|nineties|hundreds)\b",
        ),
        // "Mother: 94", "father, 95, with dementia", "grandmother (97)", "sister is 91".
        age(
            r"(?i)\b(?:RELATIVE)\b(?:\s+(?:is|was|now|who|currently|lived|died|deceased|age|aged|alive|at|to|of|had|has|both|and|living|well)|[\s,;:(\-]){1,6}\s*(?P<id>OLD|OLD_WORDS)\b(?:[\s.,;:)]*$|[.,;:)]|\s+(?:and|with|of|from|has|had|when|who|years?|after)\b)",
        ),
        age(
            r"(?i)\b(?:she|he|patient|pt)\s+(?:is|was|will\s+be|turns|turned)\s+(?:now\s+|almost\s+|nearly\s+|about\s+)?(?P<id>OLD)\b(?:[.,;)]|\s+(?:and|but|now|years|with)\b|\s*$)",
        ),
        age(r"(?i)\b(?P<id>nonagenarian|centenarian|supercentenarian)s?\b"),
    ]
}

fn names() -> Vec<Pattern> {
    let name = |text: &str| pattern(Kind::Name, &text.replace("PERSON", PERSON));
    let of_role = r"patient(?:['’]s)?(?:\s+name)?|pt(?:\s+name)?|(?:full\s+|last\s+|first\s+|maiden\s+|middle\s+)?name|attending|physician|surgeon|provider|pcp|author|resident|consultant|anesthesiologist|nurse|guarantor|subscriber|insured|policy\s*holder|emergency\s+contact|next\s+of\s+kin|nok|guardian|contact|spouse|mother|father|daughter|son|wife|husband|alias|aka|signed|(?:(?:electronically\s+)?signed|dictated|seen|referred|requested|transcribed|reviewed|verified|interpreted|ordered|performed|read|reported|approved|authenticated|entered)\s+by";
    vec![
        name(
            r"\b(?:(?:Dr|DR|Mr|MR|Mrs|MRS|Ms|MS|Miss|Prof|Rev|Sr|Nurse|Doctor)\b\.?[ \t]+|(?:Dr|Mr|Mrs|Ms|Prof)\.\n)PERSON",
        ),
        name(&format!(r"(?i:\b(?:{of_role})\s*[:=]\s*)PERSON")),
        // "Name: Doe, Jane Q."
        name(&format!(
            r"(?i:\b(?:{of_role})\s*[:=]\s*)(?P<id>\p{{Lu}}[\p{{L}}'’\-]+,[ \t]*\p{{Lu}}[\p{{L}}'’\-]+(?:[ \t]+\p{{Lu}}\b\.?)?)"
        )),
        name(
            r"(?i:\b(?:named|called|signed\s+by|dictated\s+by|seen\s+by|referred\s+by|reviewed\s+by|verified\s+by|ordered\s+by|interpreted\s+by|(?:patient|pt)(?:,|\s+is)?)\s+)PERSON",
        ),
        name(r"PERSON,?[ \t]+(?:M\.?D|D\.?O|R\.?N|N\.?P|P\.?A(?:-C)?|Ph\.?D|DDS|DPM|LCSW|MBBS)\b"),
    ]
}

fn places() -> Vec<Pattern> {
    let place = |text: &str| pattern(Kind::Place, &text.replace("STATE", STATE));
    vec![
        place(
            r"\b[0-9]{1,5}[ \t]+(?:[NSEW]\.?[ \t]+)?(?:(?:\p{Lu}[\p{L}'.]*|[0-9]+(?:st|nd|rd|th))(?:[ \t]+|[ \t]*\n[ \t]*)){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Parkway|Pkwy|Highway|Hwy|Circle|Square)\b\.?(?:,?[ \t]*(?:Apt|Apartment|Suite|Unit|#)\.?[ \t]*#?\w+)?",
        ),
        place(r"(?i)\bp\.?\s?o\.?\s+box\s+[0-9]+\b"),
        place(
            r"\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])[ \t,]+(?P<id>[0-9]{5}(?:-[0-9]{4})?)\b",
        ),
        place(r"(?i)\b(?:zip|postal)(?:\s*code)?\b[\s:#.]*(?P<id>[0-9]{5}(?:-[0-9]{4})?)\b"),
        place(r"\b[0-9]{5}-[0-9]{4}\b"),
        // The town in front of its state, and of its state and zip code.
        place(
            r"\b(?P<id>\p{Lu}[\p{L}'’.\-]+(?:[ \t]+\p{Lu}[\p{L}'’.\-]+){0,2}),[ \t]*(?:STATE\b|[A-Z]{2}[ \t]+[0-9]{5}\b)",
        ),
        place(
            r"\b\p{Lu}[\p{L}'’\-]+(?:[ \t]+\p{Lu}[\p{L}'’\-]+)?[ \t]+(?:County|Parish|Township|Borough)\b",
        ),
        place(
            r"\b(?:\p{Lu}[\p{L}'’.&\-]*[ \t]+(?:(?:of|and|the|for|de)[ \t]+)*){1,5}(?:Hospital|Hosp|Medical[ \t]+Cent(?:er|re)|Cancer[ \t]+Cent(?:er|re)|Health[ \t]+Cent(?:er|re)|Clinic|Infirmary|Hospice|Nursing[ \t]+Home|Sanatorium)\b",
        ),
    ]
}

fn others() -> Vec<Pattern> {
    vec![
        code(
            Kind::Other,
            r"id|identifier|case|claim|licen[cs]e(?:\s+plate)?|lic|dea|npi|serial|s/n|sn|device|implant|pacemaker|lot|udi|imei|vin|vehicle|plate|registration|certificate|cert|passport|specimen|accession|encounter|visit|study|order|rx|ref(?:erence)?|badge|employee|student|ticket|authorization|prescription",
        ),
        // With its cue, which people take for a part of the number.
        Pattern {
            kind: Kind::Other,
            search: Search::new(&format!(
                r"(?i)\b(?:patient|pt|case|study|visit|encounter)\s?(?:id\b|#)[\s:#]*{}",
                CODE.replace("?P<id>", "?:")
            )),
            digits_min: 3,
        },
        // A vehicle's number: seventeen signs without I, O and Q.
        Pattern {
            kind: Kind::Other,
            search: Search::new(r"\b[A-HJ-NPR-Z0-9]{17}\b"),
            digits_min: 5,
        },
        pattern(Kind::Other, r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
        // A name in a social network.
        pattern(Kind::Other, r"(?:^|[\s(])(?P<id>@[A-Za-z][A-Za-z0-9_.]{2,30}[A-Za-z0-9_])"),
        pattern(Kind::Other, r"\b[A-Z]{2,5}-[0-9]{4,}\b|\b[0-9]{8,}\b"),
    ]
}
