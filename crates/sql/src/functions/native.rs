//! Functions computed here rather than by DataFusion: one [`Native`] is one
//! function with its result type and parameters fixed at planning.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, StringBuilder,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Float64Type, Int32Type, Int64Type,
};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result, exec_err};
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
            Nulls::Strict => args.arg_fields.iter().any(|f| f.is_nullable()),
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
        let arrays = args
            .args
            .into_iter()
            .map(|value| value.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&Args {
            native: self,
            arrays: &arrays,
            rows,
        })?;
        debug_assert_eq!(result.data_type(), &self.returns, "{}", self.name);
        Ok(ColumnarValue::Array(result))
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

/// One evaluation: the arguments' columns, all of `rows` rows.
pub(crate) struct Args<'a> {
    native: &'a Native,
    arrays: &'a [ArrayRef],
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
        self.arrays.len()
    }

    pub(crate) fn array(&self, at: usize) -> Result<&'a ArrayRef> {
        match self.arrays.get(at) {
            Some(array) => Ok(array),
            None => exec_err!("{}: argument {at} is missing", self.native.name),
        }
    }

    pub(crate) fn text(&self, at: usize) -> Result<&'a StringArray> {
        let array = self.array(at)?;
        array.as_string_opt::<i32>().ok_or_else(|| self.wrong(at))
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
            && self.arrays.iter().any(|a| a.is_null(row))
    }

    pub(crate) fn build<T, F>(&self, mut each: F) -> Result<Vec<Option<T>>>
    where
        F: FnMut(usize) -> Result<Option<T>>,
    {
        let mut out = Vec::with_capacity(self.rows);
        for row in 0..self.rows {
            out.push(if self.skipped(row) { None } else { each(row)? });
        }
        Ok(out)
    }

    pub(crate) fn texts<S, F>(&self, mut each: F) -> Result<ArrayRef>
    where
        S: AsRef<str>,
        F: FnMut(usize) -> Result<Option<S>>,
    {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            if self.skipped(row) {
                out.append_null();
            } else {
                out.append_option(each(row)?);
            }
        }
        Ok(Arc::new(out.finish()))
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
