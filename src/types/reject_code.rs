//! The closed list of refusals. The doc comment of a code is the operator's page.

use std::fmt;

/// Declares the codes once: variant, wire name and page stand side by side, so that
/// `sluice explain CODE` cannot drift from the code.
macro_rules! reject_codes {
    ($($(#[doc = $page:literal])+ $variant:ident = $name:literal;)+) => {
        /// Why a part was refused. Each page says what happened, the likely cause, what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RejectCode {
            $($(#[doc = $page])+ $variant,)+
        }

        impl RejectCode {
            /// Every code, in alphabetical order of the wire name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The operator's page.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$variant => concat!($($page, "\n"),+),)+ }
            }
        }
    };
}

reject_codes! {
    /// An attachment stands behind a link and not in the message: `attachment.url` of a FHIR
    /// `DocumentReference`, or an OBX of type RP in an HL7 message.
    /// Likely cause: the sender keeps documents in a store of its own.
    /// What to do: send the document itself (`attachment.data`, or an OBX of type ED), or a claim: an
    /// envelope with `uri`, `size_bytes` and `sha256`. An attachment has no SHA-256 to hold its
    /// bytes against, so sluice does not follow its link.
    AttachmentRemote = "ATTACHMENT_REMOTE";
    /// The store refuses to give out this document, and gives out others that the pipeline allows.
    /// Likely cause: the document has rights of its own, was archived, or is not there and the
    /// worker may not list its folder, which S3 answers alike.
    /// What to do: compare the document's rights with those of its neighbours, then publish the
    /// message again. Where a store refuses everything, nothing is rejected: the worker waits.
    ClaimDenied = "CLAIM_DENIED";
    /// The message names a document outside of what `input.claims.allow` lists, or names it in a way
    /// that can be read as several places. No request was made.
    /// Likely cause: a sender that uses another bucket or folder, or a pipeline that takes no claims.
    /// What to do: put the document where the pipeline may read, or add the place to
    /// `input.claims.allow`; `..`, queries and ports are never taken.
    ClaimForbidden = "CLAIM_FORBIDDEN";
    /// The document that was fetched is not the one that the message claims: its size or its SHA-256
    /// differs.
    /// Likely cause: it was written over after the message was sent, or its upload broke off.
    /// What to do: publish the message again with size and digest of what lies there now; keep
    /// documents under names that are never used twice.
    ClaimMismatch = "CLAIM_MISMATCH";
    /// No document lies where the message says, also after `input.claims.settle_timeout_ms`.
    /// Likely cause: it was deleted, or the message was sent before the upload.
    /// What to do: upload it and publish the message again; keep documents at least as long as the
    /// input topic keeps messages.
    ClaimNotFound = "CLAIM_NOT_FOUND";
    /// The message has a body, but the document in it has no bytes.
    /// Likely cause: the sender published before the upload was done.
    /// What to do: publish the document again; a null body is how a deletion is said.
    DocumentEmpty = "DOCUMENT_EMPTY";
    /// The sender has taken the document back: a FHIR `DocumentReference` whose `status` or
    /// `docStatus` is `entered-in-error`, an HL7 document that is deleted (TXA-19 `CA`), or a report
    /// of which every result is deleted or wrong (OBX-11 `D`, `W`). Nothing of it was published.
    /// Likely cause: a note that was written under another patient, or signed by mistake.
    /// What to do: take back what was published of the document before; its outcomes have the same
    /// key or document id.
    DocumentRetracted = "DOCUMENT_RETRACTED";
    /// The document is larger than `input.document_bytes_max`.
    /// Likely cause: a scan at full resolution, or several documents in one file.
    /// What to do: split the document, or raise the limit and the memory of the worker with it.
    DocumentTooLarge = "DOCUMENT_TOO_LARGE";
    /// The bytes are not valid in the character set that the content type names (UTF-8 where it
    /// names none).
    /// Likely cause: a file in Windows-1252 or Latin-1 sent as plain `text/plain`.
    /// What to do: send `content-type: text/plain; charset=windows-1252`, or convert to UTF-8.
    EncodingInvalid = "ENCODING_INVALID";
    /// One entry of a body that is split into entries is longer than `input.entry_bytes_max`. The
    /// header `sluice-range` has its place in the body; the other entries went on.
    /// Likely cause: a dump in the middle of a log, or a stack trace without end.
    /// What to do: look at the original; raise the limit if such entries are honest.
    EntryTooLarge = "ENTRY_TOO_LARGE";
    /// The envelope around the document cannot be read: broken JSON or Avro, a missing key, or
    /// base64 that is none.
    /// Likely cause: a sender with another version of the envelope.
    /// What to do: compare with `schemas/document.avsc`; the header `sluice-detail` has the place.
    EnvelopeInvalid = "ENVELOPE_INVALID";
    /// The body is declared as FHIR, but is no R4 `DocumentReference` or `Bundle` of them that can
    /// be read: broken JSON, another resource, no content, base64 that is none, or more identifiers
    /// than can be redacted, or longer ones.
    /// Likely cause: a sender that publishes every resource to this topic.
    /// What to do: the header `sluice-detail` has kind and place; send `DocumentReference` with
    /// `content.attachment.data`.
    FhirInvalid = "FHIR_INVALID";
    /// The body is declared as HL7 v2, but is no message that can be read: no MSH, separators that
    /// are none, a character set that is not known, several messages in one, a type other than
    /// `MDM` with content and `ORU^R01`, an attachment whose encoding is broken, or more identifiers
    /// than can be redacted, or longer ones.
    /// Likely cause: a feed of all message types, or line ends that were changed on the way.
    /// What to do: the header `sluice-detail` has kind and place; route other types elsewhere.
    Hl7Invalid = "HL7_INVALID";
    /// The model could not be run on this document, again after a blank one of the same length had
    /// gone through; while that fails too, the flow waits and refuses nothing.
    /// Likely cause: memory at its limit, or a model bundle that does not fit its tokenizer.
    /// What to do: look at the worker's log for `infer`; publish the document again once mended.
    InferFailed = "INFER_FAILED";
    /// A stage met a bug in sluice while it worked on this document.
    /// Likely cause: a bug. The worker went on with the next document.
    /// What to do: report it with the place from the log and, if it may leave the house, the
    /// document.
    InternalPanic = "INTERNAL_PANIC";
    /// The delivery holds more parts than `input.parts_max`.
    /// Likely cause: a whole day's log in one message.
    /// What to do: send smaller messages, or raise the limit.
    PartsTooMany = "PARTS_TOO_MANY";
    /// The PDF is encrypted and opens only with a password.
    /// Likely cause: a document protected by its author.
    /// What to do: publish an unprotected copy.
    PdfEncrypted = "PDF_ENCRYPTED";
    /// The bytes are no PDF that the text engine can open.
    /// Likely cause: a truncated upload, or another format under a PDF's name.
    /// What to do: open the original in a viewer; publish it again if it is whole.
    PdfInvalid = "PDF_INVALID";
    /// The PDF has pages but (almost) no text layer.
    /// Likely cause: a scan without OCR.
    /// What to do: run OCR on the document and publish the result.
    PdfNoText = "PDF_NO_TEXT";
    /// The PDF has more pages than `text.pages_max`.
    /// Likely cause: a bundle of documents, or a page tree made to harm.
    /// What to do: split the document, or raise the limit.
    PdfPagesTooMany = "PDF_PAGES_TOO_MANY";
    /// The record is larger than `output.message_bytes_max`, or the outcomes of the parts of one delivery
    /// are larger together than `limits.in_flight_outcome_bytes_max`.
    /// Likely cause: a very long document with very many findings, or very many parts in one message.
    /// What to do: raise the limit that the detail names, and with `output.message_bytes_max` also
    /// `max.message.bytes` of the topics; or send fewer parts in one message. Then publish again.
    RecordTooLarge = "RECORD_TOO_LARGE";
    /// The record cannot be written under the output schema.
    /// Likely cause: a number out of the range of its column's type, or a bug. The worker went on
    /// with the next document; if every document ends so, the schema and the worker do not fit.
    /// What to do: the header `sluice-detail` names the column and its type; widen it (`int` to
    /// `long`), register the schema, and publish the document again; report it if it was wide
    /// enough.
    RecordUnfit = "RECORD_UNFIT";
    /// A rule of `pipeline.yaml` with `otherwise: reject` does not hold.
    /// Likely cause: a document of another kind on this topic.
    /// What to do: the header `sluice-detail` names the rule and the field; route such documents
    /// elsewhere, or let the rule send them to review.
    RuleBroken = "RULE_BROKEN";
    /// The body is in Confluent wire format, but the registry does not know its schema id, or the
    /// schema is not one of a document envelope.
    /// Likely cause: a sender that registered with another registry.
    /// What to do: register `schemas/document.avsc` where the worker looks schemas up.
    SchemaUnknown = "SCHEMA_UNKNOWN";
    /// The text engine died on this document, and a fresh one was fit to work right after.
    /// Likely cause: a broken or hostile file.
    /// What to do: treat the file with care; the worker itself was not harmed.
    TextCrashed = "TEXT_CRASHED";
    /// The document has no readable text at all.
    /// Likely cause: an empty page, or white space only.
    /// What to do: look at the original.
    TextEmpty = "TEXT_EMPTY";
    /// The text engine needed more memory than `text.memory_bytes_max`.
    /// Likely cause: a PDF bomb, or pages of very many objects.
    /// What to do: look at the original in a sandbox; raise the limit if the file is honest.
    TextMemory = "TEXT_MEMORY";
    /// The text engine made no progress within `text.progress_timeout_ms`, or did not end within
    /// `text.total_timeout_ms`.
    /// Likely cause: an endless loop on a broken file, or a very large one.
    /// What to do: look at the original in a sandbox; raise the limit if the file is honest.
    TextTimeout = "TEXT_TIMEOUT";
    /// The text is longer than `text.text_bytes_max`, or has more tokens than `text.tokens_max`.
    /// Likely cause: a document that is a database dump, or a compression bomb.
    /// What to do: split the document, or raise the limit.
    TextTooLarge = "TEXT_TOO_LARGE";
    /// The content type and the bytes contradict each other.
    /// Likely cause: a sender that labels everything alike.
    /// What to do: label the document by what it is.
    TypeMismatch = "TYPE_MISMATCH";
    /// The content type is missing, cannot be read, or is not one that the pipeline takes:
    /// `application/pdf`, `text/plain`, `text/html`, `text/markdown`, FHIR and HL7 v2, and with
    /// `input.split: log` JSON lines.
    /// Likely cause: a Word document or an image.
    /// What to do: convert to PDF or text first.
    TypeUnsupported = "TYPE_UNSUPPORTED";
    /// A value was about to be published that does not stand in the text.
    /// Likely cause: a bug. Nothing ungrounded was published.
    /// What to do: report it.
    Ungrounded = "UNGROUNDED";
}

/// Whose fault a refusal most likely is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The document's: the next one may well go through.
    Document,
    /// In doubt: one such document is bad, but many in a row mean the worker, its machine, its
    /// configuration or a server.
    Doubtful,
}

impl RejectCode {
    /// Whose fault it most likely is.
    pub const fn blame(self) -> Blame {
        match self {
            Self::ClaimDenied
            | Self::ClaimMismatch
            | Self::ClaimNotFound
            | Self::InferFailed
            | Self::InternalPanic
            | Self::RecordUnfit
            | Self::SchemaUnknown
            | Self::TextCrashed
            | Self::TextMemory
            | Self::TextTimeout
            | Self::Ungrounded => Blame::Doubtful,
            Self::AttachmentRemote
            | Self::ClaimForbidden
            | Self::DocumentEmpty
            | Self::DocumentRetracted
            | Self::DocumentTooLarge
            | Self::EncodingInvalid
            | Self::EntryTooLarge
            | Self::EnvelopeInvalid
            | Self::FhirInvalid
            | Self::Hl7Invalid
            | Self::PartsTooMany
            | Self::PdfEncrypted
            | Self::PdfInvalid
            | Self::PdfNoText
            | Self::PdfPagesTooMany
            | Self::RecordTooLarge
            | Self::RuleBroken
            | Self::TextEmpty
            | Self::TextTooLarge
            | Self::TypeMismatch
            | Self::TypeUnsupported => Blame::Document,
        }
    }

    /// The code of that wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame, RejectCode};

    #[test]
    fn codes_stand_in_alphabetical_order_without_a_double() {
        let names: Vec<_> = RejectCode::ALL.iter().map(|code| code.name()).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }

    #[test]
    fn every_page_has_its_three_parts() {
        for code in RejectCode::ALL {
            let page = code.page();
            assert!(page.contains("Likely cause: "), "{code}");
            assert!(page.contains("What to do: "), "{code}");
            assert_eq!(RejectCode::from_name(code.name()), Some(*code));
        }
    }

    #[test]
    fn the_operators_document_has_every_code_under_its_kind() {
        let document = include_str!("../../OPERATING.md");
        let (_, codes) = document.split_once("### Codes").unwrap();
        let (codes, _) = codes.split_once("### Faults").unwrap();
        let (of_document, in_doubt) = codes.split_once("In doubt: ").unwrap();
        for code in RejectCode::ALL {
            let name = format!("`{code}`");
            let expected = (code.blame() == Blame::Document, code.blame() == Blame::Doubtful);
            assert_eq!((of_document.contains(&name), in_doubt.contains(&name)), expected, "{code}");
        }
    }
}
