//! `Rust text -> code without comments and literals -> modules that it reaches`.
//!
//! Reads just enough of the language for the rule that rooms import leaves only.
#![expect(clippy::string_slice, reason = "offsets come from a search in the same text")]

use std::collections::BTreeSet;

/// The code with comments and the insides of literals blanked; lines stay lines.
pub fn bare(text: &str) -> String {
    let mut scanner = Scanner { rest: text, code: String::with_capacity(text.len()) };
    while scanner.step() {}
    scanner.code
}

struct Scanner<'t> {
    rest: &'t str,
    code: String,
}

impl Scanner<'_> {
    /// Takes one token; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        let is_in_word = self.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some(length) = raw_string(self.rest).filter(|_| !is_in_word) {
            self.blank(length);
        } else if first == '"' {
            self.blank(quoted(self.rest));
        } else if let Some(length) = character(self.rest) {
            self.blank(length);
        } else {
            self.code.push(first);
            self.rest = &self.rest[first.len_utf8()..];
        }
        true
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Length of the comment at the start, those inside it included.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of the raw string at the start, if one stands there.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

/// Length of the string at the start.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal at the start, if one stands there and not a lifetime.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let skipped = escape.chars().next()?.len_utf8();
        return escape[skipped..].find('\'').map(|at| 2 + skipped + at + 1);
    }
    let length = inside.chars().next()?.len_utf8();
    inside[length..].starts_with('\'').then_some(length + 2)
}

/// Modules directly below the crate's root that the code of `path` names, and what cannot be told.
pub fn imports(path: &str, code: &str) -> (BTreeSet<String>, Vec<String>) {
    let code = squeeze(code);
    let mut reached = BTreeSet::new();
    let mut problems = Vec::new();
    for trick in ["crate as ", "super as ", "crate::{self", "crate::*"] {
        if code.contains(trick) {
            problems.push(format!("{path}: `{trick}` hides what is imported"));
        }
    }
    for (at, word) in code.match_indices("crate::") {
        if is_start(&code, at) {
            reached.extend(heads(&code[at + word.len()..]));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if !is_start(&code, at) {
            continue;
        }
        let tail = code[at..].trim_start_matches("super::");
        let climbs = (code.len() - at - tail.len()) / "super::".len();
        let heads = heads(tail);
        if heads.iter().any(|head| head == "super") {
            problems.push(format!("{path}: a `super` inside braces hides what is imported"));
        }
        if climbs == file_depth(path) + inline_depth(&code[..at]) {
            reached.extend(heads);
        }
    }
    (reached, problems)
}

/// White space around `::` and braces dropped, other runs of it made one space.
fn squeeze(code: &str) -> String {
    let mut words = code.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["::", "{", "}", ","] {
        for spaced in [format!(" {mark}"), format!("{mark} ")] {
            words = words.replace(&spaced, mark);
        }
    }
    words
}

/// Whether a path starts at `at`.
fn is_start(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'))
}

/// First names of a path's tail: one, or those of the group in braces.
fn heads(tail: &str) -> Vec<String> {
    let Some(group) = tail.strip_prefix('{') else { return vec![head(tail)] };
    let mut heads = vec![head(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '*')).collect()
}

/// Modules between the crate's root and the top of the file: `src/NAME/mod.rs` has 1, `src/NAME/b.rs` 2.
fn file_depth(path: &str) -> usize {
    let below = path.trim_start_matches("src/");
    below.split('/').filter(|part| !matches!(*part, "mod.rs" | "lib.rs" | "main.rs")).count()
}

/// Inline modules that are open at the end of `code`.
fn inline_depth(code: &str) -> usize {
    let mut open = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let before = &code[..at];
                let mut words = before.rsplit([' ', ';', '}', '{', ']']);
                let _name = words.next();
                open.push(words.next() == Some("mod"));
            }
            '}' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}
