//! The functions that SQL may call: `FUNCTIONS` is the whole list. A new
//! one is a line there and a function in the file of its family.
//!
//! Each `bind` checks and converts the arguments and gives the expression;
//! what DataFusion computes as Flink does is left to it, the rest is
//! `native::Native`.

pub(crate) mod aggregate;
pub(crate) mod call;
pub(crate) mod cast;
pub(crate) mod choice;
pub(crate) mod clock;
pub(crate) mod conditional;
pub(crate) mod datetime;
pub(crate) mod decimal;
pub mod guard;
pub(crate) mod held;
pub(crate) mod integer;
pub(crate) mod java_date;
pub(crate) mod json;
pub(crate) mod math;
pub(crate) mod native;
pub(crate) mod number;
pub(crate) mod patterns;
pub(crate) mod regex;
pub(crate) mod string;
pub(crate) mod temporal;
pub(crate) mod window;

use crate::error::SqlError;
pub(crate) use call::Call;
use datafusion::logical_expr::Expr;

/// A value as a message shows it.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    if text.chars().nth(CHARS_MAX).is_none() {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{start}...")
}

/// One function, for `SHOW FUNCTIONS` and the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Every function, in the order of `SHOW FUNCTIONS`.
pub fn list() -> Vec<FunctionInfo> {
    let mut all: Vec<_> = FUNCTIONS.iter().map(|f| f.info).collect();
    all.sort_by_key(|f| f.name);
    all
}

type Bind = fn(&mut Call<'_>) -> Result<Expr, SqlError>;

enum Kind {
    Scalar(Bind),
    /// The first argument is a unit of time, written as a word.
    WithUnit(Bind),
    Aggregate,
    /// A window table function, called in FROM only.
    Table,
}

struct Function {
    info: FunctionInfo,
    /// Fewest and most arguments.
    arity: (usize, usize),
    kind: Kind,
}

const fn scalar(
    name: &'static str,
    arity: (usize, usize),
    bind: Bind,
    usage: &'static str,
    about: &'static str,
) -> Function {
    Function {
        info: FunctionInfo { name, usage, about },
        arity,
        kind: Kind::Scalar(bind),
    }
}

const fn of_kind(
    kind: Kind,
    name: &'static str,
    arity: (usize, usize),
    usage: &'static str,
    about: &'static str,
) -> Function {
    Function {
        info: FunctionInfo { name, usage, about },
        arity,
        kind,
    }
}

/// No bound on the number of arguments but the text's length.
const MANY: usize = usize::MAX;

/// THE list.
#[rustfmt::skip]
const FUNCTIONS: &[Function] = &[
    // aggregates
    of_kind(Kind::Aggregate, "COUNT", (0, 1), "COUNT(*), COUNT([DISTINCT] x)", "number of rows, or of values that are not NULL"),
    of_kind(Kind::Aggregate, "SUM", (1, 1), "SUM(x)", "sum, in the type of x"),
    of_kind(Kind::Aggregate, "AVG", (1, 1), "AVG(x)", "average, in the type of x"),
    of_kind(Kind::Aggregate, "MIN", (1, 1), "MIN(x)", "smallest value"),
    of_kind(Kind::Aggregate, "MAX", (1, 1), "MAX(x)", "largest value"),
    // window table functions
    of_kind(Kind::Table, "TUMBLE", (3, 4), "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND[, offset]))", "rows with the window_start, window_end, window_time of their window"),
    // conditional
    scalar("COALESCE", (1, MANY), conditional::coalesce, "COALESCE(a, b, ...)", "first value that is not NULL"),
    scalar("NULLIF", (2, 2), conditional::nullif, "NULLIF(a, b)", "NULL if a = b, else a"),
    scalar("IFNULL", (2, 2), conditional::coalesce, "IFNULL(a, b)", "b if a is NULL, else a"),
    scalar("IF", (3, 3), conditional::if_, "IF(condition, a, b)", "a if the condition is true, else b"),
    scalar("GREATEST", (1, MANY), conditional::greatest, "GREATEST(a, b, ...)", "largest; NULL if any is NULL"),
    scalar("LEAST", (1, MANY), conditional::least, "LEAST(a, b, ...)", "smallest; NULL if any is NULL"),
    // strings
    scalar("UPPER", (1, 1), string::upper, "UPPER(s)", "in upper case"),
    scalar("LOWER", (1, 1), string::lower, "LOWER(s)", "in lower case"),
    scalar("INITCAP", (1, 1), string::initcap, "INITCAP(s)", "each word with a capital"),
    scalar("TRIM", (1, 2), string::trim, "TRIM([BOTH | LEADING | TRAILING] [characters FROM] s)", "without the characters at its ends"),
    scalar("LTRIM", (1, 2), string::ltrim, "LTRIM(s[, characters])", "without the characters at its start"),
    scalar("RTRIM", (1, 2), string::rtrim, "RTRIM(s[, characters])", "without the characters at its end"),
    scalar("BTRIM", (1, 2), string::trim, "BTRIM(s[, characters])", "without the characters at its ends"),
    scalar("SUBSTRING", (2, 3), string::substring, "SUBSTRING(s FROM start [FOR length])", "part of s, counted from 1"),
    scalar("SUBSTR", (2, 3), string::substring, "SUBSTR(s, start[, length])", "part of s, counted from 1"),
    scalar("LEFT", (2, 2), string::left, "LEFT(s, n)", "first n characters"),
    scalar("RIGHT", (2, 2), string::right, "RIGHT(s, n)", "last n characters"),
    scalar("POSITION", (2, 2), string::position, "POSITION(part IN s)", "where part begins in s, from 1; 0 if nowhere"),
    scalar("LOCATE", (2, 3), string::locate, "LOCATE(part, s[, start])", "where part begins in s, from 1; 0 if nowhere"),
    scalar("INSTR", (2, 2), string::instr, "INSTR(s, part)", "where part begins in s, from 1; 0 if nowhere"),
    scalar("REPLACE", (3, 3), string::replace, "REPLACE(s, part, by)", "s with every part replaced"),
    scalar("CONCAT", (1, MANY), string::concat, "CONCAT(a, b, ...)", "joined; NULL if any is NULL"),
    scalar("CONCAT_WS", (2, MANY), string::concat_ws, "CONCAT_WS(separator, a, b, ...)", "joined with a separator, without NULLs"),
    scalar("CHAR_LENGTH", (1, 1), string::char_length, "CHAR_LENGTH(s)", "number of characters"),
    scalar("CHARACTER_LENGTH", (1, 1), string::char_length, "CHARACTER_LENGTH(s)", "number of characters"),
    scalar("LPAD", (3, 3), string::lpad, "LPAD(s, length, pad)", "filled up or cut to a length, from the left"),
    scalar("RPAD", (3, 3), string::rpad, "RPAD(s, length, pad)", "filled up or cut to a length, from the right"),
    scalar("REPEAT", (2, 2), string::repeat, "REPEAT(s, n)", "s n times"),
    scalar("REVERSE", (1, 1), string::reverse, "REVERSE(s)", "backwards"),
    scalar("ASCII", (1, 1), string::ascii, "ASCII(s)", "code of the first character"),
    scalar("SPLIT_INDEX", (3, 3), string::split_index, "SPLIT_INDEX(s, separator, index)", "part of s between separators, from 0"),
    scalar("STARTSWITH", (2, 2), string::startswith, "STARTSWITH(s, start)", "whether s begins with start"),
    scalar("ENDSWITH", (2, 2), string::endswith, "ENDSWITH(s, end)", "whether s ends with end"),
    scalar("REGEXP", (2, 2), regex::regexp, "REGEXP(s, pattern)", "whether any part of s matches"),
    scalar("REGEXP_EXTRACT", (2, 3), regex::regexp_extract, "REGEXP_EXTRACT(s, pattern[, group])", "what the pattern's group matched"),
    scalar("REGEXP_REPLACE", (3, 3), regex::regexp_replace, "REGEXP_REPLACE(s, pattern, by)", "s with every match replaced"),
    scalar("JSON_VALUE", (2, 2), json::json_value, "JSON_VALUE(text, '$.path')", "the scalar at a path, as STRING; NULL if none"),
    // numbers
    scalar("ABS", (1, 1), math::abs, "ABS(x)", "without its sign"),
    scalar("CEIL", (1, 2), math::ceil, "CEIL(x), CEIL(ts TO unit)", "rounded up"),
    scalar("CEILING", (1, 1), math::ceil, "CEILING(x)", "rounded up"),
    scalar("FLOOR", (1, 2), math::floor, "FLOOR(x), FLOOR(ts TO unit)", "rounded down"),
    scalar("ROUND", (1, 2), math::round, "ROUND(x[, digits])", "rounded half up"),
    scalar("TRUNCATE", (1, 2), math::truncate, "TRUNCATE(x[, digits])", "cut to digits"),
    scalar("MOD", (2, 2), math::modulo, "MOD(a, b)", "remainder, with the sign of a"),
    scalar("POWER", (2, 2), math::power, "POWER(x, y)", "x to the power of y"),
    scalar("SQRT", (1, 1), math::sqrt, "SQRT(x)", "square root"),
    scalar("EXP", (1, 1), math::exp, "EXP(x)", "e to the power of x"),
    scalar("LN", (1, 1), math::ln, "LN(x)", "natural logarithm"),
    scalar("LOG10", (1, 1), math::log10, "LOG10(x)", "logarithm to base 10"),
    scalar("LOG2", (1, 1), math::log2, "LOG2(x)", "logarithm to base 2"),
    scalar("SIGN", (1, 1), math::sign, "SIGN(x)", "-1, 0 or 1 in the type of x"),
    scalar("PI", (0, 0), math::pi, "PI()", "3.14159..."),
    // dates and times
    scalar("CURRENT_TIMESTAMP", (0, 0), clock::current_timestamp, "CURRENT_TIMESTAMP", "now, for each batch of rows anew"),
    scalar("NOW", (0, 0), clock::current_timestamp, "NOW()", "now, for each batch of rows anew"),
    scalar("CURRENT_ROW_TIMESTAMP", (0, 0), clock::current_timestamp, "CURRENT_ROW_TIMESTAMP()", "now, for each batch of rows anew"),
    scalar("LOCALTIMESTAMP", (0, 0), clock::local_timestamp, "LOCALTIMESTAMP", "now in the session's time zone"),
    scalar("CURRENT_DATE", (0, 0), clock::current_date, "CURRENT_DATE", "today in the session's time zone"),
    scalar("EXTRACT", (2, 2), temporal::extract, "EXTRACT(unit FROM t)", "a part of a date or time"),
    scalar("YEAR", (1, 1), temporal::year, "YEAR(t)", "its year"),
    scalar("QUARTER", (1, 1), temporal::quarter, "QUARTER(t)", "its quarter, 1 to 4"),
    scalar("MONTH", (1, 1), temporal::month, "MONTH(t)", "its month, 1 to 12"),
    scalar("WEEK", (1, 1), temporal::week, "WEEK(t)", "its ISO week, 1 to 53"),
    scalar("DAYOFYEAR", (1, 1), temporal::day_of_year, "DAYOFYEAR(t)", "its day of the year, from 1"),
    scalar("DAYOFMONTH", (1, 1), temporal::day_of_month, "DAYOFMONTH(t)", "its day of the month, from 1"),
    scalar("DAYOFWEEK", (1, 1), temporal::day_of_week, "DAYOFWEEK(t)", "its day of the week, 1 is Sunday"),
    scalar("HOUR", (1, 1), temporal::hour, "HOUR(t)", "its hour, 0 to 23"),
    scalar("MINUTE", (1, 1), temporal::minute, "MINUTE(t)", "its minute"),
    scalar("SECOND", (1, 1), temporal::second, "SECOND(t)", "its second"),
    scalar("DATE_FORMAT", (2, 2), temporal::date_format, "DATE_FORMAT(t, 'yyyy-MM-dd HH:mm:ss')", "as text, by a Java pattern"),
    scalar("TO_DATE", (1, 2), temporal::to_date, "TO_DATE(s[, pattern])", "a date from text; NULL if it is none"),
    scalar("TO_TIMESTAMP", (1, 2), temporal::to_timestamp, "TO_TIMESTAMP(s[, pattern])", "a TIMESTAMP(3) from text; NULL if it is none"),
    scalar("TO_TIMESTAMP_LTZ", (1, 2), temporal::to_timestamp_ltz, "TO_TIMESTAMP_LTZ(number, 0 | 3)", "a TIMESTAMP_LTZ(3) from epoch seconds or milliseconds"),
    scalar("UNIX_TIMESTAMP", (0, 2), temporal::unix_timestamp, "UNIX_TIMESTAMP([s[, pattern]])", "epoch seconds, now or of a text in the session's time zone"),
    scalar("FROM_UNIXTIME", (1, 2), temporal::from_unixtime, "FROM_UNIXTIME(seconds[, pattern])", "text of epoch seconds in the session's time zone"),
    of_kind(Kind::WithUnit(temporal::timestamp_diff), "TIMESTAMPDIFF", (3, 3), "TIMESTAMPDIFF(unit, from, to)", "whole units between two times"),
    of_kind(Kind::WithUnit(temporal::timestamp_add), "TIMESTAMPADD", (3, 3), "TIMESTAMPADD(unit, n, t)", "a time n units later"),
];

fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .iter()
        .find(|f| f.info.name.eq_ignore_ascii_case(name))
}

/// Whether a name is an aggregate's.
pub(crate) fn is_aggregate(name: &str) -> bool {
    find(name).is_some_and(|f| matches!(f.kind, Kind::Aggregate))
}

/// Whether a function's first argument is a unit of time.
pub(crate) fn takes_unit(name: &str) -> bool {
    find(name).is_some_and(|f| matches!(f.kind, Kind::WithUnit(_)))
}

/// Looks a scalar function up and binds the call.
pub(crate) fn bind(mut call: Call<'_>) -> Result<Expr, SqlError> {
    let Some(function) = find(call.name) else {
        return Err(unknown(&call));
    };
    let (min, max) = function.arity;
    let bind = match &function.kind {
        Kind::Scalar(bind) | Kind::WithUnit(bind) => bind,
        Kind::Aggregate | Kind::Table => {
            return Err(call
                .error(format!("{} cannot be called here", function.info.name))
                .hint(format!("it is used as {}", function.info.usage)));
        }
    };
    if call.args.len() < min || call.args.len() > max {
        return Err(call
            .error(format!(
                "{} does not take {} arguments",
                function.info.name,
                call.args.len()
            ))
            .hint(format!("it is used as {}", function.info.usage)));
    }
    call.name = function.info.name;
    bind(&mut call)
}

fn unknown(call: &Call<'_>) -> SqlError {
    let name = call.name.to_ascii_uppercase();
    let error = call.error(format!("there is no function {name}"));
    let hint = match name.as_str() {
        "HOP" | "CUMULATE" | "SESSION" => "TUMBLE is the window table function there is",
        "TUMBLE_START" | "TUMBLE_END" | "TUMBLE_ROWTIME" => {
            "use TABLE(TUMBLE(...)) with window_start and window_end"
        }
        "PROCTIME" => "use event time with WATERMARK FOR, or CURRENT_TIMESTAMP",
        "DATE_TRUNC" => "use FLOOR(ts TO HOUR)",
        "LENGTH" | "LEN" => "use CHAR_LENGTH",
        "NVL" => "use COALESCE",
        "STRPOS" => "use POSITION(part IN s)",
        "DATEDIFF" => "use TIMESTAMPDIFF(DAY, from, to)",
        "POW" => "use POWER",
        _ => {
            return error
                .hint("SHOW FUNCTIONS lists what can be called")
                .meant(&name, FUNCTIONS.iter().map(|f| f.info.name));
        }
    };
    error.hint(hint)
}
