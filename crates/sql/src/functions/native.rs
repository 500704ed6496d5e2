//! Functions computed here rather than by DataFusion: one [`Native`] is one
//! function with its result type and parameters fixed at planning.

use super::guard::{GuardError, Lease, TEXT_BYTES_MAX};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, StringBuilder,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int32Type, Int64Type,
};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use millstream_core::env::Clock;
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Computes a column from the arguments' columns.
pub(crate) type Body = fn(&Args<'_>) -> Result<ArrayRef>;

/// When the result is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Nulls {
    /// Exactly when an argument is.
    Strict,
    /// When an argument is, and in other cases too.
    StrictAndMore,
    /// Only when an argument is, but not always then.
    Some,
    /// Exactly when all arguments are.
    All,
    /// As the function decides.
    Own,
    /// Never.
    Never,
}

/// What is fixed at planning.
#[derive(Clone, Default)]
pub(crate) struct Params {
    /// The session's time zone.
    pub(crate) zone: Tz,
    /// A pattern, a unit, a name.
    pub(crate) text: String,
    /// Sizes, precisions.
    pub(crate) numbers: Vec<i64>,
    /// Set for functions of the current time: they are never folded.
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

/// A function with everything but its arguments.
pub(crate) struct Native {
    name: &'static str,
    body: Body,
    returns: DataType,
    nulls: Nulls,
    params: Params,
    signature: Signature,
}

impl Native {
    /// The call of a function with these arguments.
    pub(crate) fn call(
        name: &'static str,
        body: Body,
        returns: DataType,
        nulls: Nulls,
        params: Params,
        args: Vec<Expr>,
    ) -> Expr {
        let volatility = if params.clock.is_some() {
            Volatility::Volatile
        } else {
            Volatility::Immutable
        };
        let signature = match args.len() {
            0 => Signature::nullary(volatility),
            n => Signature::any(n, volatility),
        };
        let native = Self {
            name,
            body,
            returns,
            nulls,
            params,
            signature,
        };
        ScalarUDF::new_from_impl(native).call(args)
    }

    /// The function's name.
    pub(crate) fn function_name(&self) -> &'static str {
        self.name
    }

    /// What was fixed at planning.
    pub(crate) fn params(&self) -> &Params {
        &self.params
    }
}

impl ScalarUDFImpl for Native {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = match self.nulls {
            Nulls::Strict | Nulls::Some => args.arg_fields.iter().any(|f| f.is_nullable()),
            Nulls::All => args.arg_fields.iter().all(|f| f.is_nullable()),
            Nulls::Never => false,
            Nulls::StrictAndMore | Nulls::Own => true,
        };
        Ok(Arc::new(Field::new(
            self.name,
            self.returns.clone(),
            nullable,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let constant = self.params.clock.is_none()
            && !args.args.is_empty()
            && args
                .args
                .iter()
                .all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if !constant {
            return self.evaluate(args.args, rows).map(ColumnarValue::Array);
        }
        let once = self.evaluate(args.args, 1)?;
        let text_bytes = once
            .as_string_opt::<i32>()
            .map_or(0, |text| text.values().len());
        let value = ScalarValue::try_from_array(&once, 0)?;
        if text_bytes.saturating_mul(rows) <= CONSTANT_BYTES_MAX {
            return Ok(ColumnarValue::Scalar(value));
        }
        // DataFusion would repeat it without looking at any bound.
        repeated(self.name, &value, rows).map(ColumnarValue::Array)
    }
}

/// A constant text whose copies for a batch's rows take more than this is
/// repeated under the guard.
const CONSTANT_BYTES_MAX: usize = 64 * 1024;

/// A text for each row.
fn repeated(function: &'static str, value: &ScalarValue, rows: usize) -> Result<ArrayRef> {
    let ScalarValue::Utf8(Some(text)) = value else {
        return value.to_array_of_size(rows);
    };
    let mut out = TextResult::new(function, rows);
    for _ in 0..rows {
        out.push(Some(text))?;
    }
    out.finish()
}

impl Native {
    fn evaluate(&self, args: Vec<ColumnarValue>, rows: usize) -> Result<ArrayRef> {
        let columns = args
            .into_iter()
            .map(|value| match value {
                // A text is not copied for each row.
                ColumnarValue::Scalar(value @ ScalarValue::Utf8(_)) => Ok(ArgColumn {
                    array: value.to_array()?,
                    step: 0,
                }),
                other => Ok(ArgColumn {
                    array: other.into_array(rows)?,
                    step: 1,
                }),
            })
            .collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&Args {
            native: self,
            columns: &columns,
            rows,
        })?;
        debug_assert_eq!(result.data_type(), &self.returns, "{}", self.name);
        Ok(result)
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native")
            .field("name", &self.name)
            .field("returns", &self.returns)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Native {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.returns == other.returns
            && self.params.zone == other.params.zone
            && self.params.text == other.params.text
            && self.params.numbers == other.params.numbers
    }
}

impl Eq for Native {}

impl Hash for Native {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.returns.hash(state);
        self.params.zone.hash(state);
        self.params.text.hash(state);
        self.params.numbers.hash(state);
    }
}

/// An argument: a column, or a text that is the same for all rows.
struct ArgColumn {
    array: ArrayRef,
    /// From a row's value to the next row's: 1, or 0 where there is only one.
    step: usize,
}

/// An argument that is a text for each row.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    array: &'a StringArray,
    step: usize,
}

impl<'a> Texts<'a> {
    pub(crate) fn value(&self, row: usize) -> &'a str {
        self.array.value(row * self.step)
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row * self.step)
    }
}

/// A column of texts in the making, within the guard's bytes.
struct TextResult {
    out: StringBuilder,
    bytes: usize,
    lease: Lease,
}

impl TextResult {
    fn new(function: &'static str, rows: usize) -> Self {
        Self {
            out: StringBuilder::with_capacity(rows, rows * 8),
            bytes: 0,
            lease: Lease::new(function),
        }
    }

    fn push<S: AsRef<str>>(&mut self, text: Option<S>) -> Result<()> {
        self.lease.check()?;
        if let Some(text) = &text {
            self.bytes = self.bytes.saturating_add(text.as_ref().len());
            self.lease.grow_to(self.bytes)?;
        }
        self.out.append_option(text);
        Ok(())
    }

    fn finish(mut self) -> Result<ArrayRef> {
        self.lease.hold(self.out.finish())
    }
}

/// One evaluation: the arguments' columns, all for `rows` rows.
pub(crate) struct Args<'a> {
    native: &'a Native,
    columns: &'a [ArgColumn],
    rows: usize,
}

impl<'a> Args<'a> {
    pub(crate) fn params(&self) -> &'a Params {
        &self.native.params
    }

    pub(crate) fn returns(&self) -> &'a DataType {
        &self.native.returns
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    fn column(&self, at: usize) -> Result<&'a ArgColumn> {
        match self.columns.get(at) {
            Some(column) => Ok(column),
            None => exec_err!("{}: argument {at} is missing", self.native.name),
        }
    }

    /// An argument that is no text, as a column.
    pub(crate) fn array(&self, at: usize) -> Result<&'a ArrayRef> {
        Ok(&self.column(at)?.array)
    }

    pub(crate) fn text(&self, at: usize) -> Result<Texts<'a>> {
        let column = self.column(at)?;
        match column.array.as_string_opt::<i32>() {
            Some(array) => Ok(Texts {
                array,
                step: column.step,
            }),
            None => Err(self.wrong(at)),
        }
    }

    /// An argument that is a column of texts, not one text for all rows.
    pub(crate) fn text_column(&self, at: usize) -> Option<&'a StringArray> {
        let column = self.columns.get(at).filter(|column| column.step == 1)?;
        column.array.as_string_opt::<i32>()
    }

    /// Refuses a text of this many bytes for one row, before it is made.
    pub(crate) fn fits(&self, bytes: usize) -> Result<()> {
        if bytes > TEXT_BYTES_MAX {
            return Err(GuardError::TextTooLong {
                function: self.native.name,
            }
            .into());
        }
        Ok(())
    }

    pub(crate) fn int(&self, at: usize) -> Result<&'a Int32Array> {
        let array = self.array(at)?;
        array
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| self.wrong(at))
    }

    pub(crate) fn bigint(&self, at: usize) -> Result<&'a Int64Array> {
        let array = self.array(at)?;
        array
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| self.wrong(at))
    }

    pub(crate) fn double(&self, at: usize) -> Result<&'a Float64Array> {
        let array = self.array(at)?;
        array
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| self.wrong(at))
    }

    pub(crate) fn decimal(&self, at: usize) -> Result<&'a Decimal128Array> {
        let array = self.array(at)?;
        array
            .as_primitive_opt::<Decimal128Type>()
            .ok_or_else(|| self.wrong(at))
    }

    fn wrong(&self, at: usize) -> DataFusionError {
        DataFusionError::Internal(format!(
            "{}: argument {at} has a wrong type",
            self.native.name
        ))
    }

    /// Whether the row needs no evaluation, because an argument is NULL.
    fn skipped(&self, row: usize) -> bool {
        matches!(self.native.nulls, Nulls::Strict | Nulls::StrictAndMore)
            && self.columns.iter().any(|c| c.array.is_null(row * c.step))
    }

    pub(crate) fn build<T, F>(&self, mut each: F) -> Result<Vec<Option<T>>>
    where
        F: FnMut(usize) -> Result<Option<T>>,
    {
        let mut lease = Lease::new(self.native.name);
        let mut out = Vec::with_capacity(self.rows);
        for row in 0..self.rows {
            lease.check()?;
            out.push(if self.skipped(row) { None } else { each(row)? });
        }
        Ok(out)
    }

    pub(crate) fn texts<S, F>(&self, mut each: F) -> Result<ArrayRef>
    where
        S: AsRef<str>,
        F: FnMut(usize) -> Result<Option<S>>,
    {
        let mut out = TextResult::new(self.native.name, self.rows);
        for row in 0..self.rows {
            out.push(if self.skipped(row) { None } else { each(row)? })?;
        }
        out.finish()
    }

    pub(crate) fn bools<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<bool>>,
    {
        Ok(Arc::new(BooleanArray::from(self.build(each)?)))
    }

    pub(crate) fn ints<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<i32>>,
    {
        Ok(Arc::new(Int32Array::from(self.build(each)?)))
    }

    pub(crate) fn bigints<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<i64>>,
    {
        Ok(Arc::new(Int64Array::from(self.build(each)?)))
    }

    pub(crate) fn doubles<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<f64>>,
    {
        Ok(Arc::new(Float64Array::from(self.build(each)?)))
    }

    pub(crate) fn decimals<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<i128>>,
    {
        let array = Decimal128Array::from(self.build(each)?);
        Ok(Arc::new(array.with_data_type(self.native.returns.clone())))
    }

    /// 64-bit values kept as the result's type: timestamps of any unit.
    pub(crate) fn instants<F>(&self, each: F) -> Result<ArrayRef>
    where
        F: FnMut(usize) -> Result<Option<i64>>,
    {
        let array = Int64Array::from(self.build(each)?);
        Ok(arrow::compute::cast(&array, &self.native.returns)?)
    }

    /// Whatever 64-bit integers a timestamp column holds.
    pub(crate) fn instant_values(&self, at: usize) -> Result<Int64Array> {
        let array = arrow::compute::cast(self.array(at)?, &DataType::Int64)?;
        array
            .as_primitive_opt::<Int64Type>()
            .cloned()
            .ok_or_else(|| self.wrong(at))
    }
}
