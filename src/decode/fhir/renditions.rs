//! `contents of one DocumentReference -> documents`: one that is given in several formats is one
//! document, read in the format that keeps its text best.
//!
//! FHIR calls the contents of a `DocumentReference` the same document in different formats, and
//! senders put other things beside it all the same: a second report, a picture. So two contents are
//! one document where both can be read, their formats differ, and neither their titles nor their
//! languages do, as far as given; bytes that stand twice are one document too. Of its formats plain
//! text is read before Markdown, HTML and PDF: the first three hold the words as they were written,
//! a PDF only their places on a page. `format` is not looked at: its codes name profiles.
//!
//! Deliberately leaves out nothing that is not read elsewhere: a content that is refused (behind a
//! link, of a type that is not taken, broken) stays a part, with its reject.

use super::super::Content;
use super::model::Attachment;
use crate::types::{Digest, MediaType, Reject};

/// A format, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    Plain,
    Markdown,
    Html,
    Pdf,
}

/// One document so far.
struct Document<'a> {
    content: Result<Content<'static>, Reject>,
    title: Option<&'a str>,
    language: Option<&'a str>,
    /// In which it was met, with the digests of their bytes; empty where it is refused.
    formats: Vec<(Format, Digest)>,
}

/// The documents of a `DocumentReference`, in the order in which they were met.
#[derive(Default)]
pub(super) struct Renditions<'a> {
    documents: Vec<Document<'a>>,
}

impl<'a> Renditions<'a> {
    /// Adds what `attachment` holds.
    pub(super) fn add(
        &mut self,
        attachment: &'a Attachment<'_>,
        content: Result<Content<'static>, Reject>,
    ) {
        let (title, language) = (attachment.title.get(), attachment.language.get());
        let mark = content.as_ref().ok().map(|content| {
            let is_markdown = attachment.content_type.get().is_some_and(is_markdown);
            (format(content.media_type, is_markdown), Digest::of(&content.bytes))
        });
        let same = mark.and_then(|mark| {
            let mut known = self.documents.iter_mut();
            known.find(|one| one.is_same(title, language, mark))
        });
        let Some((document, mark)) = same.zip(mark) else {
            let formats = mark.into_iter().collect();
            self.documents.push(Document { content, title, language, formats });
            return;
        };
        if document.formats.iter().all(|(known, _)| mark.0 < *known) {
            document.content = content;
        }
        document.title = document.title.or(title);
        document.language = document.language.or(language);
        document.formats.push(mark);
    }

    /// Each document in its best format.
    pub(super) fn into_documents(self) -> Vec<Result<Content<'static>, Reject>> {
        self.documents.into_iter().map(|document| document.content).collect()
    }
}

impl Document<'_> {
    /// Whether bytes of that format and digest are this document again.
    fn is_same(
        &self,
        title: Option<&str>,
        language: Option<&str>,
        (format, digest): (Format, Digest),
    ) -> bool {
        let agree = |own: Option<&str>, other: Option<&str>| match (own, other) {
            (Some(own), Some(other)) => own.eq_ignore_ascii_case(other),
            (None, _) | (_, None) => true,
        };
        !self.formats.is_empty()
            && agree(self.title, title)
            && agree(self.language, language)
            && self.formats.iter().all(|(known, bytes)| *known != format || *bytes == digest)
    }
}

const fn format(media_type: MediaType, is_markdown: bool) -> Format {
    match media_type {
        MediaType::Plain(_) if is_markdown => Format::Markdown,
        MediaType::Plain(_) => Format::Plain,
        MediaType::Html(_) => Format::Html,
        MediaType::Pdf => Format::Pdf,
    }
}

fn is_markdown(declared: &str) -> bool {
    declared.get(..13).is_some_and(|head| head.eq_ignore_ascii_case("text/markdown"))
}
