//! Texts that DataFusion makes and does not count: a literal is repeated for
//! each row, a CASE copies what it picks.

use super::call::native;
use super::guard::Lease;
use super::native::{Args, Native, Nulls};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;

/// Literals up to this many bytes take about as much as numbers do.
const SMALL_BYTES_MAX: usize = 16;

/// An expression whose column of texts is counted by the guard.
pub(crate) fn held(expr: Expr, data_type: &DataType) -> Expr {
    if data_type != &DataType::Utf8 || is_counted(&expr) {
        return expr;
    }
    let name = match &expr {
        Expr::Literal(..) => "a literal",
        _ => "CASE",
    };
    native(name, hold, DataType::Utf8, Nulls::Strict, vec![expr])
}

fn is_counted(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.len() <= SMALL_BYTES_MAX,
        Expr::ScalarFunction(call) => call.func.inner().as_any().is::<Native>(),
        Expr::Case(_) => false,
        // What is read is not copied.
        _ => true,
    }
}

fn hold(args: &Args<'_>) -> Result<ArrayRef> {
    match args.text_column(0) {
        Some(column) => Lease::new("CASE").hold(column.clone()),
        None => {
            let text = args.text(0)?;
            args.texts(|row| Ok(Some(text.value(row))))
        }
    }
}
