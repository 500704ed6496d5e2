use super::*;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};
use arrow::json::LineDelimitedWriter;
use proptest::prelude::*;
use std::sync::Arc;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn timestamp(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, zone.map(Arc::from))
}

fn all_types() -> SchemaRef {
    let map = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int32, true),
    ]));
    let row = DataType::Struct(Fields::from(vec![
        Field::new("x", DataType::Int32, true),
        Field::new("y", DataType::Utf8, true),
    ]));
    schema(vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("i", DataType::Int32, true),
        Field::new("l", DataType::Int64, true),
        Field::new("d", DataType::Float64, true),
        Field::new("n", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("y", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("tm", DataType::Time32(TimeUnit::Millisecond), true),
        Field::new("ts", timestamp(None), true),
        Field::new("at", timestamp(Some("UTC")), true),
        Field::new("list", DataType::new_list(DataType::Int32, true), true),
        Field::new(
            "map",
            DataType::Map(Arc::new(Field::new("entries", map, false)), false),
            true,
        ),
        Field::new("row", row, true),
    ])
}

fn decode(name: &str, opts: &[(&str, &str)], schema: SchemaRef, values: &[&str]) -> Decoded {
    let values: Vec<_> = values
        .iter()
        .map(|v| Some(Bytes::copy_from_slice(v.as_bytes())))
        .collect();
    decoder(name, &options(opts), schema)
        .unwrap()
        .decode(&values)
        .unwrap()
}

fn encode(name: &str, opts: &[(&str, &str)], batch: &RecordBatch) -> Vec<String> {
    let values = encoder(name, &options(opts), batch.schema())
        .unwrap()
        .encode(batch)
        .unwrap();
    values
        .iter()
        .map(|v| String::from_utf8(v.to_vec()).unwrap())
        .collect()
}

fn reasons(decoded: &Decoded) -> Vec<(usize, &str)> {
    let failures = decoded.failures.iter();
    failures.map(|f| (f.index, f.reason.as_str())).collect()
}

const FULL: &str = r#"{"b":true,"i":-5,"l":9007199254740993,"d":1.5,"n":12.34,"s":"中\n\"x\"","y":"AQID","day":"2026-01-31","tm":"12:13:14","ts":"2026-01-31 12:13:14.12","at":"2026-01-31 12:13:14Z","list":[1,null,3],"map":{"a":1,"b":null},"row":{"x":7,"y":null}}"#;

#[test]
fn json_of_every_type_comes_back_as_it_was() {
    let decoded = decode("json", &[], all_types(), &[FULL, "{}"]);
    assert_eq!(reasons(&decoded), []);
    let encoded = encode("json", &[], &decoded.batch);
    assert_eq!(encoded[0], FULL);
    let nulls = encode(
        "json",
        &[("encode.ignore-null-fields", "true")],
        &decoded.batch,
    );
    assert_eq!(nulls[1], "{}");
}

#[test]
fn one_bad_value_costs_no_other_its_row() {
    let schema = schema(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("amount", DataType::Float64, true),
    ]);
    let values = [
        r#"{"id": 1, "amount": 2.5}"#,
        r#"{"id": 1, "amount": "secret"}"#,
        "{",
        "[1]",
        r#"{"amount": 1}"#,
        r#"{"id": 99999999999}"#,
        r#"{"id": 2, "unknown": {"deep": [1, {}]}, "amount": null} "#,
        r#"{"id": 3} x"#,
        "",
    ];
    let decoded = decode("json", &[], schema.clone(), &values);
    assert_eq!(decoded.rows, [0, 6]);
    let found = reasons(&decoded);
    assert_eq!(found[0], (1, "field 'amount': expected DOUBLE"));
    assert!(found[1].1.starts_with("not JSON: EOF"), "{}", found[1].1);
    assert_eq!(found[2], (3, "expected a JSON object"));
    assert_eq!(found[3], (4, "field 'id': NULL or missing, but NOT NULL"));
    assert_eq!(found[4], (5, "field 'id': number out of range for INT"));
    assert_eq!(found.len() + decoded.rows.len(), values.len());
    let mut bytes = decoder("json", &options(&[]), schema).unwrap();
    let decoded = bytes
        .decode(&[None, Some(Bytes::from_static(b"{\"id\": \xff}"))])
        .unwrap();
    assert_eq!(
        reasons(&decoded),
        [(0, "the value is null"), (1, "not UTF-8 at byte 7")]
    );
}

/// Flink: JSON Format; JsonParserToRowDataConverters.
#[test]
fn json_converts_as_flink_does() {
    let schema = schema(vec![
        Field::new("s", DataType::Utf8, true),
        Field::new("i", DataType::Int32, true),
        Field::new("n", DataType::Decimal128(4, 2), true),
    ]);
    let decoded = decode(
        "json",
        &[],
        schema,
        &[
            r#"{"s": 1.50, "i": " 7 ", "n": "1.005"}"#,
            r#"{"s": {"a" : [1, "x y"]}, "i": 1.9, "n": 1e1}"#,
            r#"{"s": true, "i": 1, "i": 2, "n": 1000}"#,
        ],
    );
    assert_eq!(
        encode(
            "json",
            &[("encode.decimal-as-plain-number", "true")],
            &decoded.batch
        ),
        [
            r#"{"s":"1.50","i":7,"n":1.01}"#,
            r#"{"s":"{\"a\":[1,\"x y\"]}","i":1,"n":10.00}"#,
            r#"{"s":"true","i":2,"n":null}"#,
        ]
    );
}

#[test]
fn json_options_are_honoured_or_refused() {
    let schema = schema(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("ts", timestamp(None), true),
    ]);
    let missing = decode(
        "json",
        &[("fail-on-missing-field", "true")],
        schema.clone(),
        &[r#"{"i":1}"#],
    );
    assert_eq!(reasons(&missing), [(0, "field 'ts': is missing")]);
    let skipped = decode(
        "json",
        &[("ignore-parse-errors", "true")],
        schema.clone(),
        &[r#"{"i":"x"}"#, "{"],
    );
    assert_eq!(
        (skipped.rows.as_slice(), skipped.failures.len()),
        (&[0][..], 0)
    );
    assert!(skipped.batch.column(0).is_null(0));
    let iso = [("timestamp-format.standard", "ISO-8601")];
    let decoded = decode(
        "json",
        &iso,
        schema.clone(),
        &[
            r#"{"ts":"2026-01-31T12:13:14"}"#,
            r#"{"ts":"2026-01-31 12:13:14"}"#,
        ],
    );
    assert_eq!(
        reasons(&decoded),
        [(
            1,
            "field 'ts': expected TIMESTAMP like 2026-01-31T12:13:14.123"
        )]
    );
    assert_eq!(
        encode("json", &iso, &decoded.batch),
        [r#"{"i":null,"ts":"2026-01-31T12:13:14"}"#]
    );
    for (name, value, message) in [
        ("no-such", "1", "no option 'no-such'"),
        ("ignore-parse-errors", "yes", "use 'true' or 'false'"),
        (
            "timestamp-format.standard",
            "RFC",
            "use 'SQL' or 'ISO-8601'",
        ),
    ] {
        let error = decoder("json", &options(&[(name, value)]), schema.clone())
            .err()
            .unwrap();
        assert!(error.to_string().contains(message), "{error}");
    }
    let both = options(&[
        ("fail-on-missing-field", "true"),
        ("ignore-parse-errors", "true"),
    ]);
    assert!(decoder("json", &both, schema.clone()).is_err());
    assert!(matches!(
        decoder("avro", &options(&[]), schema),
        Err(FormatError::UnknownFormat(_))
    ));
}

#[test]
fn types_that_a_format_cannot_carry_are_refused() {
    let odd = schema(vec![Field::new("u", DataType::UInt64, true)]);
    assert!(matches!(
        decoder("json", &options(&[]), odd),
        Err(FormatError::Type { .. })
    ));
    let nested = schema(vec![Field::new(
        "l",
        DataType::new_list(DataType::Int32, true),
        true,
    )]);
    assert!(matches!(
        encoder("csv", &options(&[]), nested),
        Err(FormatError::Type { .. })
    ));
    let mut deep = DataType::Int32;
    for _ in 0..20 {
        deep = DataType::new_list(deep, true);
    }
    let deep = schema(vec![Field::new("l", deep, true)]);
    assert!(matches!(
        decoder("json", &options(&[]), deep),
        Err(FormatError::Type { .. })
    ));
}

fn people() -> SchemaRef {
    schema(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", timestamp(None), true),
    ])
}

#[test]
fn csv_lines_are_decoded_and_encoded() {
    let decoded = decode(
        "csv",
        &[],
        people(),
        &[
            "1,Ann,2026-01-31 12:13:14",
            "2,\"a \"\"b\"\", c\",2026-01-31 12:13:14.5\r\n",
            "x,Ann,2026-01-31 12:13:14",
            "1,Ann",
            "3,\"open,2026-01-31 12:13:14",
            "4,中文,2026-01-31 12:13:14",
        ],
    );
    assert_eq!(decoded.rows, [0, 1, 5]);
    assert_eq!(
        reasons(&decoded),
        [
            (2, "field 'id': expected INT"),
            (3, "expected 3 fields, found 2"),
            (4, "a quote is not closed"),
        ]
    );
    // Jackson quotes what has a space in it.
    assert_eq!(
        encode("csv", &[], &decoded.batch),
        [
            "1,Ann,\"2026-01-31 12:13:14\"",
            "2,\"a \"\"b\"\", c\",\"2026-01-31 12:13:14.5\"",
            "4,中文,\"2026-01-31 12:13:14\"",
        ]
    );
}

#[test]
fn csv_options_are_honoured() {
    let opts = [
        ("field-delimiter", ";"),
        ("quote-character", "'"),
        ("null-literal", "n/a"),
        ("allow-comments", "true"),
        ("ignore-parse-errors", "true"),
        ("escape-character", "\\"),
    ];
    let decoded = decode(
        "csv",
        &opts,
        people(),
        &["# a comment", "1;n/a;n/a", "2;'a;\\'b';soon", "3", "x;y;z"],
    );
    assert_eq!(
        (decoded.rows.as_slice(), decoded.failures.len()),
        (&[1, 2, 3][..], 0)
    );
    assert_eq!(
        encode("csv", &opts, &decoded.batch),
        ["1;n/a;n/a", "2;'a;\\'b';n/a", "3;n/a;n/a"]
    );
    let tab = decode(
        "csv",
        &[
            ("field-delimiter", "\\t"),
            ("disable-quote-character", "true"),
        ],
        people(),
        &["1\t\"a\t2026-01-31 00:00:00"],
    );
    assert_eq!(tab.batch.column(1).as_string::<i32>().value(0), "\"a");
    for name in ["array-element-delimiter", "line-delimiter"] {
        assert!(decoder("csv", &options(&[(name, ";")]), people()).is_err());
    }
}

proptest! {
    /// Arrow's own JSON writer says what the rows were.
    #[test]
    fn decoded_json_equals_what_arrow_wrote(ids in proptest::collection::vec(any::<Option<i32>>(), 0..20), text in "\\PC{0,20}") {
        let schema = schema(vec![Field::new("id", DataType::Int32, true), Field::new("t", DataType::Utf8, true)]);
        let column = arrow::array::Int32Array::from(ids.clone());
        let texts = arrow::array::StringArray::from(vec![text.as_str(); ids.len()]);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(column), Arc::new(texts)]).unwrap();
        let mut writer = LineDelimitedWriter::new(Vec::new());
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let lines = String::from_utf8(writer.into_inner()).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        let decoded = decode("json", &[], schema.clone(), &lines);
        prop_assert_eq!(&decoded.batch, &batch);
        let again = encode("json", &[], &batch);
        let again: Vec<_> = again.iter().map(String::as_str).collect();
        prop_assert_eq!(&decode("json", &[], schema, &again).batch, &batch);
        prop_assert_eq!(decoded.batch.column(0).as_primitive::<Int32Type>().len(), ids.len());
    }

    #[test]
    fn any_bytes_give_a_row_or_a_failure(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        for format in ["json", "csv"] {
            let value = Bytes::from(bytes.clone());
            let decoded = decoder(format, &options(&[]), people()).unwrap().decode(&[Some(value)]).unwrap();
            prop_assert_eq!(decoded.rows.len() + decoded.failures.len(), 1);
        }
    }

    #[test]
    fn any_json_like_text_gives_a_row_or_a_failure(text in "[\\[\\]{}\":,a-z0-9eE+.\\\\-]{0,60}") {
        let text = format!("{{\"i\":1,\"list\":{text}");
        let value = Bytes::from(text);
        let decoded = decoder("json", &options(&[]), all_types()).unwrap().decode(&[Some(value)]).unwrap();
        prop_assert_eq!(decoded.rows.len() + decoded.failures.len(), 1);
    }

    #[test]
    fn csv_comes_back_as_it_was(name in "\\PC{0,40}", id in any::<i32>()) {
        let batch = RecordBatch::try_new(people(), vec![
            Arc::new(arrow::array::Int32Array::from(vec![id])),
            Arc::new(arrow::array::StringArray::from(vec![name.as_str()])),
            Arc::new(arrow::array::TimestampMillisecondArray::from(vec![i64::from(id)])),
        ]).unwrap();
        let lines = encode("csv", &[], &batch);
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(decode("csv", &[], people(), &lines).batch, batch);
    }
}

#[test]
fn a_json_value_nested_deeper_than_any_stack_is_no_danger() {
    let deep = format!(
        "{{\"i\":1,\"unknown\":{}{}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let decoded = decode("json", &[], all_types(), &[&deep]);
    assert_eq!(decoded.rows.len() + decoded.failures.len(), 1);
    let text = format!(
        "{{\"s\":{}{}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let decoded = decode("json", &[], all_types(), &[&text]);
    assert_eq!(decoded.rows.len() + decoded.failures.len(), 1);
}

/// Lines that Flink 2.1.0 wrote with its `filesystem` connector.
#[test]
fn what_flink_wrote_is_read_and_written_the_same() {
    let row = Fields::from(vec![
        Field::new("p", DataType::Int32, true),
        Field::new("q", DataType::Utf8, true),
    ]);
    let map = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int32, true),
    ]));
    let mut fields = vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("i", DataType::Int32, true),
        Field::new("d", DataType::Float64, true),
        Field::new("f", DataType::Float32, true),
        Field::new("n", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("dt", DataType::Date32, true),
        Field::new("tm", DataType::Time32(TimeUnit::Millisecond), true),
        Field::new("ts", timestamp(None), true),
        Field::new("l", timestamp(Some("UTC")), true),
    ];
    let flat = schema(fields.clone());
    fields.extend([
        Field::new("y", DataType::Binary, true),
        Field::new("arr", DataType::new_list(DataType::Int32, true), true),
        Field::new(
            "m",
            DataType::Map(Arc::new(Field::new("entries", map, false)), false),
            true,
        ),
        Field::new("r", DataType::Struct(row), true),
    ]);
    let nested = schema(fields);
    let check = |name: &str, opts: &[(&str, &str)], schema: &SchemaRef, lines: &[&str]| {
        let decoded = decode(name, opts, schema.clone(), lines);
        assert_eq!(reasons(&decoded), []);
        assert_eq!(encode(name, opts, &decoded.batch), lines);
    };
    check(
        "json",
        &[],
        &nested,
        &[
            r#"{"b":true,"i":-5,"d":100.0,"f":100.0,"n":1E+2,"s":"plain","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31 12:13:14.12","l":"1970-01-01 00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
            r#"{"b":true,"i":-5,"d":1.0E10,"f":1.0E10,"n":null,"s":"a b","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31 12:13:14.12","l":"1970-01-01 00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
            r#"{"b":true,"i":-5,"d":1.2E-4,"f":1.2E-4,"n":0,"s":"q\"uo,te","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31 12:13:14.12","l":"1970-01-01 00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
            r#"{"b":true,"i":-5,"d":1.5,"f":1.5,"n":1.5,"s":"中\n文 x","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31 12:13:14.12","l":"1970-01-01 00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
        ],
    );
    let plain = [
        ("timestamp-format.standard", "ISO-8601"),
        ("encode.decimal-as-plain-number", "true"),
    ];
    check(
        "json",
        &plain,
        &nested,
        &[
            r#"{"b":true,"i":-5,"d":1.2E-4,"f":1.2E-4,"n":0.00,"s":"q\"uo,te","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31T12:13:14.12","l":"1970-01-01T00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
            r#"{"b":true,"i":-5,"d":100.0,"f":100.0,"n":100.00,"s":"plain","dt":"2026-01-31","tm":"12:13:14","ts":"2026-01-31T12:13:14.12","l":"1970-01-01T00:00:01Z","y":"YWJj","arr":[1,null],"m":{"k":1},"r":{"p":7,"q":null}}"#,
        ],
    );
    check(
        "csv",
        &[],
        &flat,
        &[
            r#"true,-5,100.0,100.0,1E+2,plain,2026-01-31,12:13:14,"2026-01-31 12:13:14.12","1970-01-01 00:00:01Z""#,
            r#"true,-5,1.2E-4,1.2E-4,0,"q""uo,te",2026-01-31,12:13:14,"2026-01-31 12:13:14.12","1970-01-01 00:00:01Z""#,
            "true,-5,1.5,1.5,1.5,\"中\n文 x\",2026-01-31,12:13:14,\"2026-01-31 12:13:14.12\",\"1970-01-01 00:00:01Z\"",
            r#"true,-5,1.0,1.0,1.5,"abcdefghijklmnopqrstuvwxyz",2026-01-31,12:13:14,"2026-01-31 12:13:14.12","1970-01-01 00:00:01Z""#,
        ],
    );
}
