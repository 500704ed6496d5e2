//! A text by line and column, and the checks that need only its tokens.

use crate::error::SqlError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Whitespace};

/// How deep an expression may be, in operators one inside the other. The
/// planner recurses over it on a thread's ordinary stack.
const EXPRESSION_DEPTH_MAX: usize = 64;
/// ANDs and ORs in one condition. The planner balances them, so they add
/// little depth.
const CONDITIONS_MAX: usize = 512;
/// Joins and set operations in one text.
const RELATIONS_MAX: usize = 64;

/// The text, addressed as the tokenizer does: lines and characters from 1.
pub(super) struct Source<'a> {
    text: &'a str,
    lines: Vec<Line>,
}

/// Where a line's every [`MARK_CHARS`]-th character begins, the first one
/// included: a text of one long line has many statements to find in it.
struct Line {
    marks: Vec<usize>,
}

/// Characters from one mark to the next.
const MARK_CHARS: usize = 256;

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut start = 0;
        let lines = text.split_inclusive('\n').map(|line| {
            let marks = line.char_indices().step_by(MARK_CHARS);
            let marks = marks.map(|(at, _)| start + at).collect();
            start += line.len();
            Line { marks }
        });
        Self {
            text,
            lines: lines.collect(),
        }
    }

    /// The text from one place up to, not including, another.
    pub(super) fn slice(&self, from: Location, to: Location) -> &'a str {
        let text = self.text;
        text.get(self.byte(from)..self.byte(to)).unwrap_or_default()
    }

    fn byte(&self, location: Location) -> usize {
        let line = usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let mark = self
            .lines
            .get(line)
            .and_then(|line| line.marks.get(column / MARK_CHARS));
        let Some(mark) = mark else {
            return self.text.len();
        };
        let rest = self.text.get(*mark..).unwrap_or_default();
        let within = rest
            .char_indices()
            .nth(column % MARK_CHARS)
            .map_or(rest.len(), |(at, _)| at);
        mark + within
    }
}

/// Refuses what the parser would drop or misread, and what is too deep.
pub(super) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut depth = Depth::default();
    for (index, token) in tokens.iter().enumerate() {
        match &token.token {
            // Upstream takes a hint for a comment.
            Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+') => {
                return Err(SqlError::at(token.span, "hints are not supported")
                    .hint("take /*+ ... */ out; options belong in the table's WITH (...)"));
            }
            Token::DoubleQuotedString(_) => {
                return Err(
                    SqlError::at(token.span, "double quotes are not used in Flink SQL")
                        .hint("write 'text' for a string, `name` for a name"),
                );
            }
            Token::AtSign => {
                let name = match tokens.get(index + 1).map(|next| &next.token) {
                    Some(Token::Word(word)) => format!("@{}", word.value),
                    _ => "@name".to_owned(),
                };
                return Err(SqlError::at(
                    token.span,
                    "'@' is not part of a name without backticks",
                )
                .hint(format!("write `{name}`")));
            }
            _ => depth.add(token)?,
        }
    }
    Ok(())
}

/// An upper bound of the depth of the expression tree, from the tokens alone:
/// operators since the last comma or clause, summed over open parentheses.
#[derive(Default)]
struct Depth {
    open: Vec<usize>,
    current: usize,
    conditions: usize,
    relations: usize,
}

impl Depth {
    fn add(&mut self, token: &TokenWithSpan) -> Result<(), SqlError> {
        match &token.token {
            Token::LParen | Token::LBracket => {
                self.open.push(self.current);
                self.current += 1;
            }
            Token::RParen | Token::RBracket => {
                self.current = self.open.pop().unwrap_or(0);
                if token.token == Token::RBracket {
                    self.current += 1;
                }
            }
            Token::SemiColon => *self = Self::default(),
            Token::Comma => self.current = self.base(),
            Token::Word(word) if word.quote_style.is_none() => {
                match word.value.to_ascii_uppercase().as_str() {
                    "SELECT" | "FROM" | "WHERE" | "HAVING" | "ON" | "WHEN" | "THEN" | "ELSE" => {
                        self.current = self.base();
                        self.conditions = 0;
                    }
                    "JOIN" | "UNION" | "EXCEPT" | "INTERSECT" => self.relations += 1,
                    "AND" | "OR" => {
                        // At most log2 of the number of conditions.
                        self.current = self.base() + 10;
                        self.conditions += 1;
                    }
                    "NOT" | "IS" | "IN" | "LIKE" | "BETWEEN" | "COLLATE" | "AT" | "CASE"
                    | "SIMILAR" | "OVER" => self.current += 1,
                    _ => {}
                }
            }
            Token::Word(_)
            | Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::EOF => {}
            _ => self.current += 1,
        }
        if self.current > EXPRESSION_DEPTH_MAX {
            return Err(SqlError::at(token.span, "the expression is too deep")
                .detail(format!(
                    "At most {EXPRESSION_DEPTH_MAX} operators may be combined"
                ))
                .hint("use IN (...) for long lists, or compute parts in a subquery"));
        }
        if self.conditions > CONDITIONS_MAX {
            return Err(SqlError::at(token.span, "the condition is too long")
                .detail(format!(
                    "At most {CONDITIONS_MAX} ANDs and ORs may be combined"
                ))
                .hint("use IN (...) for long lists"));
        }
        if self.relations > RELATIONS_MAX {
            return Err(
                SqlError::at(token.span, "too many joins and set operations")
                    .detail(format!("At most {RELATIONS_MAX} are allowed")),
            );
        }
        Ok(())
    }

    /// The depth at which what stands in the innermost parentheses begins.
    fn base(&self) -> usize {
        self.open.last().map_or(0, |depth| depth + 1)
    }
}
