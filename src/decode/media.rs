//! declared media type, bytes `-> Form`: what a document is, and whether its header lies.
//!
//! A type that is declared is checked against the bytes, never replaced by a guess:
//!
//! | declared | bytes | answer |
//! |--|--|--|
//! | `application/pdf` | `%PDF-` in the first 1024 bytes | PDF |
//! | | another format's signature, or text without any mark of a PDF | `TYPE_MISMATCH` |
//! | | anything else, such as a PDF with a broken head | PDF: the text engine says `PDF_INVALID` |
//! | `text/*` | a binary format's signature at the start, or a NUL in the first 1024 bytes | `TYPE_MISMATCH` |
//! | | anything else | text: the room `text` says whether it is in its character set |
//! | nothing, or `application/octet-stream` | `%PDF-` in the first 1024 bytes | PDF |
//! | | anything else | `TYPE_UNSUPPORTED` |
//!
//! Text is never guessed: any bytes would do, and its character set would be a guess as well.
//! NULs are at home in UTF-16, so they count only elsewhere. Deliberately reads no further than
//! signatures.

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use super::reject;
use crate::types::{MediaType, Reject, RejectCode};

/// How far into the bytes a PDF header may stand: ISO 32000-1, Annex H.3, note 13.
const PDF_HEADER_WITHIN_BYTES: usize = 1024;

/// Longest media type that is read, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 256;

/// First bytes of formats that are neither PDF nor text: ZIP (also Word and Excel), OLE2 (old
/// Word), PNG, JPEG, GIF, TIFF in both byte orders, gzip.
const SIGNATURES: [&[u8]; 9] = [
    b"PK\x03\x04",
    b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
    b"\x89PNG\r\n\x1A\n",
    b"\xFF\xD8\xFF",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"\x1F\x8B\x08",
];

/// Words of PDF syntax: bytes that hold one are a PDF in pieces, not text under a wrong name.
const PDF_MARKS: [&[u8]; 4] = [b"%PDF", b"endobj", b"startxref", b"%%EOF"];

/// How a document of some type is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is one part.
    One(MediaType),
    /// Plain text: one part, or entries.
    Plain(&'static Encoding),
    /// JSON, one value a line.
    JsonLines(&'static Encoding),
    /// FHIR R4 in JSON.
    Fhir,
    /// HL7 v2 in ER7, with the character set that the type names.
    Hl7(Option<&'static Encoding>),
}

/// The form of `bytes`, declared as `declared`.
pub(super) fn form(declared: Option<&[u8]>, bytes: &[u8]) -> Result<Form, Reject> {
    let Some(declared) = declared else {
        return undeclared(bytes, "no content type is given").map(Form::One);
    };
    let parsed = Parsed::of(declared).ok_or_else(no_media_type)?;
    match parsed.essence.as_str() {
        "application/pdf" => pdf(bytes).map(Form::One),
        "text/plain" => text(bytes, parsed.encoding()?).map(Form::Plain),
        // Markdown is read as it is: its marks tell headings and lists, and spans refer to it.
        "text/markdown" => text(bytes, parsed.encoding()?).map(MediaType::Plain).map(Form::One),
        "text/html" => text(bytes, parsed.encoding()?).map(MediaType::Html).map(Form::One),
        "application/x-ndjson" | "application/jsonl" => {
            text(bytes, parsed.encoding()?).map(Form::JsonLines)
        }
        "application/fhir+json" => Ok(Form::Fhir),
        "x-application/hl7-v2+er7" | "application/hl7-v2+er7" | "application/hl7-v2" => {
            let charset = parsed.charset.is_some().then(|| parsed.encoding()).transpose()?;
            Ok(Form::Hl7(charset))
        }
        "application/octet-stream" => {
            undeclared(bytes, "the content type `application/octet-stream` says nothing")
                .map(Form::One)
        }
        // Not named: a type inside an envelope is words of a stranger.
        _ => {
            let detail = format!("the content type is none that sluice takes; it takes {TAKEN}");
            Err(reject(RejectCode::TypeUnsupported, detail))
        }
    }
}

/// The type of a document inside another one, which holds no further one.
pub(super) fn of(declared: Option<&[u8]>, bytes: &[u8]) -> Result<MediaType, Reject> {
    match form(declared, bytes)? {
        Form::One(media_type) => Ok(media_type),
        Form::Plain(charset) => Ok(MediaType::Plain(charset)),
        Form::JsonLines(_) | Form::Fhir | Form::Hl7(_) => {
            let detail = "an attachment is of a type that holds further documents";
            Err(reject(RejectCode::TypeUnsupported, detail))
        }
    }
}

/// The form of text that came as Unicode, so that a character set says nothing any more.
pub(super) fn of_text(declared: Option<&str>) -> Result<Form, Reject> {
    let Some(declared) = declared else { return Ok(Form::Plain(UTF_8)) };
    let essence = essence(declared.as_bytes()).ok_or_else(no_media_type)?;
    match form(Some(essence.as_bytes()), b"") {
        Ok(Form::Hl7(_)) => Ok(Form::Hl7(Some(UTF_8))),
        Ok(found) if found != Form::One(MediaType::Pdf) => Ok(found),
        Ok(_) | Err(_) => {
            let detail = "the JSON envelope has `text`, but its `content_type` is no type of text";
            Err(reject(RejectCode::TypeMismatch, detail))
        }
    }
}

fn no_media_type() -> Reject {
    reject(RejectCode::TypeUnsupported, "the content type is no media type (RFC 9110)")
}

/// The types that are taken, for details.
const TAKEN: &str = "`application/pdf`, `text/plain`, `text/html`, `text/markdown`, \
                     `application/fhir+json`, `application/hl7-v2` and, with `input.split: log`, \
                     `application/x-ndjson`";

/// `type/subtype` in lower case, without parameters.
pub(super) fn essence(declared: &[u8]) -> Option<String> {
    Parsed::of(declared).map(|parsed| parsed.essence)
}

/// A media type as RFC 9110, section 8.3.1, has it.
struct Parsed {
    essence: String,
    charset: Option<String>,
}

impl Parsed {
    fn of(declared: &[u8]) -> Option<Self> {
        let declared = std::str::from_utf8(declared).ok()?;
        if declared.len() > MEDIA_TYPE_BYTES_MAX {
            return None;
        }
        let mut pieces = declared.split(';');
        let essence = pieces.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        // The first charset holds, as in WHATWG MIME Sniffing.
        let charset = pieces.find_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"').to_owned())
        });
        Some(Self { essence, charset })
    }

    /// The character set, UTF-8 where none is named.
    fn encoding(&self) -> Result<&'static Encoding, Reject> {
        let Some(label) = &self.charset else { return Ok(UTF_8) };
        // WHATWG maps the labels of sets that are unsafe to decode to "replacement".
        Encoding::for_label(label.as_bytes()).filter(|found| *found != REPLACEMENT).ok_or_else(
            || {
                let detail =
                    "the charset of the content type is none of the WHATWG Encoding Standard";
                reject(RejectCode::TypeUnsupported, detail)
            },
        )
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(word: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn undeclared(bytes: &[u8], why: &str) -> Result<MediaType, Reject> {
    if has_pdf_header(bytes) {
        return Ok(MediaType::Pdf);
    }
    let detail = format!("{why} and the bytes are no PDF; declare {TAKEN}");
    Err(reject(RejectCode::TypeUnsupported, detail))
}

fn pdf(bytes: &[u8]) -> Result<MediaType, Reject> {
    if has_pdf_header(bytes) {
        return Ok(MediaType::Pdf);
    }
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    let has_mark = || PDF_MARKS.iter().any(|mark| contains(bytes, mark));
    if has_signature(bytes) || (is_text && !has_mark()) {
        let detail = "declared as `application/pdf`, but the bytes are of another format";
        return Err(reject(RejectCode::TypeMismatch, detail));
    }
    Ok(MediaType::Pdf)
}

fn text(bytes: &[u8], encoding: &'static Encoding) -> Result<&'static Encoding, Reject> {
    let has_bom = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
    let is_utf_16 = has_bom || encoding == UTF_16LE || encoding == UTF_16BE;
    let is_pdf = bytes.trim_ascii_start().starts_with(b"%PDF-");
    let has_nul = head(bytes).contains(&0) && !is_utf_16;
    if is_pdf || has_nul || has_signature(bytes) {
        let what = if is_pdf { "a PDF" } else { "binary" };
        let detail = format!("declared as text, but the bytes are {what}");
        return Err(reject(RejectCode::TypeMismatch, detail));
    }
    Ok(encoding)
}

fn head(bytes: &[u8]) -> &[u8] {
    bytes.get(..PDF_HEADER_WITHIN_BYTES).unwrap_or(bytes)
}

fn has_pdf_header(bytes: &[u8]) -> bool {
    contains(head(bytes), b"%PDF-")
}

fn has_signature(bytes: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| bytes.starts_with(signature))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{UTF_8, UTF_16LE, WINDOWS_1252};

    use super::{Form, essence, of, of_text};
    use crate::types::{MediaType, RejectCode};

    const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\nendobj\n%%EOF";

    fn check(declared: Option<&str>, bytes: &[u8], expected: Result<MediaType, RejectCode>) {
        let found = of(declared.map(str::as_bytes), bytes).map_err(|reject| reject.code);
        assert_eq!(found, expected, "{declared:?}");
    }

    #[test]
    fn a_declared_type_holds_where_the_bytes_do_not_contradict() {
        check(Some("application/pdf"), PDF, Ok(MediaType::Pdf));
        check(Some("Application/PDF ; version=1.7"), PDF, Ok(MediaType::Pdf));
        check(Some("text/plain"), b"words", Ok(MediaType::Plain(UTF_8)));
        check(Some("text/plain; charset=Latin1"), b"words", Ok(MediaType::Plain(WINDOWS_1252)));
        check(Some("text/html;charset=\"utf-8\""), b"<p>", Ok(MediaType::Html(UTF_8)));
        check(Some("text/plain;charset=utf-16le"), b"w\0o\0", Ok(MediaType::Plain(UTF_16LE)));
        check(Some("text/plain"), b"\xFF\xFEw\0", Ok(MediaType::Plain(UTF_8)));
    }

    #[test]
    fn a_text_that_quotes_a_pdf_header_is_text() {
        let manual = b"A file starts with %PDF-1.4 and ends with %%EOF.";
        check(Some("text/plain"), manual, Ok(MediaType::Plain(UTF_8)));
    }

    #[test]
    fn a_header_that_lies_is_a_mismatch() {
        let mismatch = Err(RejectCode::TypeMismatch);
        check(Some("text/plain"), PDF, mismatch);
        check(Some("text/html"), b" \n%PDF-1.4", mismatch);
        check(Some("text/plain"), b"PK\x03\x04rest", mismatch);
        check(Some("text/plain"), b"some\0thing", mismatch);
        check(Some("application/pdf"), b"just words", mismatch);
        check(Some("application/pdf"), b"<!doctype html><p>404", mismatch);
        check(Some("application/pdf"), b"\x89PNG\r\n\x1A\n\0\0", mismatch);
    }

    #[test]
    fn a_pdf_in_pieces_is_left_to_the_text_engine() {
        check(Some("application/pdf"), b"%PD 1 0 obj\nendobj\nstartxref", Ok(MediaType::Pdf));
        check(Some("application/pdf"), b"\x00\x01\x02\xFE", Ok(MediaType::Pdf));
        let mut late = vec![b' '; 1020];
        late.extend_from_slice(PDF);
        check(Some("application/pdf"), &late, Ok(MediaType::Pdf));
    }

    #[test]
    fn an_undeclared_type_is_a_pdf_or_nothing() {
        let unsupported = Err(RejectCode::TypeUnsupported);
        check(None, PDF, Ok(MediaType::Pdf));
        check(Some("application/octet-stream"), PDF, Ok(MediaType::Pdf));
        check(None, b"plain words", unsupported);
        check(Some("application/octet-stream"), b"plain words", unsupported);
    }

    #[test]
    fn what_is_no_type_of_ours_is_unsupported() {
        for declared in [
            "application/msword",
            "image/png",
            "text",
            "text/",
            "te xt/plain",
            "text/plain; charset=klingon",
            "text/plain; charset=iso-2022-kr",
        ] {
            check(Some(declared), b"words", Err(RejectCode::TypeUnsupported));
        }
        assert!(of(Some(b"text/\xFF"), b"words").is_err());
        assert_eq!(essence("a/b".repeat(200).as_bytes()), None);
    }

    #[test]
    fn text_in_json_is_of_a_type_of_text() {
        let check = |declared, expected| {
            assert_eq!(of_text(declared).map_err(|reject| reject.code), expected, "{declared:?}");
        };
        check(None, Ok(Form::Plain(UTF_8)));
        check(Some("text/html; charset=latin1"), Ok(Form::One(MediaType::Html(UTF_8))));
        check(Some("text/markdown"), Ok(Form::One(MediaType::Plain(UTF_8))));
        check(Some("application/fhir+json"), Ok(Form::Fhir));
        check(Some("application/pdf"), Err(RejectCode::TypeMismatch));
        check(Some("nonsense"), Err(RejectCode::TypeUnsupported));
    }
}
