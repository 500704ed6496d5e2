//! What `sqlparser` must know of Flink's dialect to parse expressions and
//! queries.

use super::data_type::parse_type;
use sqlparser::ast::{CastKind, DataType, Expr, Ident, ObjectName};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Flink's dialect (Calcite's JAVA lexer: backticks quote, case matters).
#[derive(Debug)]
pub(crate) struct FlinkDialect;

/// `TABLE t` as an argument of a window table function, as an expression.
pub(crate) const TABLE_PREFIX: &str = "TABLE";

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if parser.peek_keyword(Keyword::TABLE)
            && matches!(parser.peek_nth_token(1).token, Token::Word(_))
        {
            return Some(parse_table_argument(parser));
        }
        for (keyword, kind) in [
            (Keyword::CAST, CastKind::Cast),
            (Keyword::TRY_CAST, CastKind::TryCast),
        ] {
            if parser.peek_keyword(keyword) && parser.peek_nth_token(1).token == Token::LParen {
                return Some(parse_cast(parser, kind));
            }
        }
        None
    }
}

fn parse_table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let prefix = parser.next_token();
    let mut name = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        name.push(parser.parse_identifier()?);
    }
    Ok(Expr::Prefixed {
        prefix: Ident::with_span(prefix.span, TABLE_PREFIX),
        value: Box::new(Expr::CompoundIdentifier(name)),
    })
}

/// CAST with Flink's types: the type travels as its canonical name.
fn parse_cast(parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let span = parser.peek_token_ref().span;
    let data_type = parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    let name = Ident::with_span(span, data_type.name);
    Ok(Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type: DataType::Custom(ObjectName::from(vec![name]), Vec::new()),
        array: false,
        format: None,
    })
}
