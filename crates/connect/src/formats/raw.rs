//! The `raw` format (Flink: Formats, Raw), for reading: the bytes are the
//! value of the one column, as keys often are.
//!
//! Options: `charset` (UTF-8), `endianness`. A null is NULL.

use super::column::Cell;
use super::options::Options;
use super::rows::Rows;
use super::scalar::type_name;
use super::{Decoded, Decoder, FormatError};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The format's name.
pub(super) const NAME: &str = "raw";

#[derive(Debug, Clone, Copy)]
enum Endianness {
    Big,
    Little,
}

/// Decodes bytes into one column.
pub(super) struct RawDecoder {
    schema: SchemaRef,
    data_type: DataType,
    nullable: bool,
    endianness: Endianness,
}

impl RawDecoder {
    pub(super) fn new(
        given: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, FormatError> {
        let mut options = Options::new(NAME, given);
        options.choice("charset", &[("UTF-8", ())], ())?;
        let orders = [
            ("big-endian", Endianness::Big),
            ("little-endian", Endianness::Little),
        ];
        let endianness = options.choice("endianness", &orders, Endianness::Big)?;
        let [field] = &schema.fields()[..] else {
            return Err(options.error(format!(
                "the bytes are one column, the table has {}: use 'json' or 'csv'",
                schema.fields().len()
            )));
        };
        options.finish()?;
        if !matches!(
            field.data_type(),
            DataType::Utf8
                | DataType::Binary
                | DataType::Boolean
                | DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
        ) {
            return Err(FormatError::Type {
                format: NAME.to_owned(),
                column: field.name().clone(),
                data_type: type_name(field.data_type()),
            });
        }
        Ok(Self {
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            endianness,
            schema,
        })
    }

    fn cell<'a>(&self, bytes: Option<&'a Bytes>) -> Result<Cell<'a>, String> {
        let Some(bytes) = bytes else {
            return if self.nullable {
                Ok(Cell::Null)
            } else {
                Err("NULL, but NOT NULL".to_owned())
            };
        };
        match &self.data_type {
            DataType::Utf8 => std::str::from_utf8(bytes)
                .map(|text| Cell::Text(Cow::Borrowed(text)))
                .map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to())),
            DataType::Binary => Ok(Cell::Bytes(bytes.to_vec())),
            DataType::Boolean => Ok(Cell::Bool(self.number::<1>(bytes)? != [0])),
            DataType::Int8 => Ok(Cell::Int(i8::from_be_bytes(self.number(bytes)?).into())),
            DataType::Int16 => Ok(Cell::Int(i16::from_be_bytes(self.number(bytes)?).into())),
            DataType::Int32 => Ok(Cell::Int(i32::from_be_bytes(self.number(bytes)?).into())),
            DataType::Int64 => Ok(Cell::Int(i64::from_be_bytes(self.number(bytes)?))),
            DataType::Float32 => Ok(Cell::Single(f32::from_be_bytes(self.number(bytes)?))),
            DataType::Float64 => Ok(Cell::Double(f64::from_be_bytes(self.number(bytes)?))),
            other => Err(format!("cannot be read as {}", type_name(other))),
        }
    }

    /// The bytes of a number, the most significant first.
    fn number<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N], String> {
        let mut number: [u8; N] = bytes.try_into().map_err(|_| {
            let expected = type_name(&self.data_type);
            format!("{} bytes, {expected} has {N}", bytes.len())
        })?;
        if matches!(self.endianness, Endianness::Little) {
            number.reverse();
        }
        Ok(number)
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, values: &[Option<Bytes>]) -> Result<Decoded, FormatError> {
        let mut rows = Rows::new(NAME, &self.schema, false)?;
        for (index, value) in values.iter().enumerate() {
            rows.add(index, self.cell(value.as_ref()).map(|cell| vec![cell]));
        }
        rows.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use std::sync::Arc;

    fn decoder(data_type: DataType, options: &[(&str, &str)]) -> Result<RawDecoder, FormatError> {
        let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let schema = Schema::new(vec![Field::new("k", data_type, true)]);
        RawDecoder::new(&options.collect(), Arc::new(schema))
    }

    fn bytes(of: &'static [u8]) -> Option<Bytes> {
        Some(Bytes::from_static(of))
    }

    #[test]
    fn text_is_read_as_it_is_and_a_null_is_null() {
        let values = [bytes("华东".as_bytes()), None, bytes(b"\xff"), bytes(b"")];
        let read = decoder(DataType::Utf8, &[])
            .unwrap()
            .decode(&values)
            .unwrap();
        assert_eq!(read.rows, [0, 1, 3]);
        assert_eq!(read.failures[0].index, 2);
        let column = read.batch.column(0).as_string::<i32>();
        assert_eq!((column.value(0), column.value(2)), ("华东", ""));
        assert!(column.is_null(1));
    }

    #[test]
    fn numbers_are_big_endian_unless_said_otherwise() {
        let values = [bytes(&[0, 0, 0, 0, 0, 0, 1, 2]), bytes(&[1])];
        let of = |options: &[(&str, &str)]| {
            let mut decoder = decoder(DataType::Int64, options).unwrap();
            let read = decoder.decode(&values).unwrap();
            assert_eq!(read.failures[0].reason, "1 bytes, BIGINT has 8");
            read.batch.column(0).as_primitive::<Int64Type>().value(0)
        };
        assert_eq!(of(&[]), 258);
        assert_eq!(
            of(&[("endianness", "little-endian")]),
            0x0201_0000_0000_0000
        );
    }

    #[test]
    fn more_columns_other_types_and_other_options_are_refused() {
        let fields = ["a", "b"].map(|name| Field::new(name, DataType::Utf8, true));
        let two = RawDecoder::new(&BTreeMap::new(), Arc::new(Schema::new(fields.to_vec())));
        assert!(two.err().unwrap().to_string().contains("the table has 2"));
        assert!(decoder(DataType::Date32, &[]).is_err());
        assert!(decoder(DataType::Utf8, &[("charset", "UTF-16")]).is_err());
        assert!(decoder(DataType::Utf8, &[("no", "1")]).is_err());
    }
}
