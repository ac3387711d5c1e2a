//! Lines of a PDF page and where they stand -> the page with a blank line before each paragraph.
//!
//! A PDF has no paragraphs, only places. A paragraph begins where the gap to the line before is
//! wider than the usual one of the page, or where the text goes on in another place, and not where
//! the line before plainly goes on. Whitespace is all that is added: no token changes, only where
//! sentences may end. Deliberately moves no line and drops none, page numbers and footers included.

use std::ops::Range;

/// A gap this much wider than the page's usual one begins a paragraph.
const WIDER: f32 = 1.35;

/// Gaps within this ratio count as one and the same.
const ALIKE: f32 = 1.15;

/// The usual gap is the narrowest that at least one in so many of the page's gaps is like.
const USUAL_SHARE: usize = 5;

/// A gap of so many line heights begins a paragraph after a short line, however usual it is: that
/// tells a list or a table of contents from text with double spacing.
const WIDE_HEIGHTS: f32 = 1.8;

/// A line is short if it leaves more than this part of the page's text width free.
const SHORT_ROOM: f32 = 0.2;

/// Baselines closer than this part of a line height belong to one line: super- and subscripts.
const SAME_LINE: f32 = 0.7;

/// A baseline this part of a line height further up is in another column or cell.
const BACK: f32 = 0.5;

/// Characters at the end of a line that tell whether it goes on.
const TAIL_CHARS: usize = 16;

/// What may stand after the mark that ends a sentence.
const CLOSERS: [char; 8] = ['"', '\'', ')', ']', '}', '\u{201D}', '\u{2019}', '\u{BB}'];

/// A character's place on its page, in points: its origin on the baseline, and its box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) left: f32,
    pub(super) bottom: f32,
    pub(super) right: f32,
    pub(super) top: f32,
}

/// A line of a page, as its engine reads it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its code units, the line end included.
    pub(super) units: Range<usize>,
    /// Its first and last visible characters; `None` where it has none or their places are unknown.
    pub(super) ends: Option<[Glyph; 2]>,
}

/// Paragraphs of one document, page by page.
#[derive(Default)]
pub(super) struct Paragraphs {
    /// End of the last visible line, also of a page before.
    tail: String,
}

impl Paragraphs {
    /// The code units of a page, with a line feed before each line that begins a paragraph.
    pub(super) fn page(&mut self, units: &[u32], lines: &[Line]) -> Vec<u32> {
        let page = Page::new(lines);
        let mut before: Option<Row> = None;
        let mut spaced = Vec::with_capacity(units.len());
        for line in lines {
            let words = units.get(line.units.clone()).unwrap_or_default();
            if let Some(ends) = &line.ends {
                let row = page.axes.row(ends);
                if self.is_begun(&page, before.as_ref(), &row, words) {
                    spaced.push(u32::from('\n'));
                }
                before = Some(row);
                self.tail = tail(words);
            }
            spaced.extend_from_slice(words);
        }
        spaced
    }

    /// Whether a paragraph begins with `row`; `before` is the one before it on its page.
    fn is_begun(&self, page: &Page, before: Option<&Row>, row: &Row, words: &[u32]) -> bool {
        let elsewhere = || !self.tail.is_empty() && !self.is_amid_sentence(words);
        let is_apart = before.map_or_else(elsewhere, |before| {
            let gap = row.gap(before);
            page.usual_gap.is_some_and(|usual| gap > WIDER * usual)
                || gap > WIDE_HEIGHTS && page.is_short(before)
                || gap < -BACK && elsewhere()
        });
        is_apart && !self.goes_on()
    }

    /// Whether the line before announces what follows, as the lead-in of a list does.
    fn goes_on(&self) -> bool {
        let words = self.tail.trim_end_matches(CLOSERS);
        let last = words.rsplit(|character: char| !character.is_alphanumeric()).next();
        words.ends_with([':', ',']) || matches!(last, Some("and" | "or"))
    }

    /// Whether a sentence runs on into the line of `words`.
    fn is_amid_sentence(&self, words: &[u32]) -> bool {
        let first = words.iter().find_map(|unit| visible(*unit));
        let is_amid = |last: char| last.is_alphabetic() || last == '-';
        self.tail.ends_with(is_amid) && first.is_some_and(char::is_lowercase)
    }
}

/// The character of a code unit that shows on paper.
pub(super) fn visible(unit: u32) -> Option<char> {
    char::from_u32(unit).filter(|it| !it.is_whitespace() && !it.is_control())
}

/// The last characters of a line.
fn tail(words: &[u32]) -> String {
    let end = words.iter().rposition(|unit| visible(*unit).is_some()).map_or(0, |last| last + 1);
    let words = words.get(end.saturating_sub(TAIL_CHARS)..end).unwrap_or_default();
    words.iter().filter_map(|unit| char::from_u32(*unit)).collect()
}

/// What is usual on a page.
struct Page {
    axes: Axes,
    /// Line heights from one line to the next; `None` where the page has too few lines.
    usual_gap: Option<f32>,
    /// Where a line that is not short ends at least.
    full: f32,
}

impl Page {
    fn new(lines: &[Line]) -> Self {
        let axes = Axes::new(lines);
        let rows = || lines.iter().filter_map(|line| line.ends.as_ref()).map(|ends| axes.row(ends));
        let gaps = rows().zip(rows().skip(1)).map(|(before, row)| row.gap(&before));
        let gaps = gaps.filter(|gap| *gap > BACK).collect();
        let left = rows().map(|row| row.left).fold(f32::INFINITY, f32::min);
        let right = rows().map(|row| row.right).fold(f32::NEG_INFINITY, f32::max);
        Self { axes, usual_gap: usual(gaps), full: right - SHORT_ROOM * (right - left) }
    }

    fn is_short(&self, row: &Row) -> bool {
        row.right < self.full
    }
}

/// The narrowest gap that enough others are like.
fn usual(mut gaps: Vec<f32>) -> Option<f32> {
    gaps.sort_unstable_by(f32::total_cmp);
    let mut end = 0;
    for (start, least) in gaps.iter().enumerate() {
        let alike = gaps.iter().skip(end).take_while(|gap| **gap <= ALIKE * least).count();
        end = start.max(end + alike);
        if (end - start) * USUAL_SHARE >= gaps.len() {
            return gaps.get(usize::midpoint(start, end.saturating_sub(1))).copied();
        }
    }
    None
}

/// Which way the lines of a page run and follow each other: a page may lie on its side, stand on
/// its head, or be written from right to left.
#[derive(Clone, Copy)]
struct Axes {
    is_upright: bool,
    /// 1 where lines run towards greater coordinates, -1 where towards smaller ones.
    along: f32,
    /// The same from line to line.
    down: f32,
}

impl Axes {
    fn new(lines: &[Line]) -> Self {
        let ends = || lines.iter().filter_map(|line| line.ends.as_ref());
        let (mut run_x, mut run_y) = (0.0, 0.0);
        for [first, last] in ends() {
            run_x += last.x - first.x;
            run_y += last.y - first.y;
        }
        let is_upright = run_x.abs() >= run_y.abs();
        let along = if is_upright { run_x } else { run_y };
        let level = |glyph: &Glyph| if is_upright { glyph.y } else { glyph.x };
        let steps =
            ends().zip(ends().skip(1)).map(|(before, line)| level(&line[0]) - level(&before[1]));
        let (up, down) = steps.fold((0_usize, 0_usize), |(up, down), step| {
            (up + usize::from(step > 0.0), down + usize::from(step < 0.0))
        });
        Self {
            is_upright,
            along: if along < 0.0 { -1.0 } else { 1.0 },
            down: if up > down { 1.0 } else { -1.0 },
        }
    }

    fn row(self, [first, last]: &[Glyph; 2]) -> Row {
        let height =
            |it: &Glyph| if self.is_upright { it.top - it.bottom } else { it.right - it.left };
        let level = |it: &Glyph| self.down * if self.is_upright { it.y } else { it.x };
        // The sides of a box, the one where lines start first.
        let sides = |it: &Glyph| {
            let (low, high) =
                if self.is_upright { (it.left, it.right) } else { (it.bottom, it.top) };
            if self.along > 0.0 { (low, high) } else { (-high, -low) }
        };
        let (heights, mut levels) = ((height(first), height(last)), (level(first), level(last)));
        let height = heights.0.max(heights.1);
        if (levels.1 - levels.0).abs() < SAME_LINE * height {
            let taller = if heights.0 >= heights.1 { levels.0 } else { levels.1 };
            levels = (taller, taller);
        }
        Row { start: levels.0, end: levels.1, left: sides(first).0, right: sides(last).1, height }
    }
}

/// A line on its page's axes, in points.
struct Row {
    /// Where its first character stands, counted down the page.
    start: f32,
    /// Where its last one stands: lower where a word broken by a hyphen joins two lines.
    end: f32,
    left: f32,
    right: f32,
    height: f32,
}

impl Row {
    /// How far this line stands below `before`, in line heights; 0 where the font gives no height.
    fn gap(&self, before: &Self) -> f32 {
        let gap = (self.start - before.end) / f32::midpoint(self.height, before.height);
        if gap.is_finite() { gap } else { 0.0 }
    }
}
