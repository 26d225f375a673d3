//! Rust source, split into what the compiler reads and what people read.
//!
//! Both halves keep every line and column: what belongs to the other half is
//! blank. Not a parser: it knows comments, strings and characters, which is all
//! that is needed to look for words without being fooled by a quotation.

/// A source file in two halves.
#[derive(Debug)]
pub(crate) struct Source {
    /// Code, with comments and the inside of strings and characters blank.
    pub(crate) code: String,
    /// Comments, with everything else blank.
    pub(crate) comments: String,
}

/// What a piece of text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Quoted,
}

impl Source {
    /// Splits a text.
    pub(crate) fn new(text: &str) -> Self {
        let mut splitter = Splitter {
            characters: text.chars().collect(),
            at: 0,
            code: String::with_capacity(text.len()),
            comments: String::with_capacity(text.len()),
        };
        splitter.run();
        Self { code: splitter.code, comments: splitter.comments }
    }

    /// The lines of the code, counted from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The lines of the comments, counted from 1; blank where there is none.
    pub(crate) fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.comments.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

struct Splitter {
    characters: Vec<char>,
    at: usize,
    code: String,
    comments: String,
}

impl Splitter {
    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if self.begins_word() => self.raw_string(1),
                ('b' | 'c', Some('r')) if self.begins_word() => self.raw_string(2),
                ('\'', _) => self.character_or_lifetime(),
                _ => self.take(Kind::Code),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    /// Moves one character into its half; line ends go to both.
    fn take(&mut self, kind: Kind) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.code.push(if kind == Kind::Code { c } else { blank });
        self.comments.push(if kind == Kind::Comment { c } else { blank });
    }

    fn begins_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.characters.get(at));
        !before.is_some_and(|c| c.is_alphanumeric() || *c == '_')
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.take(Kind::Comment);
                    continue;
                }
            }
            self.take(Kind::Comment);
            self.take(Kind::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Code);
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => {
                    self.take(Kind::Quoted);
                    self.take(Kind::Quoted);
                }
                '"' => return self.take(Kind::Code),
                _ => self.take(Kind::Quoted),
            }
        }
    }

    /// `letters` stand before the number signs.
    fn raw_string(&mut self, letters: usize) {
        let mut signs = 0;
        while self.peek(letters + signs) == Some('#') {
            signs += 1;
        }
        let is_string = self.peek(letters + signs) == Some('"');
        for _ in 0..=(letters + signs) {
            self.take(Kind::Code);
        }
        // `r#type` is a name.
        while is_string && self.peek(0).is_some() {
            let closes =
                self.peek(0) == Some('"') && (1..=signs).all(|ahead| self.peek(ahead) == Some('#'));
            if closes {
                for _ in 0..=signs {
                    self.take(Kind::Code);
                }
                return;
            }
            self.take(Kind::Quoted);
        }
    }

    fn character_or_lifetime(&mut self) {
        let is_character = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.take(Kind::Code);
        if !is_character {
            return;
        }
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => {
                    self.take(Kind::Quoted);
                    self.take(Kind::Quoted);
                }
                '\'' => return self.take(Kind::Code),
                _ => self.take(Kind::Quoted),
            }
        }
    }
}

/// Whether `word` stands in `line` as a whole word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    position_of_word(line, word).is_some()
}

/// Where `word` first stands in `line` as a whole word, in bytes.
pub(crate) fn position_of_word(line: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut places = line.match_indices(word).map(|(at, _)| at);
    places.find(|at| {
        let before = line[..*at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new(text).code
    }

    #[test]
    fn quotations_are_no_code() {
        for text in [
            "let a = \"unsafe\";",
            "let a = \"\\\"unsafe\";",
            "let a = r\"unsafe\";",
            "let a = r#\"\" unsafe\"#;",
            "let a = br#\"unsafe\"#;",
            "// unsafe",
            "/* /* */ unsafe */",
            "/// unsafe",
        ] {
            assert!(!has_word(&code(text), "unsafe"), "{text}: {}", code(text));
        }
    }

    #[test]
    fn code_after_a_quotation_is_code() {
        for text in [
            "f(\"a\"); unsafe",
            "f('\"'); unsafe",
            "f('\\''); unsafe",
            "fn f<'a>() {} unsafe",
            "f(r\"\\\"); unsafe",
            "/* a */ unsafe",
            "let r#type = 1; unsafe",
        ] {
            assert!(has_word(&code(text), "unsafe"), "{text}: {}", code(text));
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::new("a\n/* b\nc */ d\n");
        assert_eq!(source.code_lines().nth(2), Some((3, "     d")));
        assert_eq!(source.comment_lines().nth(2), Some((3, "c */  ")));
    }

    #[test]
    fn a_part_of_a_word_is_not_the_word() {
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(has_word("(unsafe)", "unsafe"));
    }
}
