//! A document, its text, and places in that text.

use std::ops::Range;
use std::sync::Arc;

use super::{Digest, Sensitive, Uri};

/// What a document's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/pdf`
    Pdf,
    /// `text/plain`, with the label of its character set (WHATWG Encoding); UTF-8 by default.
    Plain(&'static encoding_rs::Encoding),
    /// `text/html`, likewise.
    Html(&'static encoding_rs::Encoding),
}

/// One input document: a part of a delivery.
#[derive(Clone)]
pub struct Document {
    /// Identifier given by the sender, or made from the position; at most 1024 bytes.
    pub id: String,
    /// Number of this part inside its delivery, from 0.
    pub part: u32,
    /// What the bytes are.
    pub media_type: MediaType,
    /// The document itself.
    pub bytes: Sensitive<Vec<u8>>,
    /// Digest of `bytes`.
    pub digest: Digest,
    /// Byte range of this part in the delivery's body, where the body was split into parts.
    pub range: Option<Span>,
    /// Who the document is about, as its envelope says; what redaction looks for in the text. Parts
    /// of one delivery that are about the same people share them.
    pub identifiers: Arc<[Identifier]>,
    /// Where the bytes were fetched from; `None` where the message held them.
    pub fetched_from: Option<Uri>,
}

/// One part of a delivery, for those who tell what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number inside its delivery, from 0.
    pub number: u32,
    /// What of the delivery's body it is.
    pub extent: Extent,
}

impl Part {
    /// The only part of a delivery.
    pub const WHOLE: Self = Self { number: 0, extent: Extent::Whole };
}

/// What of a delivery's body a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// These bytes.
    Bytes(Span),
    /// Something inside it that is no run of its bytes, such as an attachment in base64.
    Inside,
}

/// An identifier that came beside a document: a patient's name, number or date of birth.
#[derive(Clone)]
pub struct Identifier {
    /// What it is, such as `name` or `record_number`.
    pub kind: &'static str,
    /// The identifier as sent; held once for all documents of a delivery that have it.
    pub value: Sensitive<Arc<str>>,
}

/// A byte range into a [`Text`], end exclusive, both ends on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span holds no byte.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// As a range, for slicing.
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// One page of a [`Text`]: its byte range. Pages are numbered from 1 in their order.
pub type Page = Span;

/// Readable text of one document, with its pages.
///
/// Invariant: pages are in order, touch without gap, and cover the text; a text without pages of
/// its own (plain, HTML) has one.
pub struct Text {
    body: Sensitive<String>,
    pages: Vec<Page>,
    digest: Digest,
    /// Count of Unicode scalars before each 256th byte, so that a byte offset turns into a scalar
    /// offset by counting at most 256 bytes.
    scalars_before: Vec<usize>,
}

/// Distance in bytes between two entries of the scalar index.
const SCALAR_STRIDE_BYTES: usize = 256;

impl Text {
    /// Joins `pages` into one text; the page break belongs to the page it ends.
    pub fn from_pages(pages: impl IntoIterator<Item = String>) -> Self {
        let mut body = String::new();
        let mut spans = Vec::new();
        for page in pages {
            let start = body.len();
            body.push_str(&page);
            spans.push(Span { start, end: body.len() });
        }
        if spans.is_empty() {
            spans.push(Span { start: 0, end: 0 });
        }
        let mut scalars_before = Vec::with_capacity(body.len() / SCALAR_STRIDE_BYTES + 1);
        let mut scalars = 0;
        for (index, byte) in body.bytes().enumerate() {
            if index % SCALAR_STRIDE_BYTES == 0 {
                scalars_before.push(scalars);
            }
            scalars += usize::from(is_scalar_start(byte));
        }
        let digest = Digest::of(body.as_bytes());
        Self { body: Sensitive::new(body), pages: spans, digest, scalars_before }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.body
    }

    /// Digest of the text in UTF-8.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Pages in order.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// The text of `span`; `None` where it leaves the text or splits a character.
    pub fn slice(&self, span: Span) -> Option<&str> {
        self.body.get(span.range())
    }

    /// The number, from 1, of the page that holds byte `offset`; offsets past the end belong to
    /// the last page.
    pub fn page_of(&self, offset: usize) -> u32 {
        let page = self.pages.partition_point(|page| page.end <= offset).min(self.pages.len() - 1);
        u32::try_from(page + 1).unwrap_or(u32::MAX)
    }

    /// Unicode scalars before byte `offset`, which must be a character boundary.
    pub fn scalars_before(&self, offset: usize) -> usize {
        let stride = offset / SCALAR_STRIDE_BYTES;
        let (known, from) = match self.scalars_before.get(stride) {
            Some(count) => (*count, stride * SCALAR_STRIDE_BYTES),
            None => (0, 0),
        };
        let rest = self.body.as_bytes().get(from..offset.min(self.body.len())).unwrap_or_default();
        known + rest.iter().filter(|byte| is_scalar_start(**byte)).count()
    }
}

/// Whether `byte` starts a character in UTF-8 (RFC 3629): anything but `10xxxxxx`.
const fn is_scalar_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// Where one token of the tokenizer stands in the text.
pub type TokenSpan = Span;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Span, Text};

    #[test]
    fn a_page_break_belongs_to_the_page_it_ends() {
        let text = Text::from_pages(["one\n".to_owned(), "two".to_owned()]);
        assert_eq!(text.as_str(), "one\ntwo");
        assert_eq!(
            [text.page_of(0), text.page_of(3), text.page_of(4), text.page_of(99)],
            [1, 1, 2, 2]
        );
    }

    #[test]
    fn a_span_that_splits_a_character_has_no_text() {
        let text = Text::from_pages(["é".to_owned()]);
        assert!(text.slice(Span { start: 0, end: 1 }).is_none());
        assert_eq!(text.slice(Span { start: 0, end: 2 }), Some("é"));
    }

    proptest! {
        #[test]
        fn scalar_offsets_agree_with_counting(body in "\\PC{0,900}") {
            let text = Text::from_pages([body.clone()]);
            for (scalars, (offset, _)) in body.char_indices().enumerate() {
                prop_assert_eq!(text.scalars_before(offset), scalars);
            }
            prop_assert_eq!(text.scalars_before(body.len()), body.chars().count());
        }
    }
}
