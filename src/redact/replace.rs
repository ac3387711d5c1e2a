//! `identifier -> what stands in its place`.
//!
//! Equal identifiers of one kind get equal replacements under one key: case, gaps and punctuation
//! are taken off first. Made-up values come from ranges that nobody has: 555-01xx numbers, area 000
//! of social security, the networks of RFC 5737 and RFC 3849, `example.com` of RFC 2606.
//! Deliberately keeps no table: whoever has the key makes the same replacement again, and nobody
//! gets back from it.

use super::dates;
use super::surrogates::{NAMES, TOWNS};
use crate::config::redaction::{DatePolicy, IdentifierKind as Kind, Policies, Policy};
use crate::types::Key;

/// Age above which it identifies (45 CFR 164.514(b)(2)(i)(C)).
pub(super) const AGE_MAX: i64 = 89;
/// What stands for every age above it.
const AGE_ABOVE: &str = "90+";

/// Words beside a name that are none of it.
const TITLES: [&str; 7] = ["dr", "md", "miss", "mr", "mrs", "ms", "prof"];

/// What replaces identifiers.
pub(super) struct Replacer<'a> {
    pub(super) key: &'a Key,
    pub(super) policies: &'a Policies,
    /// Days that all dates of this document move by.
    pub(super) shift_days: i32,
}

impl Replacer<'_> {
    /// What stands in the place of `words`, and the name of the policy that says so.
    pub(super) fn replace(&self, kind: Kind, words: &str) -> (String, &'static str) {
        match kind {
            Kind::Age => (AGE_ABOVE.to_owned(), "cap"),
            Kind::BirthDate => (mask(kind), Policy::Mask.name()),
            Kind::Date => self.date(words),
            Kind::Name
            | Kind::Place
            | Kind::Phone
            | Kind::Email
            | Kind::Url
            | Kind::IpAddress
            | Kind::Ssn
            | Kind::RecordNumber
            | Kind::PlanNumber
            | Kind::AccountNumber
            | Kind::Other => {
                let policy = self.policies.of(kind);
                let replacement = match policy {
                    Policy::Mask => mask(kind),
                    Policy::Hash => self.hash(kind, words),
                    Policy::Surrogate => self.surrogate(kind, words),
                };
                (replacement, policy.name())
            }
        }
    }

    fn date(&self, words: &str) -> (String, &'static str) {
        let policy = self.policies.date;
        let found = dates::only(words);
        let kept = match policy {
            DatePolicy::Year => found.and_then(|one| one.year()),
            DatePolicy::Shift => found.and_then(|one| one.shifted(self.shift_days)),
            DatePolicy::Mask | DatePolicy::Keep => None,
        };
        match kept {
            Some(kept) => (kept, policy.name()),
            None => (mask(Kind::Date), DatePolicy::Mask.name()),
        }
    }

    fn hash(&self, kind: Kind, words: &str) -> String {
        let digest = self.key.digest(kind.name(), plain(kind, words).as_bytes());
        format!("[{}:{}]", kind.name().to_uppercase(), digest.short())
    }

    fn surrogate(&self, kind: Kind, words: &str) -> String {
        let made_up = match kind {
            Kind::Name => self.name(words),
            Kind::Place => self.place(words),
            Kind::Phone => self.phone(words),
            Kind::Email => {
                format!("person{:06}@example.com", self.number(kind, words) % 1_000_000)
            }
            Kind::Url => format!("https://example.com/{:08x}", self.number(kind, words) >> 32),
            Kind::IpAddress => self.address(words),
            Kind::Ssn => format!("000{}", self.like(kind, words.get(3..).unwrap_or_default())),
            Kind::RecordNumber | Kind::PlanNumber | Kind::AccountNumber | Kind::Other => {
                self.like(kind, words)
            }
            Kind::BirthDate | Kind::Date | Kind::Age => mask(kind),
        };
        // By chance, or because there is nothing to make up from.
        if made_up == words { self.hash(kind, words) } else { made_up }
    }

    fn number(&self, kind: Kind, words: &str) -> u64 {
        self.key.number(&format!("surrogate {}", kind.name()), plain(kind, words).as_bytes())
    }

    fn pick<'l>(&self, list: &[&'l str], kind: Kind, word: &str) -> &'l str {
        let count = u64::try_from(list.len()).unwrap_or(1).max(1);
        let index = usize::try_from(self.number(kind, word) % count).unwrap_or_default();
        list.get(index).copied().unwrap_or("Nobody")
    }

    /// Word by word, so that "Ann Lee" and "Mrs. Lee" stay one family; an initial stays one.
    fn name(&self, words: &str) -> String {
        by_words(words, |word| {
            let made_up = self.pick(&NAMES, Kind::Name, word);
            let is_loud = word.chars().all(char::is_uppercase);
            match word.chars().count() {
                1 => made_up.chars().take(1).collect(),
                _ if is_loud => made_up.to_uppercase(),
                _ => made_up.to_owned(),
            }
        })
    }

    fn place(&self, words: &str) -> String {
        let town = self.pick(&TOWNS, Kind::Place, words);
        let is_zip = words.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if is_zip {
            return self.like(Kind::Place, words);
        }
        if words.starts_with(|letter: char| letter.is_ascii_digit()) {
            return format!("{} {town} Street", self.number(Kind::Place, words) % 900 + 1);
        }
        let suffixes = ["Hospital", "Clinic", "Center", "Hospice", "Infirmary"];
        let suffix = suffixes.iter().find(|suffix| words.ends_with(**suffix));
        suffix.map_or_else(|| town.to_owned(), |suffix| format!("{town} {suffix}"))
    }

    /// 555-01xx, in the form of `words`; what stands before the last seven digits is made up.
    fn phone(&self, words: &str) -> String {
        let made_up = self.like(Kind::Phone, words);
        let count = made_up.bytes().filter(u8::is_ascii_digit).count();
        let mut tail = "55501".chars();
        let mut index = 0;
        let digit = |letter: char| {
            if !letter.is_ascii_digit() {
                return letter;
            }
            index += 1;
            let is_exchange = index + 7 > count && index + 2 <= count;
            if is_exchange { tail.next().unwrap_or(letter) } else { letter }
        };
        made_up.chars().map(digit).collect()
    }

    fn address(&self, words: &str) -> String {
        let [a, b, c, ..] = self.number(Kind::IpAddress, words).to_be_bytes();
        if words.contains('.') {
            let networks = ["192.0.2", "198.51.100", "203.0.113"];
            let network = networks.get(usize::from(a) % networks.len()).unwrap_or(&"192.0.2");
            format!("{network}.{b}")
        } else {
            format!("2001:db8::{b:02x}{c:02x}")
        }
    }

    /// The same form with other digits and letters.
    fn like(&self, kind: Kind, words: &str) -> String {
        let purpose = format!("surrogate {}", kind.name());
        let plain = plain(kind, words);
        let mut state = self.key.number(&purpose, plain.as_bytes());
        let mut next = |count: u64| {
            // Every twelfth letter or so the number is used up: a new one follows from the old.
            if state < 1 << 20 {
                state = self.key.number(&purpose, &state.to_be_bytes());
            }
            let chosen = state % count;
            state /= count;
            u8::try_from(chosen).unwrap_or_default()
        };
        let made_up = words.chars().map(|letter| match letter {
            _ if letter.is_numeric() => char::from(b'0' + next(10)),
            'a'..='z' => char::from(b'a' + next(26)),
            _ if letter.is_alphabetic() => char::from(b'A' + next(26)),
            _ => letter,
        });
        made_up.collect()
    }
}

fn mask(kind: Kind) -> String {
    format!("[{}]", kind.name().to_uppercase())
}

/// What makes two spellings of an identifier equal: words of letters and digits in lower case;
/// for numbers without gaps.
fn plain(kind: Kind, words: &str) -> String {
    let gap = match kind {
        Kind::Name | Kind::Place => " ",
        Kind::Email | Kind::Url | Kind::IpAddress => return words.trim().to_lowercase(),
        Kind::BirthDate
        | Kind::Date
        | Kind::Age
        | Kind::Phone
        | Kind::Ssn
        | Kind::RecordNumber
        | Kind::PlanNumber
        | Kind::AccountNumber
        | Kind::Other => "",
    };
    let pieces = words.split(|letter: char| !letter.is_alphanumeric());
    let pieces = pieces.filter(|piece| !piece.is_empty()).map(str::to_lowercase);
    let is_title = |piece: &String| kind == Kind::Name && TITLES.contains(&piece.as_str());
    let pieces: Vec<_> = pieces.filter(|piece| !is_title(piece)).collect();
    pieces.join(gap)
}

/// `words` with each run of letters and digits changed by `change`.
fn by_words(words: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(words.len());
    let mut word = String::new();
    for letter in words.chars() {
        if letter.is_alphanumeric() {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            out.push_str(&change(&std::mem::take(&mut word)));
        }
        out.push(letter);
    }
    if !word.is_empty() {
        out.push_str(&change(&word));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, Replacer};
    use crate::config::redaction::{DatePolicy, Policies, Policy};
    use crate::types::Key;

    fn replaced(policy: Policy, date: DatePolicy, kind: Kind, words: &str) -> String {
        let key = Key::new(b"a key of some length").unwrap();
        let policies = Policies { default: policy, date, ..Policies::default() };
        let replacer = Replacer { key: &key, policies: &policies, shift_days: -40 };
        replacer.replace(kind, words).0
    }

    fn made_up(kind: Kind, words: &str) -> String {
        replaced(Policy::Surrogate, DatePolicy::Year, kind, words)
    }

    #[test]
    fn a_mask_tells_the_kind_only() {
        let check = |kind, words, expected| {
            assert_eq!(replaced(Policy::Mask, DatePolicy::Year, kind, words), expected);
        };
        check(Kind::Name, "Ann Lee", "[NAME]");
        check(Kind::RecordNumber, "12-34-56", "[RECORD_NUMBER]");
        check(Kind::Date, "March 3, 2024", "2024");
        check(Kind::Date, "March 3", "[DATE]");
        check(Kind::Age, "97", "90+");
    }

    #[test]
    fn dates_move_together() {
        let check = |words, expected| {
            let moved = replaced(Policy::Mask, DatePolicy::Shift, Kind::Date, words);
            assert_eq!(moved, expected);
        };
        check("March 3, 2024", "January 23, 2024");
        check("2024-03-03", "2024-01-23");
        check("13/45/2024", "[DATE]");
        assert_eq!(replaced(Policy::Hash, DatePolicy::Mask, Kind::Date, "2024-03-03"), "[DATE]");
    }

    #[test]
    fn equal_identifiers_join_whatever_their_spelling() {
        let hash = |kind, words| replaced(Policy::Hash, DatePolicy::Year, kind, words);
        assert_eq!(hash(Kind::Name, "Ann LEE"), hash(Kind::Name, "ann  lee"));
        assert_eq!(hash(Kind::Phone, "(212) 555-1234"), hash(Kind::Phone, "212.555.1234"));
        assert_eq!(hash(Kind::Name, "Ann Lee"), hash(Kind::Name, "Dr. Ann Lee"));
        assert_ne!(hash(Kind::Name, "Ann Lee"), hash(Kind::Name, "Ann Leer"));
        assert_ne!(hash(Kind::Phone, "2125551234"), hash(Kind::Other, "2125551234"));
        let token = hash(Kind::Name, "Ann Lee");
        assert!(token.starts_with("[NAME:") && token.len() == "[NAME:]".len() + 16, "{token}");
    }

    #[test]
    fn a_made_up_name_keeps_the_family_together_and_its_form() {
        let (whole, family) = (made_up(Kind::Name, "Ann B. Lee"), made_up(Kind::Name, "LEE"));
        let words: Vec<_> = whole.split(' ').collect();
        assert_eq!(words.len(), 3);
        assert_eq!(words[1].len(), 2, "an initial and a stop: {whole}");
        assert_eq!(words[2].to_uppercase(), family);
    }

    #[test]
    fn made_up_numbers_are_nobodys() {
        let phone = made_up(Kind::Phone, "(212) 736-5000");
        assert!(phone.contains(") 555-01"), "{phone}");
        assert!(made_up(Kind::Ssn, "123-45-6789").starts_with("000-"));
        assert!(made_up(Kind::Email, "a@b.com").ends_with("@example.com"));
        assert!(made_up(Kind::IpAddress, "fe80::1").starts_with("2001:db8::"));
        let record = made_up(Kind::RecordNumber, "AB-98-76");
        assert_eq!((record.len(), record.get(2..3)), (8, Some("-")));
    }

    proptest! {
        #[test]
        fn no_replacement_is_the_identifier_and_each_is_the_same_again(
            words in "[A-Za-z0-9]{1,3}[A-Za-z0-9 .\\-]{0,30}[a-z0-9]{3}",
            index in 0_usize..Kind::ALL.len(), policy in 0_usize..3,
        ) {
            let policy = [Policy::Mask, Policy::Hash, Policy::Surrogate][policy];
            let kind = Kind::ALL[index];
            let once = replaced(policy, DatePolicy::Mask, kind, &words);
            prop_assert_ne!(&once, &words);
            prop_assert!(!once.is_empty());
            prop_assert_eq!(once, replaced(policy, DatePolicy::Mask, kind, &words));
        }
    }
}
