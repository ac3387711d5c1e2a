//! `bytes -> String`: decodes a declared character set, strictly.
//!
//! A byte order mark outranks the declaration, as in the WHATWG Encoding Standard. Line ends, NUL
//! and other control characters stay as they are: spans refer to this text. Deliberately guesses
//! no character set and replaces no malformed byte.

use encoding_rs::{DecoderResult, Encoding};

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The offset of the first byte of the first sequence that is not valid.
    Malformed(usize),
    /// More UTF-8 bytes than allowed.
    TooLarge,
}

/// Bytes of text that a decoder writes beyond those that count towards a limit: the longest
/// character, which it wants room for before it starts one.
const SLACK_BYTES: usize = 4;

/// The text of `bytes` in `charset`, at most `text_bytes_max` UTF-8 bytes long.
pub(super) fn decode(
    bytes: &[u8],
    charset: &'static Encoding,
    text_bytes_max: usize,
) -> Result<String, Refusal> {
    let mut decoder = charset.new_decoder();
    // Room for what ASCII needs; it doubles up to the limit where other characters need more.
    let limit = text_bytes_max.saturating_add(SLACK_BYTES);
    let mut text = String::with_capacity(bytes.len().saturating_add(SLACK_BYTES).min(limit));
    let mut read = 0;
    loop {
        let rest = bytes.get(read..).unwrap_or_default();
        let (result, taken) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        read += taken;
        match result {
            DecoderResult::InputEmpty | DecoderResult::OutputFull
                if text.len() > text_bytes_max =>
            {
                return Err(Refusal::TooLarge);
            }
            DecoderResult::InputEmpty => return Ok(text),
            DecoderResult::OutputFull => {
                let more = text.capacity().max(64).min(limit.saturating_sub(text.len()).max(64));
                text.reserve(more);
            }
            DecoderResult::Malformed(bad, after) => {
                let back = usize::from(bad) + usize::from(after);
                return Err(Refusal::Malformed(read.saturating_sub(back)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, UTF_16LE, WINDOWS_1252};
    use proptest::prelude::*;

    use super::{Refusal, decode};

    fn check(bytes: &[u8], charset: &'static Encoding, expected: Result<&str, Refusal>) {
        let got = decode(bytes, charset, 1000);
        assert_eq!(got.as_deref().map_err(|refusal| *refusal), expected);
    }

    #[test]
    fn each_character_set_is_read_as_declared() {
        check(b"plain", UTF_8, Ok("plain"));
        check("naïve €".as_bytes(), UTF_8, Ok("naïve €"));
        check(b"na\xEFve \x80", WINDOWS_1252, Ok("naïve €"));
        check(b"\x83\x65\x83\x58\x83\x67", SHIFT_JIS, Ok("テスト"));
        check(b"h\0i\0", UTF_16LE, Ok("hi"));
        check(b"", UTF_8, Ok(""));
    }

    #[test]
    fn a_byte_order_mark_outranks_the_declaration_and_is_no_text() {
        check(b"\xEF\xBB\xBFna\xC3\xAFve", WINDOWS_1252, Ok("naïve"));
        check(b"\xFF\xFEh\0i\0", UTF_8, Ok("hi"));
    }

    #[test]
    fn line_ends_and_control_characters_stay() {
        check(b"a\r\nb\0c\x07\r", UTF_8, Ok("a\r\nb\0c\x07\r"));
    }

    #[test]
    fn the_first_malformed_byte_is_named() {
        check(b"ab\xFFcd", UTF_8, Err(Refusal::Malformed(2)));
        check(b"ab\xE2\x82", UTF_8, Err(Refusal::Malformed(2)));
        check(b"ab\xE2\x82cd", UTF_8, Err(Refusal::Malformed(2)));
        check(b"h\0\x00\xD8x\0", UTF_16LE, Err(Refusal::Malformed(2)));
    }

    #[test]
    fn the_limit_counts_utf8_bytes_and_is_inclusive() {
        for (bytes, charset) in
            [("é".repeat(50).into_bytes(), UTF_8), (vec![0xE9; 50], WINDOWS_1252)]
        {
            assert_eq!(decode(&bytes, charset, 99), Err(Refusal::TooLarge));
            assert_eq!(decode(&bytes, charset, 100), Ok("é".repeat(50)));
        }
    }

    #[test]
    fn a_text_far_above_the_limit_is_given_up_early() {
        let bytes = vec![0xE9; 50 << 20];
        assert_eq!(decode(&bytes, WINDOWS_1252, 1000), Err(Refusal::TooLarge));
    }

    proptest! {
        #[test]
        fn utf8_comes_through_untouched(text in "[^\u{FEFF}]{0,300}") {
            prop_assert_eq!(decode(text.as_bytes(), UTF_8, 4096), Ok(text));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for charset in [UTF_8, UTF_16LE, SHIFT_JIS, WINDOWS_1252] {
                drop(decode(&bytes, charset, 100));
            }
        }
    }
}
