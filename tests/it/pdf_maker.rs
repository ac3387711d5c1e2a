//! Objects -> PDF files, harmless or made to harm, so that no such file lies in the repository.

use std::fmt::Write;

/// Numbered objects that become a file with a right cross-reference table.
pub struct Pdf {
    objects: Vec<Vec<u8>>,
}

impl Pdf {
    /// A file whose objects are these, numbered from 1; the first is the catalog.
    pub fn new(objects: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self { objects: objects.into_iter().map(Into::into).collect() }
    }

    /// One page for each of these content streams, in one font.
    pub fn of_pages(contents: &[Stream]) -> Self {
        let page = |index: usize| 4 + 2 * index;
        let kids: String = (0..contents.len()).fold(String::new(), |mut kids, index| {
            write!(kids, "{} 0 R ", page(index)).unwrap();
            kids
        });
        let mut objects = vec![
            b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
            format!("<</Type/Pages/Count {}/Kids[{kids}]>>", contents.len()).into_bytes(),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_vec(),
        ];
        for (index, content) in contents.iter().enumerate() {
            objects.push(
                format!(
                    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {} 0 R\
                     /Resources<</Font<</F1 3 0 R>>>>>>",
                    page(index) + 1
                )
                .into_bytes(),
            );
            objects.push(content.object());
        }
        Self { objects }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"%PDF-1.7\n".to_vec();
        let mut table = String::new();
        for (index, object) in self.objects.iter().enumerate() {
            writeln!(table, "{:010} 00000 n ", file.len()).unwrap();
            file.extend(format!("{} 0 obj\n", index + 1).into_bytes());
            file.extend(object);
            file.extend(b"\nendobj\n");
        }
        let (start, size) = (file.len(), self.objects.len() + 1);
        let end = format!(
            "xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<</Size {size}/Root 1 0 R>>\n\
             startxref\n{start}\n%%EOF\n"
        );
        file.extend(end.into_bytes());
        file
    }
}

/// A content stream and its filters.
pub struct Stream {
    filters: &'static str,
    bytes: Vec<u8>,
}

impl Stream {
    /// One line of text a call, at the top of the page.
    pub fn line(text: &str) -> Self {
        Self { filters: "", bytes: format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET").into_bytes() }
    }

    /// These bytes, whatever they are.
    pub fn raw(bytes: &[u8]) -> Self {
        Self { filters: "", bytes: bytes.to_vec() }
    }

    /// Lines of text at these places: from the left, from the bottom.
    pub fn lines(lines: &[(u16, u16, &str)]) -> Self {
        let content = lines.iter().fold(String::new(), |mut content, (left, bottom, words)| {
            writeln!(content, "BT /F1 12 Tf {left} {bottom} Td ({words}) Tj ET").unwrap();
            content
        });
        Self { filters: "", bytes: content.into_bytes() }
    }

    /// `pattern` over and over, `times` times, deflated twice: some 25,000 times smaller.
    pub fn bomb(pattern: &[u8], times: usize) -> Self {
        let once = Deflated::repeat(b"", pattern, times);
        let twice = Deflated::repeat(&once.head, &once.period, once.periods);
        let bytes = [twice.head, twice.period.repeat(twice.periods)].concat();
        Self { filters: "/Filter[/FlateDecode/FlateDecode]", bytes }
    }

    fn object(&self) -> Vec<u8> {
        let head = format!("<</Length {}{}>>\nstream\n", self.bytes.len(), self.filters);
        [head.as_bytes(), &self.bytes, b"\nendstream"].concat()
    }
}

/// A deflate stream (RFC 1950, RFC 1951) without its end: some bytes, then a period many times.
struct Deflated {
    head: Vec<u8>,
    period: Vec<u8>,
    periods: usize,
}

impl Deflated {
    /// `start`, then `pattern` `times` times, in one block of fixed codes. Eight matches of the
    /// longest length are a whole number of bytes, so that the stream repeats itself bytewise.
    fn repeat(start: &[u8], pattern: &[u8], times: usize) -> Self {
        let mut bits = Bits::default();
        bits.bytes.extend([0x78, 0x9C]);
        bits.push(0b011, 3);
        start.iter().chain(pattern).for_each(|byte| bits.literal(*byte));
        let head_bytes = bits.bytes.len();
        let (code, extra_bits, extra) = distance_code(pattern.len());
        (0..16).for_each(|_| bits.longest_match(code, extra_bits, extra));
        let period_bytes = usize::try_from(8 + 5 + extra_bits).unwrap();
        let period = bits.bytes[head_bytes..head_bytes + period_bytes].to_vec();
        bits.bytes.truncate(head_bytes);
        let periods = times * pattern.len() / (8 * 258) + 1;
        Self { head: bits.bytes, period, periods }
    }
}

/// Code, number of extra bits and their value for a distance (RFC 1951, section 3.2.5).
fn distance_code(distance: usize) -> (u32, u32, u32) {
    let mut base = 1;
    for code in 0..30_u32 {
        let extra_bits = (code / 2).saturating_sub(1);
        let next = base + (1 << extra_bits);
        if distance < next {
            return (code, extra_bits, u32::try_from(distance - base).unwrap());
        }
        base = next;
    }
    panic!("no such distance");
}

/// Bits, packed from the lowest of each byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 where it is full.
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for index in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = u8::try_from(value >> index & 1).unwrap();
            *self.bytes.last_mut().unwrap() |= bit << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// A Huffman code, which goes from its highest bit.
    fn code(&mut self, value: u32, count: u32) {
        self.push(value.reverse_bits() >> (32 - count), count);
    }

    fn literal(&mut self, byte: u8) {
        let byte = u32::from(byte);
        if byte < 144 { self.code(0x30 + byte, 8) } else { self.code(0x190 + byte - 144, 9) }
    }

    fn longest_match(&mut self, code: u32, extra_bits: u32, extra: u32) {
        // Length 258 is symbol 285 without extra bits.
        self.code(0xC0 + 285 - 280, 8);
        self.code(code, 5);
        self.push(extra, extra_bits);
    }
}
