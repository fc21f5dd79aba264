//! The tokens of expressions, and the cursor that the parsers read them with.

use std::{collections::BTreeSet, ops::Range, sync::LazyLock};

/// The largest length of an expression in bytes.
const MOST_BYTES: usize = 4096;
const KEYWORDS: [&str; 9] = ["AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE"];
const SYMBOLS: [&str; 14] =
    ["<>", "<=", ">=", "<", ">", "=", "+", "-", "(", ")", ",", ".", "[", "]"];

/// Words that an expression may use for an attribute only by a placeholder ("Reserved words in
/// DynamoDB", Amazon DynamoDB Developer Guide).
static RESERVED: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("reserved_words.txt").split_whitespace().collect());

/// An attribute: its name, or its placeholder (`#state`).
pub(super) type Name = String;

/// A parsed expression, and the placeholders in it.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    pub(super) tree: T,
    pub(super) names: BTreeSet<String>,
    pub(super) values: BTreeSet<String>,
}

impl<T> Parsed<T> {
    /// Parses a text from start to end.
    ///
    /// # Errors
    /// The message of DynamoDB, without the kind of the expression.
    pub(super) fn of(
        text: &str,
        parse: impl FnOnce(&mut Cursor<'_>) -> Result<T, String>,
    ) -> Result<Self, String> {
        let mut cursor = Cursor::new(text)?;
        let tree = parse(&mut cursor)?;
        if cursor.at < cursor.tokens.len() {
            return Err(cursor.syntax_error());
        }
        let Cursor { names, values, .. } = cursor;
        Ok(Self { tree, names, values })
    }
}

/// A place in the tokens of an expression.
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<Range<usize>>,
    at: usize,
    /// The parenthesised group that was read last: its first token, and the one after it.
    group: Option<(usize, usize)>,
    names: BTreeSet<String>,
    values: BTreeSet<String>,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("The expression can not be empty;".to_owned());
        }
        if text.len() > MOST_BYTES {
            return Err("Expression size has exceeded the maximum allowed size;".to_owned());
        }
        let mut cursor = Self {
            text,
            tokens: Vec::new(),
            at: 0,
            group: None,
            names: BTreeSet::new(),
            values: BTreeSet::new(),
        };
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let length = token_length(&text[start..], first);
            if !first.is_ascii_whitespace() {
                cursor.tokens.push(start..start + length);
            }
            start += length;
        }
        match cursor.tokens.iter().position(|token| !is_readable(&text[token.clone()])) {
            Some(unreadable) => {
                cursor.at = unreadable;
                Err(cursor.syntax_error())
            }
            None => Ok(cursor),
        }
    }

    /// The next token; empty at the end.
    pub(super) fn peek(&self) -> &'a str {
        self.peek_at(0)
    }

    /// The token at this distance from the next one; empty after the end.
    pub(super) fn peek_at(&self, distance: usize) -> &'a str {
        self.tokens.get(self.at + distance).map_or("", |token| &self.text[token.clone()])
    }

    pub(super) fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Takes the next token if it is this symbol or keyword.
    pub(super) fn takes(&mut self, token: &str) -> bool {
        let is_it = self.peek().eq_ignore_ascii_case(token);
        self.at += usize::from(is_it);
        is_it
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(self.syntax_error()) }
    }

    /// Reads a group in parentheses.
    pub(super) fn group<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let open = self.at;
        self.expect("(")?;
        let tree = inner(self)?;
        if self.group == Some((open + 1, self.at)) {
            return Err("The expression has redundant parentheses;".to_owned());
        }
        self.expect(")")?;
        self.group = Some((open, self.at));
        Ok(tree)
    }

    /// Reads an attribute. Document paths are not supported.
    pub(super) fn name(&mut self) -> Result<Name, String> {
        let token = self.peek();
        if token.starts_with('#') {
            self.names.insert(token.to_owned());
        } else if !is_word(token) || is_keyword(token) {
            return Err(self.syntax_error());
        } else if RESERVED.contains(token.to_ascii_uppercase().as_str()) {
            return Err(format!("Attribute name is a reserved keyword; reserved keyword: {token}"));
        }
        self.at += 1;
        Ok(token.to_owned())
    }

    /// Reads the placeholder of a value.
    pub(super) fn value(&mut self) -> Result<String, String> {
        let token = self.peek();
        if !token.starts_with(':') {
            return Err(self.syntax_error());
        }
        self.values.insert(token.to_owned());
        self.at += 1;
        Ok(token.to_owned())
    }

    /// The function that is called next, in lower case, with the name as it is written.
    pub(super) fn function(&self) -> Option<(String, &'a str)> {
        let name = self.peek();
        let is_call = is_word(name) && !is_keyword(name) && self.peek_at(1) == "(";
        is_call.then(|| (name.to_ascii_lowercase(), name))
    }

    /// The syntax error at the next token. It quotes the tokens around it.
    pub(super) fn syntax_error(&self) -> String {
        let (token, near) = match self.tokens.get(self.at) {
            Some(token) => {
                let before = self.at.checked_sub(1).map_or(token, |before| &self.tokens[before]);
                let after = self.tokens.get(self.at + 1).unwrap_or(token);
                (&self.text[token.clone()], &self.text[before.start..after.end])
            }
            None => {
                let last = self.tokens.last().cloned();
                ("<EOF>", last.map_or(self.text, |last| &self.text[last]))
            }
        };
        format!("Syntax error; token: \"{token}\", near: \"{near}\"")
    }
}

fn token_length(rest: &str, first: char) -> usize {
    let word = |text: &str| {
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
    };
    let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
    match (symbol, first) {
        (Some(symbol), _) => symbol.len(),
        (None, '#' | ':') => 1 + word(&rest[1..]),
        (None, first) => word(rest).max(first.len_utf8()),
    }
}

fn is_readable(token: &str) -> bool {
    let is_placeholder = token.len() > 1 && token.starts_with(['#', ':']);
    is_placeholder || SYMBOLS.contains(&token) || is_word(token)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

fn is_keyword(token: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(token))
}
