//! Segment `-> identifiers`: the fields of HL7 v2 that say whom a message is about and who took
//! part.
//!
//! Deliberately a table by type of data, and by no field's meaning: every field of HL7 v2.5.1 and
//! v2.8 (chapters 3, 4, 6, 7, 9 and 15) that is a name (XPN, XCN, PPN, CNN in NDL), an address
//! (XAD), a telephone or e-mail address (XTN), a number of a person (CX, DLN) or an organization
//! (XON) in the segments of `MDM` and `ORU`, and in those that senders add to them (GT1, IN1, IN2,
//! IN3, MRG, ACC, DG1, PR1, PDA, DB1, IAM). Beside them stand the fields of plain types that hold a
//! number, a day or a place of birth. Segments of a site's own (`Z..`) have no types that could be
//! known. Identifiers of single results (OBX-18, OBX-21) name no person, and each result would
//! count against the limit of a document.

use encoding_rs::Encoding;

use super::er7::Separators;
use super::moment;
use crate::decode::identifiers::{Collector, Kind};

/// Fewest digits of a number that is not the patient's own: a shorter one would hide doses.
const DIGITS_MIN: usize = 4;

/// A type of data, as far as it identifies.
#[derive(Clone, Copy)]
enum Type {
    /// A number of the patient or of somebody who belongs to the patient (CX, DLN, ST).
    Number(Kind),
    /// A number of an order, a document or an authorization (EI, CX, AUI).
    Code,
    /// A name: family, given, further names (XPN, PN).
    Name,
    /// A name behind a number (XCN, PPN, CN).
    NumberedName,
    /// A name behind a number, inside the first component (NDL).
    NestedName,
    /// A day of birth (TS, DTM).
    Birth,
    /// Street, second line, city, postal code, district and county (XAD, AD).
    Address,
    /// A place in one component (ST, IS).
    Place,
    /// A phone number in several forms, or an e-mail address (XTN, TN).
    Phone,
    /// An organization's name (XON).
    Organization,
}

use Type::{
    Address, Birth, Code, Name, NestedName, Number, NumberedName, Organization, Phone, Place,
};

/// Segment, type, fields.
const FIELDS: &[(&str, Type, &[usize])] = &[
    ("MSH", Organization, &[22, 23]),
    ("EVN", NumberedName, &[5]),
    ("PID", Number(Kind::RecordNumber), &[2, 3, 4, 18, 21]),
    ("PID", Number(Kind::Id), &[19, 20]),
    ("PID", Name, &[5, 6, 9]),
    ("PID", Birth, &[7]),
    ("PID", Address, &[11]),
    ("PID", Place, &[12, 23]),
    ("PID", Phone, &[13, 14, 40]),
    ("PD1", Organization, &[3, 14]),
    ("PD1", NumberedName, &[4]),
    ("PD1", Number(Kind::RecordNumber), &[10]),
    ("NTE", NumberedName, &[5]),
    ("NK1", Name, &[2, 26, 30]),
    ("NK1", Address, &[4, 32]),
    ("NK1", Phone, &[5, 6, 31, 40, 41]),
    ("NK1", Number(Kind::Id), &[12, 33, 37]),
    ("NK1", Organization, &[13]),
    ("NK1", Birth, &[16]),
    ("NK1", Place, &[38]),
    ("GT1", Number(Kind::Id), &[2, 12, 19]),
    ("GT1", Code, &[29]),
    ("GT1", Name, &[3, 4, 16, 42, 45]),
    ("GT1", Address, &[5, 17]),
    ("GT1", Phone, &[6, 7, 18, 46]),
    ("GT1", Birth, &[8]),
    ("GT1", Organization, &[21, 51]),
    ("GT1", Place, &[56]),
    ("IN1", Code, &[3, 8, 10, 14, 54]),
    ("IN1", Organization, &[4, 9, 11]),
    ("IN1", Address, &[5, 19, 44]),
    ("IN1", Name, &[6, 16]),
    ("IN1", Phone, &[7]),
    ("IN1", Birth, &[18]),
    ("IN1", NumberedName, &[30]),
    ("IN1", Number(Kind::Id), &[36, 49]),
    ("IN1", Place, &[52]),
    ("IN2", Number(Kind::Id), &[1, 2, 6, 8, 10, 26, 61]),
    ("IN2", Code, &[25]),
    ("IN2", NumberedName, &[3]),
    ("IN2", Name, &[7, 9, 22, 40, 49, 52]),
    ("IN2", Phone, &[50, 53, 58, 63, 64]),
    ("IN2", Organization, &[69, 70]),
    ("IN3", Code, &[2]),
    ("IN3", NumberedName, &[3, 8, 14, 25]),
    ("IN3", Phone, &[16, 19]),
    ("MRG", Number(Kind::RecordNumber), &[1, 2, 3, 4, 5, 6]),
    ("MRG", Name, &[7]),
    ("PV1", Number(Kind::RecordNumber), &[5, 19, 50, 54]),
    ("PV1", NumberedName, &[7, 8, 9, 17, 52]),
    ("PV2", NumberedName, &[13]),
    ("PV2", Organization, &[23]),
    ("ROL", NumberedName, &[4]),
    ("ROL", Address, &[11]),
    ("ROL", Phone, &[12]),
    ("ROL", Organization, &[14]),
    ("PRT", NumberedName, &[5]),
    ("PRT", Organization, &[8]),
    ("PRT", Code, &[10]),
    ("PRT", Address, &[14]),
    ("PRT", Phone, &[15]),
    ("CTD", Name, &[2]),
    ("CTD", Address, &[3]),
    ("CTD", Phone, &[5]),
    ("CON", Code, &[4]),
    ("CON", Name, &[24]),
    ("ORC", Code, &[2, 3, 4, 33]),
    ("ORC", NumberedName, &[10, 11, 12, 19]),
    ("ORC", Phone, &[14, 23]),
    ("ORC", Organization, &[21]),
    ("ORC", Address, &[22, 24]),
    ("OBR", Code, &[2, 3, 51, 52, 53]),
    ("OBR", NumberedName, &[10, 16, 28]),
    ("OBR", Phone, &[17]),
    ("OBR", NestedName, &[32, 33, 34, 35]),
    ("OBX", NumberedName, &[16, 25]),
    ("OBX", Organization, &[23]),
    ("OBX", Address, &[24]),
    ("SPM", Code, &[30, 31, 32]),
    ("TXA", NumberedName, &[5, 9, 10, 11, 22, 23]),
    ("TXA", Code, &[12, 13, 14, 15]),
    ("ACC", NumberedName, &[7]),
    ("ACC", Address, &[11]),
    ("DB1", Number(Kind::Id), &[3]),
    ("DG1", NumberedName, &[16]),
    ("PR1", NumberedName, &[8, 11, 12]),
    ("PDA", NumberedName, &[5, 8]),
    ("FT1", NumberedName, &[20, 21, 24]),
    ("FT1", Number(Kind::Id), &[30]),
    ("IAM", Name, &[14]),
    ("IAM", NumberedName, &[18, 21, 23, 25]),
    ("IAM", Organization, &[19, 28, 29, 30]),
];

/// The type of OBX-5 by OBX-2, where values of that type identify.
fn of_value(name: &str) -> Option<Type> {
    match name {
        "XPN" | "PN" => Some(Name),
        "XCN" | "CN" | "PPN" => Some(NumberedName),
        "XAD" | "AD" => Some(Address),
        "XTN" | "TN" => Some(Phone),
        "CX" | "CK" | "DLN" => Some(Number(Kind::Id)),
        "EI" => Some(Code),
        "XON" => Some(Organization),
        _ => None,
    }
}

/// Gathers the identifiers of segments.
pub(super) struct People<'a> {
    pub(super) separators: Separators,
    pub(super) charset: &'static Encoding,
    pub(super) found: &'a mut Collector,
}

impl People<'_> {
    /// Adds whom the segment `name` tells of.
    pub(super) fn segment(&mut self, segment: &str, name: &str) {
        for (_, kind, numbers) in FIELDS.iter().filter(|(named, ..)| *named == name) {
            for number in *numbers {
                self.field(self.separators.field(segment, *number), *kind);
            }
        }
        if name == "OBX"
            && let Some(kind) = of_value(self.separators.field(segment, 2))
        {
            self.field(self.separators.field(segment, 5), kind);
        }
    }

    fn field(&mut self, field: &str, kind: Type) {
        let of = self.separators;
        for repetition in of.repetitions(field).filter(|one| !one.is_empty()) {
            self.value(repetition, kind);
        }
    }

    fn value(&mut self, value: &str, kind: Type) {
        let part = |number| self.part(value, number, 1);
        match kind {
            Number(kind) => self.found.add(kind, part(1).as_deref()),
            Code => self.found.add(Kind::Id, part(1).filter(|code| is_telling(code)).as_deref()),
            Name => self.name(value, 1),
            NumberedName => {
                self.found.add(Kind::Id, part(1).filter(|code| is_telling(code)).as_deref());
                self.name(value, 2);
            }
            NestedName => {
                let id = self.part(value, 1, 1).filter(|id| is_telling(id));
                let given = [self.part(value, 1, 3), self.part(value, 1, 4)];
                let family = self.part(value, 1, 2);
                self.found.add(Kind::Id, id.as_deref());
                self.found.name(given.iter().flatten().map(String::as_str), family.as_deref());
            }
            Birth => {
                let day = part(1).map(|text| moment::date(&text));
                let day = day.as_deref().map(|day| day.split(' ').next().unwrap_or_default());
                self.found.add(Kind::Date, day);
            }
            Address => {
                // Street and the name of the street alone; state and country tell too little.
                let pieces = [(1, 1), (1, 2), (2, 1), (3, 1), (5, 1), (8, 1), (9, 1)];
                for (number, sub) in pieces {
                    let piece = self.part(value, number, sub);
                    self.found.add(Kind::Address, piece.as_deref());
                }
            }
            Place => self.found.add(Kind::Address, part(1).filter(|it| is_wordy(it)).as_deref()),
            Phone => self.phone(value),
            Organization => self.found.organization(part(1).as_deref()),
        }
    }

    /// The subcomponent `sub` of component `number`, without escapes, where it holds anything.
    fn part(&self, value: &str, number: usize, sub: usize) -> Option<String> {
        let of = self.separators;
        let piece = of.subcomponents(of.component(value, number)).nth(sub - 1)?;
        let text = of.unescape(piece, self.charset).trim().to_owned();
        Some(text).filter(|text| !text.is_empty() && text != "\"\"")
    }

    /// A name whose family name is component `family`, with own and partner's names in it (FN).
    fn name(&mut self, value: &str, family: usize) {
        let given = [self.part(value, family + 1, 1), self.part(value, family + 2, 1)];
        let surname = self.part(value, family, 1);
        self.found.name(given.iter().flatten().map(String::as_str), surname.as_deref());
        for sub in [3, 5] {
            let surname = self.part(value, family, sub);
            self.found.add(Kind::Name, surname.as_deref().filter(|name| is_wordy(name)));
        }
    }

    fn phone(&mut self, value: &str) {
        let part = |number| self.part(value, number, 1);
        let pieces = [part(6), part(7)];
        let pieces: Vec<&str> = pieces.iter().flatten().map(String::as_str).collect();
        let local = part(7).filter(|local| digits(local) >= 7);
        let address = part(4);
        for number in [part(1), Some(pieces.join(" ")), local, part(12)].iter().flatten() {
            let kind = if number.contains('@') { Kind::Email } else { Kind::Phone };
            self.found.add(kind, Some(number));
        }
        self.found.add(Kind::Email, address.as_deref());
    }
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

fn is_telling(code: &str) -> bool {
    digits(code) >= DIGITS_MIN
}

/// Whether a place or a name is more than a code of a table.
fn is_wordy(text: &str) -> bool {
    text.chars().filter(|letter| letter.is_alphabetic()).count() >= 4
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_8;

    use super::{Collector, People, Separators};

    /// Kind and value of what `segment` tells.
    fn told(segment: &str) -> Vec<(&'static str, String)> {
        let mut found = Collector::default();
        let separators = Separators::of(r"MSH|^~\&|").unwrap();
        let name = segment.split('|').next().unwrap();
        People { separators, charset: UTF_8, found: &mut found }.segment(segment, name);
        found.shared().iter().map(|one| (one.kind, one.value.to_string())).collect()
    }

    /// A segment in which field `number` is `value`.
    fn with(name: &str, number: usize, value: &str) -> String {
        format!("{name}{}{value}", "|".repeat(number))
    }

    fn check(name: &str, numbers: &[usize], value: &str, expected: &[(&str, &str)]) {
        for number in numbers {
            let told = told(&with(name, *number, value));
            for (kind, value) in expected {
                let is_told = told.iter().any(|(k, v)| k == kind && v == value);
                assert!(is_told, "{name}-{number}: {kind} {value}: {told:?}");
            }
        }
    }

    #[test]
    fn every_field_of_a_type_is_read_as_that_type() {
        let name = [("name", "Ann Q Stone"), ("name", "Stone"), ("name", "Oldham")];
        let of_name = "Stone&&Oldham^Ann^Q";
        check("PID", &[5, 6, 9], of_name, &name);
        check("NK1", &[2, 26, 30], of_name, &name);
        check("GT1", &[3, 4, 16, 42, 45], of_name, &name);
        check("IN1", &[6, 16], of_name, &name);
        check("IN2", &[7, 9, 22, 40, 49, 52], of_name, &name);
        check("MRG", &[7], of_name, &name);
        let numbered = [("name", "Ann Q Stone"), ("name", "Stone"), ("id", "1234567893")];
        let of_numbered = "1234567893^Stone^Ann^Q";
        check("PD1", &[4], of_numbered, &numbered);
        check("PV1", &[7, 8, 9, 17, 52], of_numbered, &numbered);
        check("ROL", &[4], of_numbered, &numbered);
        check("ORC", &[10, 11, 12, 19], of_numbered, &numbered);
        check("OBR", &[10, 16, 28], of_numbered, &numbered);
        check("OBX", &[16, 25], of_numbered, &numbered);
        check("TXA", &[5, 9, 10, 11, 22, 23], of_numbered, &numbered);
        check("EVN", &[5], of_numbered, &numbered);
        let nested = "1234567893&Stone&Ann&Q^20240303";
        check("OBR", &[32, 33, 34, 35], nested, &numbered);
        let address = [
            ("address", "12 Elm Row"),
            ("address", "Apt 9"),
            ("address", "Albany"),
            ("address", "12207"),
            ("address", "Kings"),
        ];
        let of_address = "12 Elm Row^Apt 9^Albany^NY^12207^USA^^^Kings";
        check("PID", &[11], of_address, &address);
        check("NK1", &[4, 32], of_address, &address);
        check("GT1", &[5, 17], of_address, &address);
        check("IN1", &[5, 19, 44], of_address, &address);
        check("ROL", &[11], of_address, &address);
        check("ORC", &[22, 24], of_address, &address);
        let phone = [("phone", "518 5550123"), ("phone", "5550123"), ("email", "a@x.org")];
        let of_phone = "^PRN^PH^a@x.org^1^518^5550123";
        check("PID", &[13, 14, 40], of_phone, &phone);
        check("NK1", &[5, 6, 31, 40, 41], of_phone, &phone);
        check("GT1", &[6, 7, 18, 46], of_phone, &phone);
        check("IN2", &[50, 53, 58, 63, 64], of_phone, &phone);
        check("OBR", &[17], of_phone, &phone);
        check("ORC", &[14, 23], of_phone, &phone);
        check("IN1", &[36, 49], "XQ-77", &[("id", "XQ-77")]);
        check("NK1", &[33, 37], "XQ-77", &[("id", "XQ-77")]);
        check("IN2", &[1, 2, 6, 8, 10, 26, 61], "XQ-77", &[("id", "XQ-77")]);
        check("MRG", &[1, 2, 3, 4, 5, 6], "XQ-77", &[("record_number", "XQ-77")]);
        check("OBR", &[2, 3], "LAB-20117", &[("id", "LAB-20117")]);
        check("GT1", &[8], "19560312", &[("birth_date", "1956-03-12")]);
        check("NK1", &[16], "195603121200", &[("birth_date", "1956-03-12")]);
        check("PD1", &[3], "Orla Family Clinic^L", &[("address", "Orla Family Clinic")]);
    }

    #[test]
    fn a_value_of_an_observation_is_gathered_by_its_type() {
        assert_eq!(told("OBX|1|XPN|^Contact||Stone^Ann").len(), 3);
        assert_eq!(told("OBX|1|TN|^Pager||5550123"), [("phone", "5550123".to_owned())]);
        assert_eq!(told("OBX|1|TX|^Note||Stone^Ann"), []);
        assert_eq!(told("OBX|1|NM|^Potassium||5.9"), []);
    }

    #[test]
    fn short_numbers_codes_and_common_words_are_left() {
        assert_eq!(told(&with("PV1", 7, "77")), []);
        assert_eq!(told(&with("OBR", 3, "F1")), []);
        assert_eq!(told(&with("PID", 12, "LA")), []);
        assert_eq!(told(&with("PV2", 23, "General Hospital")), []);
        assert_eq!(told(&with("PID", 5, "\"\"^\"\"")), []);
    }
}
