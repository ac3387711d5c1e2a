//! Lines of a PDF page and where they stand -> the page with a blank line before each paragraph.
//!
//! A PDF has no paragraphs, only places. A paragraph begins where the gap to the line before is
//! wider than the usual one of the page, or where the text goes on in another place. Whitespace is all that is added: no token changes, only where
//! sentences may end. Deliberately moves no line and drops none, page numbers and footers included.

use super::rows::{Axes, Line, Row};

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

/// A baseline this part of a line height further up is in another column or cell.
const BACK: f32 = 0.5;

/// Paragraphs of one document, page by page.
#[derive(Default)]
pub(super) struct Paragraphs {
    /// Last visible character of the line before, also on a page before.
    last: Option<char>,
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
                self.last = words.iter().rev().find_map(|unit| visible(*unit));
            }
            spaced.extend_from_slice(words);
        }
        spaced
    }

    /// Whether a paragraph begins with `row`; `before` is the one before it on its page.
    fn is_begun(&self, page: &Page, before: Option<&Row>, row: &Row, words: &[u32]) -> bool {
        let elsewhere = || self.last.is_some() && !self.is_amid_sentence(words);
        before.map_or_else(elsewhere, |before| {
            let gap = row.gap(before);
            page.usual_gap.is_some_and(|usual| gap > WIDER * usual)
                || gap > WIDE_HEIGHTS && page.is_short(before)
                || gap < -BACK && elsewhere()
        })
    }

    /// Whether a sentence runs on into the line of `words`.
    fn is_amid_sentence(&self, words: &[u32]) -> bool {
        let first = words.iter().find_map(|unit| visible(*unit));
        let is_amid = |last: char| last.is_alphabetic() || last == '-';
        self.last.is_some_and(is_amid) && first.is_some_and(char::is_lowercase)
    }
}

/// The character of a code unit that shows on paper.
pub(super) fn visible(unit: u32) -> Option<char> {
    char::from_u32(unit).filter(|it| !it.is_whitespace() && !it.is_control())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Paragraphs;
    use crate::text::rows::{Glyph, Line};

    /// Width of a character, and what its box has above and below the baseline, in points.
    const CHAR: (f32, f32, f32) = (5.0, 8.0, 2.0);

    /// A page of lines: left edge, baseline, words.
    type Placed<'a> = &'a [(f32, f32, &'a str)];

    fn glyph(x: f32, y: f32) -> Glyph {
        let (width, above, below) = CHAR;
        Glyph { x, y, left: x, bottom: y - below, right: x + width, top: y + above }
    }

    fn layout(placed: Placed<'_>) -> (Vec<u32>, Vec<Line>) {
        let (mut units, mut lines) = (Vec::new(), Vec::new());
        for (left, baseline, words) in placed {
            let start = units.len();
            units.extend(words.chars().chain("\r\n".chars()).map(u32::from));
            let last = f32::from(u8::try_from(words.chars().count()).unwrap()) - 1.0;
            let ends = [glyph(*left, *baseline), glyph(left + last * CHAR.0, *baseline)];
            lines.push(Line { units: start..units.len(), ends: Some(ends) });
        }
        (units, lines)
    }

    fn words(units: &[u32]) -> String {
        units.iter().filter_map(|unit| char::from_u32(*unit)).filter(|it| *it != '\r').collect()
    }

    fn document(pages: &[Placed<'_>]) -> String {
        let mut paragraphs = Paragraphs::default();
        pages.iter().fold(String::new(), |text, page| {
            let (units, lines) = layout(page);
            text + &words(&paragraphs.page(&units, &lines))
        })
    }

    fn check(page: Placed<'_>, expected: &str) {
        assert_eq!(document(&[page]), expected);
    }

    #[test]
    fn a_wider_gap_begins_a_paragraph() {
        check(
            &[
                (50.0, 700.0, "10. Licence"),
                (50.0, 680.0, "HealthGate grants to the publishers"),
                (50.0, 668.0, "a licence to the software"),
                (50.0, 656.0, "for the purposes of this agreement"),
                (50.0, 640.5, "Save in relation to logos"),
                (50.0, 624.2, "all else is open"),
            ],
            "10. Licence\n\nHealthGate grants to the publishers\na licence to the software\n\
             for the purposes of this agreement\nSave in relation to logos\n\nall else is open\n",
        );
    }

    #[test]
    fn small_print_does_not_make_the_usual_gap_of_other_text_wide() {
        let small = |y: f32| Glyph { bottom: y - 1.0, top: y + 4.0, ..glyph(50.0, y) };
        let (units, mut lines) = layout(&[
            (50.0, 700.0, "One line"),
            (50.0, 688.0, "of the usual size"),
            (50.0, 676.0, "and its end"),
            (50.0, 640.0, "A note"),
            (50.0, 634.0, "in a small"),
            (50.0, 628.0, "font"),
        ]);
        for (line, y) in lines.iter_mut().skip(3).zip([640.0, 634.0, 628.0]) {
            line.ends = Some([small(y), small(y)]);
        }
        assert_eq!(
            words(&Paragraphs::default().page(&units, &lines)),
            "One line\nof the usual size\nand its end\n\nA note\nin a small\nfont\n"
        );
    }

    #[test]
    fn double_spacing_parts_short_lines_only() {
        check(
            &[
                (50.0, 700.0, "Definitions 2"),
                (50.0, 680.0, "The parties agree as to all of the follow"),
                (50.0, 660.0, "ing and will do so until it ends in whole"),
                (50.0, 640.0, "or in part"),
                (50.0, 620.0, "Signed"),
            ],
            "Definitions 2\n\nThe parties agree as to all of the follow\n\
             ing and will do so until it ends in whole\nor in part\n\nSigned\n",
        );
    }

    #[test]
    fn a_sentence_goes_on_over_pages_and_columns() {
        let first: Placed<'_> = &[(50.0, 60.0, "the third"), (50.0, 50.0, "party shall")];
        let second: Placed<'_> = &[
            (50.0, 750.0, "be liable"),
            (50.0, 740.0, "for it"),
            (300.0, 750.0, "as agreed"),
            (300.0, 740.0, "The end"),
            (50.0, 770.0, "Source: a register, 11/8/1999"),
        ];
        let third: Placed<'_> = &[(50.0, 750.0, "in words"), (50.0, 740.0, "said")];
        assert_eq!(
            document(&[first, second, third]),
            "the third\nparty shall\nbe liable\nfor it\nas agreed\nThe end\n\n\
             Source: a register, 11/8/1999\n\nin words\nsaid\n"
        );
    }

    #[test]
    fn a_page_without_a_visible_line_changes_nothing() {
        let mut paragraphs = Paragraphs::default();
        let blank = Line { units: 0..2, ends: None };
        assert_eq!(words(&paragraphs.page(&[32, 10], &[blank])), " \n");
        let (units, lines) = layout(&[(50.0, 700.0, "first"), (50.0, 690.0, "page")]);
        assert_eq!(words(&paragraphs.page(&units, &lines)), "first\npage\n");
        assert_eq!(words(&paragraphs.page(&[], &[])), "");
        let (units, lines) = layout(&[(50.0, 700.0, "over it")]);
        assert_eq!(words(&paragraphs.page(&units, &lines)), "over it\n");
    }

    #[test]
    fn a_page_may_lie_on_its_side_stand_on_its_head_or_run_from_the_right() {
        let (units, lines) = layout(&[
            (50.0, 700.0, "A heading"),
            (50.0, 680.0, "and a paragraph"),
            (50.0, 668.0, "of two lines"),
        ]);
        let expected = "A heading\n\nand a paragraph\nof two lines\n";
        let turns: [fn(Glyph) -> Glyph; 5] = [
            |it| it,
            |it| Glyph {
                x: -it.x,
                y: -it.y,
                left: -it.right,
                right: -it.left,
                bottom: -it.top,
                top: -it.bottom,
            },
            |it| Glyph {
                x: -it.y,
                y: it.x,
                left: -it.top,
                right: -it.bottom,
                bottom: it.left,
                top: it.right,
            },
            |it| Glyph {
                x: it.y,
                y: -it.x,
                left: it.bottom,
                right: it.top,
                bottom: -it.right,
                top: -it.left,
            },
            |it| Glyph { x: -it.x, left: -it.right, right: -it.left, ..it },
        ];
        for (index, turn) in turns.into_iter().enumerate() {
            let turned: Vec<_> = lines
                .iter()
                .map(|line| Line { ends: line.ends.map(|ends| ends.map(turn)), ..line.clone() })
                .collect();
            assert_eq!(words(&Paragraphs::default().page(&units, &turned)), expected, "{index}");
        }
    }

    #[test]
    fn a_word_broken_over_two_lines_and_a_raised_mark_leave_gaps_as_they_are() {
        let (units, mut lines) = layout(&[
            (50.0, 700.0, "this agree-ment"),
            (50.0, 678.0, "shall end on the 2nd"),
            (50.0, 667.0, "of May"),
            (50.0, 656.0, "in full"),
        ]);
        // The first line ends one lower than it begins; the mark of the second is small and raised.
        let raised = Glyph { y: 682.0, bottom: 680.0, top: 687.0, ..glyph(145.0, 682.0) };
        lines[0].ends = Some([glyph(50.0, 700.0), glyph(80.0, 689.0)]);
        lines[1].ends = Some([glyph(50.0, 678.0), raised]);
        assert_eq!(
            words(&Paragraphs::default().page(&units, &lines)),
            "this agree-ment\nshall end on the 2nd\nof May\nin full\n"
        );
    }

    #[test]
    fn a_font_without_height_gives_no_blank_line() {
        let (units, mut lines) =
            layout(&[(50.0, 700.0, "one"), (50.0, 500.0, "two"), (50.0, 490.0, "three")]);
        for line in &mut lines {
            line.ends =
                line.ends.map(|ends| ends.map(|it| Glyph { bottom: it.y, top: it.y, ..it }));
        }
        assert_eq!(words(&Paragraphs::default().page(&units, &lines)), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_page_of_a_million_lines_takes_no_time_to_speak_of() {
        let number = |index: u32| f32::from(u16::try_from(index % 60_000).unwrap());
        let units: Vec<u32> =
            (0..1_000_000).flat_map(|_| [u32::from('a'), u32::from('\n')]).collect();
        let lines: Vec<_> = (0..1_000_000_u32)
            .map(|index| {
                let start = usize::try_from(2 * index).unwrap();
                let place = glyph(50.0, number(index.wrapping_mul(2_654_435_761)));
                Line { units: start..start + 2, ends: Some([place, place]) }
            })
            .collect();
        let start = std::time::Instant::now();
        let spaced = Paragraphs::default().page(&units, &lines);
        assert!(spaced.len() <= units.len() + lines.len());
        // Unoptimised, on a busy machine; a quadratic rule would take hours.
        assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    }

    fn any_glyph() -> impl Strategy<Value = Glyph> {
        any::<[f32; 6]>().prop_map(|[x, y, left, bottom, right, top]| Glyph {
            x,
            y,
            left,
            bottom,
            right,
            top,
        })
    }

    proptest! {
        #[test]
        fn only_line_feeds_are_added_whatever_the_places(
            page in proptest::collection::vec(("[ -~]{0,20}", proptest::option::of([any_glyph(), any_glyph()])), 0..40)
        ) {
            let (mut units, mut lines) = (Vec::new(), Vec::new());
            for (words, ends) in page {
                let start = units.len();
                units.extend(words.chars().chain(['\n']).map(u32::from));
                lines.push(Line { units: start..units.len(), ends });
            }
            let mut paragraphs = Paragraphs::default();
            for _ in 0..2 {
                let spaced = paragraphs.page(&units, &lines);
                let kept = |units: &[u32]| -> Vec<u32> { units.iter().filter(|unit| **unit != 10).copied().collect() };
                prop_assert_eq!(kept(&spaced), kept(&units));
                prop_assert!(spaced.len() <= units.len() + lines.len());
            }
        }
    }
}
