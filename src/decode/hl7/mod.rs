//! HL7 v2 in ER7 `-> documents`: `MDM` with content (T02, T04, T06, T08, T10) and `ORU^R01`.
//!
//! | OBX-2 | what OBX-5 gives |
//! |--|--|
//! | TX, FT, ST | lines of the text, in the order of the message; repetitions are lines |
//! | NM, SN, CE, CWE, CNE, CF, DT, TM, TS, DTM, ID, IS, and ST with a unit, a range or a flag | a line as a printed report has it, see [`results`]: `Potassium: 5.9 mmol/L (3.5-5.1) H` |
//! | ED | a part of its own, of the type that its components name: PDF, plain text, HTML, Markdown |
//! | RP | the reject `ATTACHMENT_REMOTE`: the document stands behind a link |
//! | names, addresses, phone numbers and the like | no text; they are gathered for redaction |
//! | any other | nothing |
//!
//! Notes (NTE-3) behind an OBR, a TXA or an OBX are lines; those behind a PID tell of the patient
//! and belong to no report. Spans refer to the text so made.
//!
//! Each OBR of an `ORU`, each TXA of an `MDM` and each PID begins another document, so that two
//! reports of one message are two parts; deleted and wrong results (OBX-11 `D`, `W`) are left out,
//! and where nothing else is left, as for a document that is deleted (TXA-19 `CA`), the part is the
//! reject `DOCUMENT_RETRACTED`. Where an `MDM` has no OBX with text, the document title (TXA-25) is
//! all the text there is. The identifier is TXA-12, OBR-3 or OBR-2, else MSH-10.
//!
//! The character set is the one of MSH-18, else of the content type, else UTF-8. Whom the segments
//! name is gathered for redaction by the types of their fields, see [`people`]. MLLP's frame is
//! taken off. Deliberately validates no message against a profile, and takes no batch: an unknown
//! segment is passed over.

mod charset;
mod er7;
mod moment;
mod people;
mod results;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};

use self::er7::Separators;
use self::people::People;
use self::results::Results;
use super::identifiers::{ALL_MAX, Collector};
use super::{Content, Found, attached, is_fit, media, reject, within};
use crate::config::pipeline::Input;
use crate::types::{MediaType, Reject, RejectCode};

/// The documents of one message.
pub(super) fn documents(
    body: &[u8],
    declared: Option<&'static Encoding>,
    input: &Input,
) -> Result<Vec<Found<'static>>, Reject> {
    let body = unframed(body);
    let charset = charset::of(body, declared)?;
    let Some(message) = charset.decode_without_bom_handling_and_without_replacement(body) else {
        let detail = format!("the HL7 message is not valid in {}", charset.name());
        return Err(reject(RejectCode::EncodingInvalid, detail));
    };
    let separators = Separators::of(&message).ok_or_else(|| {
        invalid("the body starts with no MSH segment whose separators are distinct punctuation")
    })?;
    let mut segments = er7::segments(&message);
    let header = segments.next().unwrap_or_default();
    let kind = MessageKind::of(header, &separators)?;
    let control_id = separators.field(header, 10);
    let mut reading = Reading { charset, kind, ..Reading::of(input, separators) };
    reading.control_id = reading.plain(control_id).filter(|id| is_fit(id));
    reading.gather(header, "MSH");
    for (number, segment) in segments.enumerate() {
        reading.segment(number + 2, segment)?;
    }
    reading.end_document()?;
    let found = numbered(reading.found);
    if found.is_empty() {
        let detail = "the HL7 message has no OBX of a type that is read which holds anything";
        return Err(reject(RejectCode::DocumentEmpty, detail));
    }
    Ok(found)
}

/// A message without the frame of MLLP (a vertical tab before, a file separator behind), a byte
/// order mark, and line ends around it.
fn unframed(body: &[u8]) -> &[u8] {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let is_frame = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0x0B | 0x1C);
    let start = body.iter().position(|byte| !is_frame(byte)).unwrap_or(body.len());
    let end = body.iter().rposition(|byte| !is_frame(byte)).map_or(start, |at| at + 1);
    body.get(start..end).unwrap_or_default()
}

/// What begins a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageKind {
    Document,
    Observation,
}

impl MessageKind {
    fn of(header: &str, separators: &Separators) -> Result<Self, Reject> {
        let kind = separators.field(header, 9);
        match (separators.component(kind, 1), separators.component(kind, 2)) {
            ("MDM", "T02" | "T04" | "T06" | "T08" | "T10") => Ok(Self::Document),
            ("ORU", "R01") => Ok(Self::Observation),
            _ => Err(invalid("MSH-9 is neither MDM with content (such as T02) nor ORU^R01")),
        }
    }
}

/// Documents with the same identifier get their number behind it.
fn numbered(mut found: Vec<Found<'static>>) -> Vec<Found<'static>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in found.iter().filter_map(|one| one.id.clone()) {
        *counts.entry(id).or_default() += 1;
    }
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for id in found.iter_mut().filter_map(|one| one.id.as_mut()) {
        if counts.get(id.as_str()).is_some_and(|count| *count > 1) {
            let number = numbers.entry(id.clone()).or_default();
            *id = format!("{id}#{number}");
            *number += 1;
        }
    }
    found
}

/// What of a document its sender has taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retracted {
    No,
    /// Some result.
    Part,
    /// The document.
    Whole,
}

/// A message half read.
struct Reading<'i> {
    separators: Separators,
    charset: &'static Encoding,
    input: &'i Input,
    kind: MessageKind,
    control_id: Option<String>,
    found: Vec<Found<'static>>,
    /// Of the present patient and document.
    people: Collector,
    identifiers_count: usize,
    id: Option<String>,
    title: Option<String>,
    /// Lines so far.
    text: Option<String>,
    /// Whether a document has begun, so that notes belong to it.
    is_inside: bool,
    /// Whether the present document, or a result of it, was taken back.
    retracted: Retracted,
    attached: Vec<Result<Content<'static>, Reject>>,
}

impl<'i> Reading<'i> {
    fn of(input: &'i Input, separators: Separators) -> Self {
        Self {
            separators,
            charset: UTF_8,
            input,
            kind: MessageKind::Document,
            control_id: None,
            found: Vec::new(),
            people: Collector::default(),
            identifiers_count: 0,
            id: None,
            title: None,
            text: None,
            is_inside: false,
            retracted: Retracted::No,
            attached: Vec::new(),
        }
    }

    /// A field's text without escapes, where it holds anything.
    fn plain(&self, field: &str) -> Option<String> {
        let text = self.separators.unescape(field, self.charset);
        let text = text.trim();
        (!text.is_empty() && text != "\"\"").then(|| text.to_owned())
    }

    fn segment(&mut self, number: usize, segment: &str) -> Result<(), Reject> {
        let of = self.separators;
        let name = segment.split(of.field).next().unwrap_or_default();
        let is_name = name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name {
            return Err(invalid(format!("line {number} of the HL7 message is no segment")));
        }
        match (name, self.kind) {
            ("MSH", _) => return Err(invalid("several HL7 messages stand in one body")),
            ("PID", _) => {
                self.end_document()?;
                self.people.begin();
                self.is_inside = false;
            }
            ("OBR", MessageKind::Observation) => {
                self.end_document()?;
                let filler = self.plain(of.component(of.field(segment, 3), 1));
                self.id = filler.or_else(|| self.plain(of.component(of.field(segment, 2), 1)));
            }
            ("TXA", MessageKind::Document) => {
                self.end_document()?;
                self.id = self.plain(of.component(of.field(segment, 12), 1));
                self.title = self.plain(of.field(segment, 25));
                // HL7 table 0273: deleted.
                if of.field(segment, 19) == "CA" {
                    self.retracted = Retracted::Whole;
                }
            }
            ("OBX", _) => self.observation(segment)?,
            ("NTE", _) if self.is_inside => self.lines(of.field(segment, 3)),
            _ => {}
        }
        self.is_inside |= matches!(name, "OBR" | "TXA" | "OBX");
        self.gather(segment, name);
        self.people.excess().map_or(Ok(()), |excess| {
            Err(invalid(format!("a document of the HL7 message {excess}")))
        })
    }

    /// Gathers whom a segment names.
    fn gather(&mut self, segment: &str, name: &str) {
        let (separators, charset) = (self.separators, self.charset);
        People { separators, charset, found: &mut self.people }.segment(segment, name);
    }

    fn observation(&mut self, segment: &str) -> Result<(), Reject> {
        let of = self.separators;
        if matches!(of.field(segment, 11), "D" | "W") {
            if self.retracted == Retracted::No {
                self.retracted = Retracted::Part;
            }
            return Ok(());
        }
        let field = of.field(segment, 5);
        let results = Results { separators: of, charset: self.charset };
        if let Some(line) = results.line(segment) {
            self.line(line);
            return Ok(());
        }
        match of.field(segment, 2) {
            "TX" | "FT" | "ST" => self.lines(field),
            "ED" => {
                for repetition in of.repetitions(field).filter(|one| !one.is_empty()) {
                    self.room_for(self.attached.len() + 1)?;
                    let attachment = self.attachment(repetition);
                    self.attached.push(attachment);
                }
            }
            "RP" => {
                self.room_for(self.attached.len() + 1)?;
                self.attached.push(Err(reject(
                    RejectCode::AttachmentRemote,
                    "an OBX of type RP points to a document outside the message",
                )));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the message may have `count` parts more than those that were found.
    fn room_for(&self, count: usize) -> Result<(), Reject> {
        let parts_max = usize::try_from(self.input.parts_max).unwrap_or(usize::MAX);
        if self.found.len().saturating_add(count) > parts_max {
            return Err(super::parts_too_many(self.input));
        }
        Ok(())
    }

    /// Adds the repetitions of a field, each as a line.
    fn lines(&mut self, field: &str) {
        let of = self.separators;
        for repetition in of.repetitions(field).filter(|one| *one != "\"\"") {
            self.line(of.unescape(repetition, self.charset).into_owned());
        }
    }

    /// Adds a line; what is above the limit of a document needs no more of them to be refused.
    fn line(&mut self, line: String) {
        match &mut self.text {
            None => self.text = Some(line),
            Some(text) if text.len() > self.input.document_bytes_max => {}
            Some(text) => {
                text.push('\n');
                text.push_str(&line);
            }
        }
    }

    /// The document of an ED: source, type, subtype, encoding, data.
    fn attachment(&self, repetition: &str) -> Result<Content<'static>, Reject> {
        let of = self.separators;
        let part = |number| of.unescape(of.component(repetition, number), self.charset);
        let (kind, subtype, data) = (part(2), part(3), part(5));
        let declared = media_type(&kind, &subtype);
        let bytes_max = self.input.document_bytes_max;
        let (bytes, is_text) = match part(4).to_ascii_lowercase().as_str() {
            "base64" => {
                let decoded = attached(&data, bytes_max)?;
                (decoded.ok_or_else(|| invalid("the data of an ED are no base64"))?, false)
            }
            "hex" => {
                let bare: String = data.split_ascii_whitespace().collect();
                within(bare.len() / 2, bytes_max)?;
                let decoded = er7::hex(bare.as_bytes());
                (decoded.ok_or_else(|| invalid("the data of an ED are no hexadecimal"))?, false)
            }
            "a" | "" => (data.into_owned().into_bytes(), true),
            _ => return Err(invalid("the encoding of an ED is neither A, Hex nor Base64")),
        };
        if bytes.is_empty() {
            return Err(reject(RejectCode::DocumentEmpty, "an ED of the HL7 message has no data"));
        }
        let charset = if is_text { UTF_8 } else { self.charset };
        let declared = declared.map(|declared| {
            let is_text = declared.starts_with("text/");
            if is_text {
                format!("{declared}; charset={}", charset.name())
            } else {
                declared.into_owned()
            }
        });
        let media_type = media::of(declared.as_deref().map(str::as_bytes), &bytes)?;
        Ok(Content { media_type, bytes: Cow::Owned(bytes) })
    }

    /// The text and the attachments since the last document began are documents.
    fn end_document(&mut self) -> Result<(), Reject> {
        // One that no document may have is not copied to each of them.
        let id = self
            .id
            .take()
            .map_or_else(|| self.control_id.clone(), |id| Some(id).filter(|id| is_fit(id)));
        let title = self.title.take();
        let mut contents = std::mem::take(&mut self.attached);
        let text = self.text.take().filter(|text| !text.trim().is_empty());
        let retracted = std::mem::replace(&mut self.retracted, Retracted::No);
        let is_empty = text.is_none() && title.is_none() && contents.is_empty();
        if retracted == Retracted::Whole || (retracted == Retracted::Part && is_empty) {
            let detail = "the sender has taken back the document, or every result of it";
            contents = vec![Err(reject(RejectCode::DocumentRetracted, detail))];
        } else if let Some(text) = text.or_else(|| title.filter(|_| contents.is_empty())) {
            let bytes = text.into_bytes();
            let media_type = MediaType::Plain(UTF_8);
            let content = within(bytes.len(), self.input.document_bytes_max)
                .map(|()| Content { media_type, bytes: Cow::Owned(bytes) });
            contents.insert(0, content);
        }
        if contents.is_empty() {
            return Ok(());
        }
        self.room_for(contents.len())?;
        let about = self.people.shared();
        for content in contents {
            self.identifiers_count += about.len();
            if self.identifiers_count > ALL_MAX {
                let detail =
                    format!("the HL7 message has more than {ALL_MAX} identifiers of people");
                return Err(invalid(detail));
            }
            let identifiers = Arc::clone(&about);
            self.found.push(Found { id: id.clone(), content, range: None, identifiers });
        }
        Ok(())
    }
}

/// The media type that an ED names in two components (HL7 tables 0191 and 0291), in which systems
/// put most everything; `None` where they say nothing.
fn media_type<'t>(kind: &'t str, subtype: &str) -> Option<Cow<'t, str>> {
    let known = match subtype.to_ascii_lowercase().as_str() {
        "pdf" | "x-pdf" => "application/pdf",
        "plain" | "text" | "txt" => "text/plain",
        "html" | "htm" => "text/html",
        "markdown" | "md" => "text/markdown",
        "" if kind.contains('/') => return Some(Cow::Borrowed(kind)),
        "" if matches!(kind.to_ascii_lowercase().as_str(), "text" | "tx" | "ft") => "text/plain",
        "" if kind.eq_ignore_ascii_case("pdf") => "application/pdf",
        "" | "octet-stream" => return None,
        other => return Some(Cow::Owned(format!("{}/{other}", kind.to_ascii_lowercase()))),
    };
    Some(Cow::Borrowed(known))
}

fn invalid(detail: impl Into<String>) -> Reject {
    reject(RejectCode::Hl7Invalid, detail)
}

#[cfg(test)]
mod tests;
