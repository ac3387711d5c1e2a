//! The shipped pipeline of notes on a broker: model, rules and envelope together, Avro out, from
//! text, PDF, FHIR and HL7; and the same folder without its section `redact`.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use serde_json::json;

use super::contracts::{AROUND, ORDINARY, input};
use super::{Case, Mark, Marked, assert_clean, assert_marked, outputs, owned};
use crate::pdf_maker::{Pdf, Stream};
use crate::support::flow::Flow;
use crate::support::kafka::Input;

/// Somebody who does not exist, by what the safe harbor rule lists (45 CFR 164.514(b)(2)(i)).
pub(crate) struct Person {
    pub(crate) given: &'static str,
    pub(crate) family: &'static str,
    pub(crate) doctor: &'static str,
    pub(crate) record: &'static str,
    pub(crate) birth: &'static str,
    pub(crate) street: &'static str,
    pub(crate) town: &'static str,
    pub(crate) zip: &'static str,
    pub(crate) phone: &'static str,
    pub(crate) fax: &'static str,
    pub(crate) email: &'static str,
    pub(crate) ssn: &'static str,
    pub(crate) plan: &'static str,
    pub(crate) visit: &'static str,
}

pub(crate) const PEOPLE: [Person; 4] = [
    Person {
        given: "Zebulon",
        family: "Quorvath",
        doctor: "Ysolde Brandvik",
        record: "77-4410-92",
        birth: "03/12/1931",
        street: "742 Larkspur Terrace",
        town: "Glenhollow",
        zip: "12207-4417",
        phone: "(212) 736-9914",
        fax: "212.736.9915",
        email: "zeb.quorvath@mail.example.org",
        ssn: "219-09-9941",
        plan: "HP-9918273",
        visit: "January 17, 2019",
    },
    Person {
        given: "Philomena",
        family: "Vanterpool",
        doctor: "Casimir Oyelaran",
        record: "RX884412",
        birth: "1958-11-30",
        street: "18 Old Quarry Road",
        town: "Millbarrow Heights",
        zip: "14850-0093",
        phone: "607-555-0188",
        fax: "607 555 0189",
        email: "p.vanterpool@example.net",
        ssn: "078-05-1120",
        plan: "7741-Q-2291",
        visit: "03-Mar-24",
    },
    Person {
        given: "Ignatius",
        family: "Thistlewood",
        doctor: "Marguerite Sólheim",
        record: "0099-3817",
        birth: "7/4/1944",
        street: "5 N. Harbor Boulevard, Apt 12",
        town: "Port Ellery",
        zip: "11968-2210",
        phone: "+1 631 555 0147",
        fax: "(631) 555-0148",
        email: "ignatius_t@example.com",
        ssn: "457-55-5462",
        plan: "MBR100238841",
        visit: "the third of March, 2024",
    },
    Person {
        given: "Oluwaseun",
        family: "Brackenbury",
        doctor: "Dmitri Kowalczyk",
        record: "MRN55820017",
        birth: "14 February 1972",
        street: "2200 West Alder Avenue",
        town: "Cedarmoor",
        zip: "13601-7719",
        phone: "315.555.0162",
        fax: "315-555-0163",
        email: "olu.brackenbury@example.org",
        ssn: "212 09 9999",
        plan: "SUB-44-7719",
        visit: "Monday, March 4, 2024",
    },
];

/// What is hidden of every note beside its person.
const ASIDE: [Mark; 10] = [
    ("body", "St. Orla's Hospital"),
    ("body", "PJN-481516"),
    ("body", "7ABC912"),
    ("body", "1HGCM82633A004352"),
    ("body", "DL-8821-0047"),
    ("body", "https://records.example.org/p/71"),
    ("body", "10.77.31.9"),
    ("body", "nurse dot line at example dot org"),
    ("body", "4417-1029"),
    ("body", "died at 96"),
];

/// A note into which identifiers were put.
pub(crate) struct Injected {
    pub(crate) text: String,
    /// Where each stands, in bytes.
    pub(crate) places: Vec<Range<usize>>,
}

impl Injected {
    /// `body` under a header and above a footer that identify `person`.
    pub(crate) fn new(person: &Person, body: &str) -> Self {
        let mut note = Self { text: String::new(), places: Vec::new() };
        let name = format!("{} {}", person.given, person.family);
        note.add("Patient: ", &name).add("\nMRN: ", person.record).add("\nDOB: ", person.birth);
        note.add("\nAddress: ", person.street).add("\n", person.town).add(", NY ", person.zip);
        note.add("\nPhone: ", person.phone).add("\nFax: ", person.fax);
        note.add("\nE-mail: ", person.email).add("\nSSN: ", person.ssn);
        note.add("\nMember ID: ", person.plan).add("\nSeen on ", person.visit);
        note.add("\nAttending: Dr. ", person.doctor);
        note.text.push_str("\n\n");
        note.text.push_str(body);
        note.add("\n\nSeen at ", "St. Orla's Hospital");
        note.add(". Mr. ", person.family).add(" called from ", person.phone);
        note.add(".\nHis pacemaker has the serial number ", "PJN-481516");
        note.add(".\nLicense plate ", "7ABC912").add(", VIN ", "1HGCM82633A004352");
        note.add(", driver's license ", "DL-8821-0047").add(".\nAccount no. ", "4417-1029");
        note.add(".\nSee ", "https://records.example.org/p/71").add(" from ", "10.77.31.9");
        note.add(" or write to ", "nurse dot line at example dot org");
        note.add(".\nHis brother ", "died at 96").add(".\nSigned by ", person.doctor);
        note.text.push_str(", MD\n");
        note
    }

    fn add(&mut self, before: &str, identifier: &str) -> &mut Self {
        self.text.push_str(before);
        let start = self.text.len();
        self.text.push_str(identifier);
        self.places.push(start..self.text.len());
        self
    }

    /// What was put in, names by their words too.
    pub(crate) fn marked(&self, person: &Person) -> Vec<Marked> {
        let words = |place: &Range<usize>| self.text.get(place.clone()).unwrap().to_owned();
        let places = self.places.iter().map(words);
        let names = [person.given, person.family].map(str::to_owned);
        places.chain(names).map(|words| ("body", words)).collect()
    }
}

/// In FHIR resources and HL7 segments, by reference or far from the patient, and in the texts
/// without any cue.
const ENVELOPES: [Mark; 21] = [
    ("FHIR patient", "Wilhelmina"),
    ("FHIR patient", "Ashgrove"),
    ("FHIR patient", "FH-88123-K"),
    ("FHIR author by reference", "Teasdale"),
    ("FHIR role by reference", "Abernethy"),
    ("FHIR organization", "Larchmere Wellness Group"),
    ("FHIR relative", "Percival"),
    ("PID", "Thornquist"),
    ("PID", "H7-55291"),
    ("PID", "9 Fenwick Row"),
    ("PD1-4", "Huxtable"),
    ("NK1-2", "Lysander"),
    ("NK1-30", "Ferncliff"),
    ("NK1-31", "518-555-0171"),
    ("NK1-32", "31 Tannery Close"),
    ("GT1-3", "Winterbourne"),
    ("IN1-16", "Castellane"),
    ("IN1-49", "QX-7741-Z"),
    ("ORC-12", "Featherstone"),
    ("OBR-28", "Ravensdale"),
    ("TXA-9", "Montclair"),
];

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A bundle whose document names nobody itself.
fn fhir(status: &str) -> Input {
    let text = format!(
        "{ORDINARY} The daughter of ASHGROVE says that wilhelmina is better, chart FH-88123-K. \
         Teasdale and Abernethy of Larchmere Wellness Group looked in; percival came along."
    );
    let entry = |resource: serde_json::Value| json!({"resource": resource});
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        entry(json!({
            "resourceType": "DocumentReference", "id": "note-of-ashgrove", "status": status,
            "subject": {"reference": "Patient/p"},
            "author": [{"reference": "Practitioner/a"}, {"reference": "PractitionerRole/r"}],
            "content": [{"attachment": {"contentType": "text/plain", "data": base64(text.as_bytes())}}],
        })),
        entry(json!({
            "resourceType": "Patient", "id": "p", "birthDate": "1952-11-03",
            "name": [{"family": "Ashgrove", "given": ["Wilhelmina"]}],
            "identifier": [{"value": "FH-88123-K"}],
        })),
        entry(json!({"resourceType": "Patient", "id": "q", "name": [{"family": "Nobody"}]})),
        entry(json!({"resourceType": "Practitioner", "id": "a", "name": [{"text": "Corwin Teasdale"}]})),
        entry(json!({
            "resourceType": "PractitionerRole", "id": "r",
            "practitioner": {"display": "Dr. Abernethy"},
            "organization": {"reference": "Organization/o"},
        })),
        entry(json!({
            "resourceType": "Organization", "id": "o", "name": "Larchmere Wellness Group",
        })),
        entry(json!({
            "resourceType": "RelatedPerson", "id": "s", "patient": {"reference": "Patient/p"},
            "name": [{"family": "Ashgrove", "given": ["Percival"]}],
        })),
    ]});
    input(bundle.to_string().as_bytes(), "application/fhir+json")
}

/// Who stands around an HL7 message.
const PEOPLE_SEGMENTS: &str = "PID|1||H7-55291^^^ACME^MR||Thornquist^Ingeborg||19480716|F|||9 Fenwick Row^^Albany^NY\r\
    PD1||||8812^Huxtable^Barnaby\r\
    NK1|1|Thornquist^Lysander|SPO|||||||||||||||||||||||||||Ferncliff^Odalys|518-555-0171|31 Tannery Close^^Troy^NY\r\
    GT1|1||Winterbourne^Agnes\r\
    IN1|1|A|B|||||||||||||Castellane^Rufus|||||||||||||||||||||||||||||||||QX-7741-Z\r";

const ORDER_SEGMENTS: &str = "ORC|RE|||||||||||71^Featherstone^Ada\r\
    OBR|1|P1|F1|1^Panel||||||||||||||||||||||||55^Ravensdale^Otto\r";

const PEOPLE_TEXT: &str = "thornquist of 9 fenwick row, file H7-55291, came with Lysander; FERNCLIFF \
    at 518-555-0171 or 31 Tannery Close was told, as were Huxtable, Winterbourne, Castellane \
    (QX-7741-Z)";

/// A report of a laboratory: numbers, a note, and the people of its orders.
fn report() -> Input {
    let message = format!(
        "MSH|^~\\&|LAB|ACME|X|Y|20260101||ORU^R01^ORU_R01|C7|P|2.5\r{PEOPLE_SEGMENTS}\
         {ORDER_SEGMENTS}OBX|1|NM|2823-3^Potassium^LN||5.9|mmol/L|3.5-5.1|H|||F\r\
         NTE|1||Told to Featherstone and RAVENSDALE; {PEOPLE_TEXT}.\r"
    );
    input(message.as_bytes(), "application/hl7-v2")
}

/// A document in lines of text, whose availability (TXA-19) is `status`.
fn document(status: &str) -> Input {
    let message = format!(
        "MSH|^~\\&|EHR|ACME|X|Y|20260101||MDM^T02^MDM_T02|C8|P|2.5\r{PEOPLE_SEGMENTS}\
         {ORDER_SEGMENTS}TXA|1|PN|TX||||||66^Montclair^Viola|||D9|||||||{status}\r\
         OBX|1|TX|1^Note||{ORDINARY}||||||F\r\
         OBX|2|TX|1^Note||Written by montclair, ordered by Featherstone and RAVENSDALE, \
         about {PEOPLE_TEXT}.||||||F\r"
    );
    input(message.as_bytes(), "application/hl7-v2")
}

/// `text` on one page of a PDF, a line each.
fn pdf(text: &str) -> Vec<u8> {
    let escaped: Vec<String> = text
        .lines()
        .map(|line| line.replace('\\', r"\\").replace('(', r"\(").replace(')', r"\)"))
        .collect();
    let places = (0_u16..).map(|number| 780 - 14 * number);
    let lines: Vec<(u16, u16, &str)> =
        places.zip(&escaped).map(|(bottom, line)| (20, bottom, line.as_str())).collect();
    Pdf::of_pages(&[Stream::lines(&lines)]).bytes()
}

const BODY: &str = "CHIEF COMPLAINT\n\nChest pain.\n\nHISTORY OF PRESENT ILLNESS\n\n\
    The patient is a 94-year-old man with chest pain and hypertension. He denies fever.\n\
    He was started on metoprolol 25 mg twice daily.\n\nRESULTS\n\nPotassium was 4.1 mmol/L.";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::default());
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    packed
}

/// One message for each way and format.
fn case() -> Case {
    let note = |index: usize, body: &str| Injected::new(&PEOPLE[index], body).text;
    let envelope =
        json!({"content": base64(note(1, BODY).as_bytes()), "content_type": "text/plain"});
    let mut broken = note(0, BODY).into_bytes();
    broken.push(0xFF);
    let german = format!(
        "Der Patient {} {} wurde am 17. Januar in das Krankenhaus aufgenommen und untersucht. Er \
         klagte über Schmerzen in der Brust und wurde noch am selben Tag nach Hause entlassen. ",
        PEOPLE[0].given, PEOPLE[0].family
    );
    let old = note(2, "The patient is a 230-year-old man with a cough.");
    let cut = fhir("current").payload.unwrap();
    let mut inputs = vec![
        input(note(0, BODY).as_bytes(), "text/plain"),
        input(&pdf(&note(1, BODY)), "application/pdf"),
        input(envelope.to_string().as_bytes(), "application/vnd.sluice.document+json"),
        input(old.as_bytes(), "text/plain"),
        input(&broken, "text/plain"),
        input(note(3, BODY).as_bytes(), "application/pdf"),
        input(&gzip(note(3, BODY).as_bytes()), "application/gzip"),
        input(german.repeat(4).as_bytes(), "text/plain"),
        input(&cut[..cut.len() - 2], "application/fhir+json"),
        fhir("current"),
        fhir("entered-in-error"),
        report(),
        document("AV"),
        document("CA"),
        Input { payload: None, ..input(b"", "text/plain") },
    ];
    // For people to look at, with all of its text.
    inputs.extend(
        (0..PEOPLE.len()).map(|index| input(note(index, ORDINARY).as_bytes(), "text/plain")),
    );
    Case {
        inputs,
        codes: vec![
            "DOCUMENT_RETRACTED",
            "ENCODING_INVALID",
            "FHIR_INVALID",
            "RULE_BROKEN",
            "TYPE_MISMATCH",
            "TYPE_UNSUPPORTED",
        ],
        files: vec![
            ("quennell-vrabie.txt", note(0, BODY).into_bytes()),
            ("perpetua lindqvist.pdf", pdf(&note(1, ORDINARY))),
            ("broken.hl7", note(2, BODY).into_bytes()),
        ],
    }
}

fn of_bodies() -> Vec<Marked> {
    let of_people = PEOPLE.iter().flat_map(|person| Injected::new(person, BODY).marked(person));
    of_people.chain(owned(&ASIDE)).collect()
}

fn all_marked() -> Vec<Marked> {
    of_bodies().into_iter().chain(owned(&ENVELOPES)).chain(owned(&AROUND)).collect()
}

#[test]
fn the_shipped_notes_pipeline_lets_no_identifier_out_by_any_way() {
    let ways = outputs(&Flow::shipped("clinical-notes", 1, None, ""), &case());
    assert_clean("clinical-notes", &ways, &all_marked());
    let texts: Vec<String> = ways
        .iter()
        .flat_map(|(_, outputs)| outputs)
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    for words in ["metoprolol", "5.9 mmol/L", "[NAME]"] {
        let is_there = texts.iter().any(|text| text.contains(words));
        assert!(is_there, "extraction sees the original: {words}");
    }
}

#[test]
fn without_its_section_the_same_search_finds_every_identifier_of_the_notes() {
    let ways = outputs(&Flow::shipped("clinical-notes", 1, Some("redact"), ""), &case());
    assert_marked(&ways, &all_marked(), &of_bodies());
}

#[test]
fn identifiers_stand_where_they_were_put() {
    for person in &PEOPLE {
        let note = Injected::new(person, BODY);
        assert_eq!(note.places.len(), 26);
        assert!(note.marked(person).iter().any(|(_, words)| words == person.visit));
    }
}

/// What identifies the patient of [`NOTE`], in the words of the note, its name and its numbers.
const OF_NOTE: [&str; 14] = [
    "Holloway",
    "Margaret",
    "94-year",
    "died at 96",
    "1930",
    "00482913",
    "Deshmukh",
    "2024-03-20",
    "third of",
    "555-0143",
    "m.holloway",
    "HX-2291",
    "Springfield",
    "3/27",
];

/// A note whose identifiers are for the model, the rules or both to find.
const NOTE: &str = "CHIEF COMPLAINT\n\nChest pain.\n\nHISTORY OF PRESENT ILLNESS\n\n\
    Margaret Holloway is a 94-year-old woman from Springfield, DOB 03/14/1930, MRN00482913, seen \
    by Dr. Anil Deshmukh on 2024-03-20. Holloway denies fever. Her brother died at 96 of heart \
    failure. She was started on metoprolol 25 mg twice daily on the third of March 2024. Reach \
    her at 217-555-0143 or m.holloway@example.org; her plan number is HX-2291-77.\n\nPLAN\n\n\
    Labs 3/27: potassium. Follow up with Dr. Deshmukh in Springfield.\n";

#[test]
fn the_shipped_notes_pipeline_lets_no_identifier_of_a_note_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("margaret-holloway.txt");
    std::fs::write(&file, NOTE).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("extract")
        .arg(root.join("pipelines/clinical-notes"))
        .arg(&file)
        .env("SLUICE_REDACT_KEY", "a key for this test alone")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let aside = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{aside}");
    let outcome: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(outcome["record"]["age"], 90);
    assert!(told.contains("metoprolol"), "extraction sees the original");
    for words in OF_NOTE {
        assert!(!told.contains(words) && !aside.contains(words), "{words}");
        let is_marked = NOTE.contains(words);
        assert!(is_marked, "{words} is not in the note: the search would find nothing");
    }
}
