//! Numbers as text: exact decimals, and doubles as Java prints them.

/// The unscaled value of `text` at `scale`, rounded half up as Flink's
/// `DecimalData.fromBigDecimal` does. `Ok(None)` when it needs more than
/// `precision` digits (Flink gives NULL), `Err` when it is no number.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<Option<i128>, ()> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            let exponent: i32 = text[at + 1..].parse().map_err(|_| ())?;
            (&text[..at], exponent)
        }
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(());
    }
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|b| b.is_ascii_digit())
    {
        return Err(());
    }
    // The point stands after this many digits of whole+fraction at scale 0.
    let keep = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let digits = || whole.bytes().chain(fraction.bytes()).map(|b| b - b'0');
    let limit = 10_i128.checked_pow(u32::from(precision)).ok_or(())?;
    let mut unscaled: i128 = 0;
    for digit in digits().take(usize::try_from(keep.max(0)).unwrap_or(usize::MAX)) {
        // One digit over the limit is already out of range; going on could
        // overflow.
        if unscaled >= limit {
            return Ok(None);
        }
        unscaled = unscaled * 10 + i128::from(digit);
    }
    let have = (whole.len() + fraction.len()) as i64;
    for _ in have..keep {
        if unscaled == 0 {
            break;
        }
        if unscaled >= limit {
            return Ok(None);
        }
        unscaled *= 10;
    }
    if keep >= 0 {
        let next = usize::try_from(keep).ok().and_then(|at| digits().nth(at));
        if next.is_some_and(|d| d >= 5) {
            unscaled += 1;
        }
    }
    if unscaled >= limit {
        return Ok(None);
    }
    Ok(Some(if negative { -unscaled } else { unscaled }))
}

/// `BigDecimal.toPlainString`.
pub(super) fn decimal_plain(unscaled: i128, scale: i8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    if scale <= 0 {
        let zeros = if unscaled == 0 {
            0
        } else {
            usize::from(scale.unsigned_abs())
        };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = usize::from(scale.unsigned_abs());
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// `BigDecimal.stripTrailingZeros().toString()`: what Flink's JSON writes
/// unless `encode.decimal-as-plain-number` is set. 100 becomes `1E+2`.
pub(super) fn decimal_stripped(unscaled: i128, scale: i8) -> String {
    if unscaled == 0 {
        return "0".to_owned();
    }
    let (mut unscaled, mut scale) = (unscaled, i32::from(scale));
    while unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    big_decimal(unscaled, scale)
}

fn big_decimal(unscaled: i128, scale: i32) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let adjusted = digits.len() as i32 - 1 - scale;
    if scale >= 0 && adjusted >= -6 {
        return decimal_plain(unscaled, i8::try_from(scale).unwrap_or(i8::MAX));
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{adjusted:+}")
}

/// `Double.toString`: a fraction digit always, scientific below 1e-3 and from
/// 1e7 on. `NaN`, `Infinity` and `-Infinity` by those names.
pub(super) fn java_double(value: f64) -> String {
    java_float(value, format!("{value:e}"))
}

/// `Float.toString`.
pub(super) fn java_single(value: f32) -> String {
    java_float(f64::from(value), format!("{value:e}"))
}

fn java_float(value: f64, scientific: String) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if value != 0.0 && !(-3..7).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        return format!("{sign}{first}.{rest}E{exponent}");
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole_digits = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole_digits {
        let zeros = "0".repeat(whole_digits - digits.len());
        return format!("{sign}{digits}{zeros}.0");
    }
    let (whole, fraction) = digits.split_at(whole_digits);
    format!("{sign}{whole}.{fraction}")
}

/// Java's `Double.parseDouble`, whose names for the odd values differ from
/// Rust's.
pub(super) fn parse_java_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_round_half_up() {
        assert_eq!(parse_decimal("12.345", 10, 2), Ok(Some(1235)));
        assert_eq!(parse_decimal("-12.345", 10, 2), Ok(Some(-1235)));
        assert_eq!(parse_decimal("1e3", 10, 2), Ok(Some(100_000)));
        assert_eq!(parse_decimal("0.0049", 10, 2), Ok(Some(0)));
        assert_eq!(parse_decimal("0.005", 10, 2), Ok(Some(1)));
        assert_eq!(parse_decimal("5e-3", 10, 2), Ok(Some(1)));
        assert_eq!(
            parse_decimal("99999999999999999999999999999999999999", 38, 0),
            Ok(Some(10_i128.pow(38) - 1))
        );
        assert_eq!(parse_decimal("100", 4, 2), Ok(None));
        assert_eq!(parse_decimal("1e999999999", 4, 2), Ok(None));
        assert_eq!(parse_decimal("0e999999999", 4, 2), Ok(Some(0)));
        assert_eq!(parse_decimal("1e-999999999", 4, 2), Ok(Some(0)));
        assert_eq!(parse_decimal("", 4, 2), Err(()));
        assert_eq!(parse_decimal("1.2.3", 4, 2), Err(()));
        assert_eq!(parse_decimal("abc", 4, 2), Err(()));
    }

    #[test]
    fn decimals_print_as_big_decimal_does() {
        assert_eq!(decimal_plain(-5, 2), "-0.05");
        assert_eq!(decimal_plain(12345, 2), "123.45");
        assert_eq!(decimal_stripped(10_000, 2), "1E+2");
        assert_eq!(decimal_stripped(12_340, 2), "123.4");
        assert_eq!(decimal_stripped(1, 9), "1E-9");
        assert_eq!(decimal_stripped(0, 2), "0");
    }

    #[test]
    fn doubles_print_as_java_does() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (123.456, "123.456"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1_234_567.0, "1234567.0"),
        ] {
            assert_eq!(java_double(value), text);
        }
        assert_eq!(java_single(0.1), "0.1");
    }
}
