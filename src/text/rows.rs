//! Characters' places -> rows on the page's own axes, whichever way it is turned.
//!
//! Deliberately judges nothing: what a gap or a short row means is for `paragraphs`.

use std::ops::Range;

/// Baselines closer than this part of a line height belong to one line: super- and subscripts.
const SAME_LINE: f32 = 0.7;

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

/// Which way the lines of a page run and follow each other: a page may lie on its side, stand on
/// its head, or be written from right to left.
#[derive(Clone, Copy)]
pub(super) struct Axes {
    is_upright: bool,
    /// 1 where lines run towards greater coordinates, -1 where towards smaller ones.
    along: f32,
    /// The same from line to line.
    down: f32,
}

impl Axes {
    /// The axes of a page of `lines`.
    pub(super) fn new(lines: &[Line]) -> Self {
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

    /// The line between its first and last visible characters.
    pub(super) fn row(self, [first, last]: &[Glyph; 2]) -> Row {
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
pub(super) struct Row {
    /// Where its first character stands, counted down the page.
    start: f32,
    /// Where its last one stands: lower where a word broken by a hyphen joins two lines.
    end: f32,
    pub(super) left: f32,
    pub(super) right: f32,
    height: f32,
}

impl Row {
    /// How far this line stands below `before`, in line heights; 0 where the font gives no height.
    pub(super) fn gap(&self, before: &Self) -> f32 {
        let gap = (self.start - before.end) / f32::midpoint(self.height, before.height);
        if gap.is_finite() { gap } else { 0.0 }
    }
}
