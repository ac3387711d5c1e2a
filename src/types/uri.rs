//! `text -> Uri`: where a document lies in an object store or a folder, in one normal form.
//!
//! Deliberately narrower than RFC 3986: what could be read in two ways is no `Uri`. So there are no
//! `.` and `..` segments, no empty ones, no userinfo, port, query or fragment, and no encoded slash;
//! percent-encoding is taken off once, and never again. Hence comparing two of them piece by piece
//! says whether one lies below the other.
//!
//! A path may name a person, so it is [`Sensitive`] and no formatter prints a [`Uri`].

use super::Sensitive;

/// Limit: longest URI, in bytes.
const URI_BYTES_MAX: usize = 4096;
/// Limit: longest key of an object, in bytes: that of S3, Google Cloud Storage and Azure.
const KEY_BYTES_MAX: usize = 1024;
/// Limit: shortest and longest name of a bucket or container, in bytes.
const STORE_BYTES: std::ops::RangeInclusive<usize> = 3..=63;

/// The kinds of stores that a document may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Azure Blob Storage: `az://CONTAINER/KEY`; the account is the worker's own.
    Az,
    /// A folder that the worker sees: `file:///PATH`.
    File,
    /// Google Cloud Storage: `gs://BUCKET/KEY`.
    Gs,
    /// Amazon S3, or a store that speaks like it: `s3://BUCKET/KEY`.
    S3,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Az, Self::File, Self::Gs, Self::S3];

    /// Name as it stands before `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Az => "az",
            Self::File => "file",
            Self::Gs => "gs",
            Self::S3 => "s3",
        }
    }
}

/// The place of one document.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: Scheme,
    store: String,
    path: Sensitive<Vec<String>>,
}

impl Uri {
    /// Reads `scheme://store/path`.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri = parse(text)?;
        if uri.path.is_empty() {
            return Err("names no document in its store");
        }
        Ok(uri)
    }

    /// Kind of the store.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Bucket or container; empty for a file.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The path in the store: the key of the object, or a file's path from the root, without the
    /// first slash.
    pub fn key(&self) -> Sensitive<String> {
        Sensitive::new(self.path.join("/"))
    }

    /// The URI in its normal form, for publishing; [`Self::parse`] reads it back.
    pub fn written(&self) -> Sensitive<String> {
        let segments: Vec<String> = self.path.iter().map(|segment| encoded(segment)).collect();
        let (scheme, path) = (self.scheme.name(), segments.join("/"));
        Sensitive::new(format!("{scheme}://{}/{path}", self.store))
    }
}

/// What documents may lie below: a store, or a folder in it. It ends between two segments.
#[derive(Clone, PartialEq, Eq)]
pub struct Prefix(Uri);

impl Prefix {
    /// Reads `scheme://store` or `scheme://store/folder`, with or without a slash at the end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_bare = text.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
        let uri = parse(if is_bare { text } else { text.strip_suffix('/').unwrap_or(text) })?;
        if uri.scheme == Scheme::File && uri.path.is_empty() {
            return Err("names no folder; the whole file system is never allowed");
        }
        Ok(Self(uri))
    }

    /// Whether `uri` is this place or lies below it.
    pub fn holds(&self, uri: &Uri) -> bool {
        self.0.scheme == uri.scheme
            && self.0.store == uri.store
            && uri.path.starts_with(&self.0.path)
    }

    /// Whether all that `other` holds is held by this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.holds(&other.0)
    }

    /// The place itself.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

fn parse(text: &str) -> Result<Uri, &'static str> {
    if text.len() > URI_BYTES_MAX {
        return Err("is longer than 4096 bytes");
    }
    let (scheme, rest) = text.split_once("://").ok_or("is no URI: `://` is missing")?;
    let scheme = Scheme::ALL
        .into_iter()
        .find(|known| known.name().eq_ignore_ascii_case(scheme))
        .ok_or("has a scheme other than `s3`, `gs`, `az` and `file`")?;
    let (store, path) =
        rest.split_once('/').map_or((rest, None), |(store, path)| (store, Some(path)));
    check_store(scheme, store)?;
    let path = match path {
        None | Some("") => Vec::new(),
        Some(path) => path.split('/').map(segment).collect::<Result<Vec<_>, _>>()?,
    };
    if path.iter().map(|segment| segment.len() + 1).sum::<usize>() > KEY_BYTES_MAX + 1 {
        return Err("has a path of more than 1024 bytes");
    }
    Ok(Uri { scheme, store: store.to_owned(), path: Sensitive::new(path) })
}

/// Whether this may be a bucket or a container: what DNS takes as a name, and the underscore of
/// Google Cloud Storage. Upper case is none, so nothing is to be folded.
fn check_store(scheme: Scheme, store: &str) -> Result<(), &'static str> {
    if scheme == Scheme::File {
        return if store.is_empty() { Ok(()) } else { Err("names a host; write `file:///PATH`") };
    }
    let is_end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
    };
    let bytes = store.as_bytes();
    let is_fit = STORE_BYTES.contains(&bytes.len())
        && bytes.iter().all(|byte| is_plain(*byte))
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !store.contains("..");
    if is_fit {
        return Ok(());
    }
    Err(
        "has no bucket of 3 to 63 lower-case letters, digits, hyphens, dots and underscores behind \
         `://`, and nothing else",
    )
}

/// One piece of a path, its percent-encoding taken off.
fn segment(text: &str) -> Result<String, &'static str> {
    if text.contains(['?', '#']) {
        return Err("has a query or a fragment; write `?` as %3F and `#` as %23 in a name");
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or("has a `%` without two digits")?;
        let byte = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or("has a `%` without two digits")?;
        bytes.push(byte);
        rest = behind;
    }
    let segment = String::from_utf8(bytes).map_err(|_quotes| "has a name that is no UTF-8")?;
    match segment.as_str() {
        "" => Err("has an empty name in its path"),
        "." | ".." => Err("has `.` or `..` in its path"),
        name if name.contains('/') => Err("has an encoded slash"),
        name if name.chars().any(char::is_control) => Err("has a control character"),
        _ => Ok(segment),
    }
}

/// All but the unreserved characters of RFC 3986 as `%XX`.
fn encoded(segment: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let of_byte = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    segment.bytes().map(of_byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Prefix, Uri};

    fn holds(prefix: &str, uri: &str) -> bool {
        let prefix = Prefix::parse(prefix).unwrap_or_else(|why| panic!("{prefix}: {why}"));
        Uri::parse(uri).is_ok_and(|uri| prefix.holds(&uri))
    }

    #[test]
    fn a_prefix_holds_what_lies_below_it_and_ends_between_segments() {
        for (prefix, uri) in [
            ("s3://contracts", "s3://contracts/a.pdf"),
            ("s3://contracts/", "s3://contracts/2024/a.pdf"),
            ("s3://contracts/2024", "s3://contracts/2024/a.pdf"),
            ("s3://contracts/2024/", "S3://contracts/2024/a%20b.pdf"),
            ("s3://contracts/%32024", "s3://contracts/2024/x"),
            ("s3://contracts/2024/a.pdf", "s3://contracts/2024/a.pdf"),
            ("s3://contracts/a%25b", "s3://contracts/a%25b/x"),
            ("gs://a_b.c/x", "gs://a_b.c/x/ä"),
            ("file:///data/in/", "file:///data/in/a/b"),
        ] {
            assert!(holds(prefix, uri), "{prefix} {uri}");
        }
        for (prefix, uri) in [
            ("s3://contracts/2024", "s3://contracts/2024-old/a.pdf"),
            ("s3://contracts/2024", "s3://contracts/202"),
            ("s3://contracts/2024", "gs://contracts/2024/a.pdf"),
            ("s3://contracts", "s3://contracts-old/a.pdf"),
            ("s3://contracts/a/b", "s3://contracts/a"),
            ("s3://contracts/a", "s3://contracts/A/x"),
            ("file:///data/in", "file:///data/input/x"),
        ] {
            assert!(Uri::parse(uri).is_ok() && !holds(prefix, uri), "{prefix} {uri}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_uri() {
        for uri in [
            "",
            "s3:/b/k",
            "contracts/a.pdf",
            "http://contracts/a.pdf",
            "s3a://contracts/a",
            "s3://contracts",
            "s3://contracts/",
            "s3://contracts//a",
            "s3://contracts/a/",
            "s3://contracts/../secrets/a",
            "s3://contracts/a/..",
            "s3://contracts/./a",
            "s3://contracts/%2e%2e/a",
            "s3://contracts/%2E./a",
            "s3://contracts/a%2F..%2Fb",
            "s3://contracts/a%2fb",
            "s3://contracts/a%",
            "s3://contracts/a%2",
            "s3://contracts/%+1",
            "s3://contracts/%zz",
            "s3://contracts/%ff",
            "s3://contracts/a%00b",
            "s3://contracts/a\nb",
            "s3://contracts/a?versionId=1",
            "s3://contracts/a#b",
            "s3://key:word@contracts/a",
            "s3://contracts:9000/a",
            "s3://Contracts/a",
            "s3://con tracts/a",
            "s3://%63ontracts/a",
            "s3://a/b",
            "s3://-ab/c",
            "s3://a..b/c",
            "s3://contracts\\x/a",
            "s3://[::1]/a",
            "file://host/data/a",
            "file://localhost/data/a",
            "file:/data/a",
            "file:///",
        ] {
            assert!(Uri::parse(uri).is_err(), "{uri}");
        }
        let of_length = |length: usize| format!("s3://contracts/{}", "k".repeat(length));
        assert!(Uri::parse(&of_length(1025)).is_err() && Uri::parse(&of_length(1024)).is_ok());
    }

    #[test]
    fn an_encoded_percent_sign_is_taken_off_once() {
        let uri = Uri::parse("s3://contracts/%252e%252e/a").unwrap();
        assert_eq!(*uri.key(), "%2e%2e/a");
        assert_eq!(*uri.written(), "s3://contracts/%252e%252e/a");
    }

    #[test]
    fn the_whole_file_system_is_no_prefix() {
        for prefix in ["file://", "file:///", "file:///a/../b", "s3://", "s3://b*/x", "https://x/"]
        {
            assert!(Prefix::parse(prefix).is_err(), "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn a_uri_is_read_back_as_it_is_written(
            path in prop::collection::vec("[^/\\x00-\\x1f\\x7f-\\x9f]{1,12}", 1..6),
        ) {
            prop_assume!(path.iter().all(|name| name != "." && name != ".."));
            let text: Vec<String> = path.iter().map(|name| super::encoded(name)).collect();
            let uri = Uri::parse(&format!("s3://contracts/{}", text.join("/"))).unwrap();
            prop_assert_eq!(&*uri.key(), &path.join("/"));
            prop_assert!(Uri::parse(&uri.written()).unwrap() == uri);
        }

        /// Whatever is written behind an allowed folder: what is taken stays below it.
        #[test]
        fn nothing_leaves_an_allowed_folder(
            tail in prop::collection::vec(
                prop_oneof![
                    Just("..".to_owned()), Just(".".to_owned()), Just("%2e%2e".to_owned()),
                    Just("%2F".to_owned()), Just("%5c..".to_owned()), Just(String::new()),
                    Just("a".to_owned()), Just("?x".to_owned()), "\\PC{0,4}",
                ],
                0..6,
            ),
        ) {
            let text = format!("s3://contracts/in/{}", tail.join("/"));
            if let Ok(uri) = Uri::parse(&text) {
                prop_assert!(Prefix::parse("s3://contracts/in").unwrap().holds(&uri));
                let key = uri.key();
                prop_assert!(key.starts_with("in/"));
                prop_assert!(key.split('/').all(|name| !matches!(name, "" | "." | "..")));
            }
        }

        #[test]
        fn any_text_gets_an_answer(text in ".{0,80}") {
            // A place that holds a document is a place.
            prop_assert!(Uri::parse(&text).is_err() || Prefix::parse(&text).is_ok());
        }
    }
}
