//! HTML to the text that a browser without style sheets shows.
//!
//! Works on tokens and builds no tree, so that nesting of any depth costs nothing. Deliberately
//! runs no script, applies no style, and follows no link.

use std::cell::RefCell;

use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    CharacterTokens, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult, Tokenizer,
    TokenizerOpts,
};

/// Bytes of markup between two reports of progress.
const STEP_BYTES: usize = 1 << 20;

/// The text of `markup`. After every step of work `progress` is told how many bytes of text there
/// are so far, and may stop it with an error.
pub(super) fn text<E>(
    markup: &str,
    progress: &mut dyn FnMut(usize) -> Result<(), E>,
) -> Result<String, E> {
    let tokenizer = Tokenizer::new(Screen::default(), TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = markup;
    while !rest.is_empty() {
        let (step, after) = rest.split_at(rest.floor_char_boundary(STEP_BYTES));
        queue.push_back(StrTendril::from_slice(step));
        // The tokenizer stops at the end of a script for somebody to run it; nobody does.
        while !queue.is_empty() {
            drop(tokenizer.feed(&queue));
        }
        rest = after;
        progress(tokenizer.sink.0.borrow().text.len())?;
    }
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    page.end_line(1);
    Ok(page.text)
}

/// Takes tokens and lays text out.
#[derive(Default)]
struct Screen(RefCell<Layout>);

impl TokenSink for Screen {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            CharacterTokens(text) => page.characters(&text),
            TagToken(tag) => return page.tag(&tag),
            Token::NullCharacterToken
            | Token::CommentToken(_)
            | Token::DoctypeToken(_)
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

/// What an element does to the text around and inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing: it stands in the line.
    Inline,
    /// It starts and ends so many lines; 2 leave one empty between.
    Lines(u8),
    /// A cell, apart from the one before it.
    Cell,
    /// Ends the line.
    Break,
    /// Not shown; holds characters only.
    Hidden,
    /// Not shown; holds elements, also of its own kind.
    Template,
    /// Lines of its own, white space as written.
    Preformatted,
}

fn effect(name: &str) -> Effect {
    match name {
        "script" | "style" | "title" | "noembed" | "noframes" | "iframe" => Effect::Hidden,
        "template" => Effect::Template,
        "pre" | "listing" | "textarea" | "xmp" | "plaintext" => Effect::Preformatted,
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "blockquote" => Effect::Lines(2),
        "address" | "article" | "aside" | "body" | "caption" | "center" | "dd" | "details"
        | "dialog" | "dir" | "div" | "dl" | "dt" | "fieldset" | "figcaption" | "figure"
        | "footer" | "form" | "head" | "header" | "hgroup" | "hr" | "html" | "legend" | "li"
        | "main" | "menu" | "nav" | "ol" | "optgroup" | "option" | "search" | "section"
        | "select" | "summary" | "table" | "tbody" | "tfoot" | "thead" | "tr" | "ul" => {
            Effect::Lines(1)
        }
        "td" | "th" => Effect::Cell,
        "br" => Effect::Break,
        _ => Effect::Inline,
    }
}

/// The text so far, and what the next character needs before it.
#[derive(Default)]
struct Layout {
    text: String,
    /// Line ends owed before the next character that shows; at most 2.
    owed_lines: u8,
    /// Whether a space is owed; a line end cancels it.
    owes_space: bool,
    /// Whether a cell has ended on this line.
    owes_tab: bool,
    /// Depth of preformatted elements.
    preformatted: u32,
    /// Whether this is inside an element that holds characters only and is not shown.
    is_hidden: bool,
    /// Depth of templates.
    templates: u32,
}

impl Layout {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let is_start = tag.kind == StartTag;
        match effect(name) {
            Effect::Hidden => self.is_hidden = is_start,
            Effect::Template => self.templates = deeper(self.templates, is_start),
            Effect::Inline => {}
            Effect::Lines(_) | Effect::Cell | Effect::Break | Effect::Preformatted
                if self.templates > 0 => {}
            Effect::Lines(lines) => self.end_line(lines),
            Effect::Cell => self.owes_tab |= self.is_in_line(),
            Effect::Break => self.end_break(),
            Effect::Preformatted => {
                self.end_line(1);
                self.preformatted = deeper(self.preformatted, is_start);
            }
        }
        if is_start { raw(name) } else { TokenSinkResult::Continue }
    }

    fn characters(&mut self, text: &str) {
        if self.is_hidden || self.templates > 0 {
            return;
        }
        for character in text.chars() {
            match character {
                '\n' if self.preformatted > 0 => self.end_break(),
                ' ' | '\t' if self.preformatted > 0 => self.show(character),
                ' ' | '\t' | '\n' | '\r' | '\u{C}' => self.owes_space = true,
                // A place where a word may be broken, and a mark of the file: neither shows.
                '\u{AD}' | '\u{FEFF}' | '\0' => {}
                _ => self.show(character),
            }
        }
    }

    fn show(&mut self, character: char) {
        if self.text.is_empty() {
            self.owed_lines = 0;
        }
        if self.owed_lines > 0 {
            (0..self.owed_lines).for_each(|_| self.text.push('\n'));
        } else if self.owes_tab {
            self.text.push('\t');
        } else if self.owes_space && self.is_in_line() {
            self.text.push(' ');
        }
        self.settle();
        self.text.push(character);
    }

    /// The next character that shows starts a new line, after `lines` line ends.
    fn end_line(&mut self, lines: u8) {
        // A line that `<br>` has already ended needs one end less.
        let done = u8::from(self.text.ends_with('\n'));
        self.owed_lines = self.owed_lines.max(lines.saturating_sub(done));
        self.owes_space = false;
        self.owes_tab = false;
    }

    /// Ends the line now, as `<br>` does, even an empty one.
    fn end_break(&mut self) {
        if !self.text.is_empty() {
            (0..self.owed_lines).for_each(|_| self.text.push('\n'));
            self.text.push('\n');
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.owed_lines = 0;
        self.owes_space = false;
        self.owes_tab = false;
    }

    /// Whether the next character would stand behind another one.
    fn is_in_line(&self) -> bool {
        self.owed_lines == 0 && !self.text.is_empty() && !self.text.ends_with('\n')
    }
}

/// The depth after one more start or end tag; an end without a start changes nothing.
const fn deeper(depth: u32, is_start: bool) -> u32 {
    if is_start { depth.saturating_add(1) } else { depth.saturating_sub(1) }
}

/// How the tokenizer must read what follows a start tag (HTML Standard, section 13.2.6: the tree
/// builder's part of the tokenizer's state).
fn raw(name: &str) -> TokenSinkResult<()> {
    match name {
        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
            TokenSinkResult::RawData(RawKind::Rawtext)
        }
        "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::text;

    fn shown(markup: &str) -> String {
        text(markup, &mut |_bytes| Ok::<(), Infallible>(())).unwrap()
    }

    fn check(markup: &str, expected: &str) {
        assert_eq!(shown(markup), expected, "{markup}");
    }

    #[test]
    fn white_space_collapses_and_blocks_make_lines() {
        check("<div>one\n   two</div>  <div> three </div>", "one two\nthree");
        check("<p>one</p>\n<p>two</p>", "one\n\ntwo");
        check("a<b>b</b> <i>c</i>d", "ab cd");
        check("one<br>two<br><br>three", "one\ntwo\n\nthree");
        check("one<br></p>two", "one\n\ntwo");
        check("<ul><li>one<li>two</ul>three", "one\ntwo\nthree");
    }

    #[test]
    fn cells_stay_apart() {
        check("<table><tr><td>a</td> <td>b</td></tr><tr><td>c<td>d</table>", "a\tb\nc\td");
    }

    #[test]
    fn preformatted_text_keeps_its_white_space() {
        check("<pre>a  b\n  c</pre>d  e", "a  b\n  c\nd e");
    }

    #[test]
    fn entities_are_decoded() {
        check("a&nbsp;b &amp; &eacute; &#8220;x&#x201D; &lt;p&gt;", "a\u{A0}b & é “x” <p>");
    }

    #[test]
    fn what_a_browser_does_not_show_is_no_text() {
        check("<head><title>t</title><style>p{}</style></head><body>x", "x");
        check("a<script>if (a < b) { \"</p>\" }</script>b<!-- c -->", "ab");
        check("a<template>b<template>c</template>d</template>e", "ae");
        check("a<template>b</script>c</template>d</template>e", "ade");
        check("a<iframe><p>b</p></iframe>c<noframes>d</noframes>", "ac");
        check("a<noscript>b</noscript>", "ab");
        check("exam&shy;ple", "example");
    }

    #[test]
    fn an_unclosed_script_hides_the_rest_as_in_a_browser() {
        check("a<script>b<p>c", "a");
    }

    #[test]
    fn nesting_of_any_depth_costs_nothing() {
        let markup = format!("{}x{}", "<div>".repeat(300_000), "</div>".repeat(300_000));
        check(&markup, "x");
    }

    #[test]
    fn work_can_be_stopped_between_steps() {
        let markup = "x".repeat(3 << 20);
        let mut steps = 0;
        let stopped = text(&markup, &mut |bytes| {
            steps += 1;
            if bytes > 1 << 20 { Err(bytes) } else { Ok(()) }
        });
        assert_eq!((stopped, steps), (Err(2 << 20), 2));
    }

    proptest! {
        #[test]
        fn no_markup_makes_it_panic_or_lay_out_badly(
            markup in "(<[a-z/!]{1,9}[ >]|[ \\n\\ta-zé&;#]|<(/?)(p|br|td|pre|script|title|template)>){0,60}"
        ) {
            let laid_out = shown(&markup);
            prop_assert!(!laid_out.contains('\0'), "a NUL came through");
        }
    }
}
