//! The macro that turns a declaration into a message.

/// Declares a message: its structures, and for each field its type and what
/// the protocol says about it.
///
/// ```
/// millstream_wire::message! {
///     /// The message itself comes first, with its versions.
///     pub struct GreetingRequest(0-3, flexible 2+) {
///         /// In every version.
///         name: String [0+],
///         /// From version 1 on, and null from version 2 on.
///         title: Option<String> [1+, nullable(2+), default(Some(String::new()))],
///         /// Gone after version 1; no error when it is set for a later one.
///         age: i32 [0-1, default(-1), ignorable],
///         /// A tagged field: sent only when it is not its default.
///         places: Vec<Place> [2+, tag(0)],
///     }
///
///     /// Then the structures that it is made of.
///     pub struct Place {
///         /// Its name.
///         name: String [2+],
///     }
/// }
///
/// use millstream_wire::codec::Message;
/// let greeting = GreetingRequest { name: "Ada".to_owned(), ..Default::default() };
/// let mut out = bytes::BytesMut::new();
/// greeting.encode(2, &mut out)?;
/// assert_eq!(GreetingRequest::decode_all(2, out.freeze()), Ok(greeting));
/// # Ok::<(), millstream_wire::codec::EncodeError>(())
/// ```
///
/// The brackets hold, in this order: the versions (`3+`, `0-2`, `1`), then
/// any of `nullable(VERSIONS)` for an `Option`, `tag(NUMBER)`,
/// `default(EXPRESSION)` where it is not the type's own, `ignorable`.
#[macro_export]
macro_rules! message {
    ($(
        $(#[$attribute:meta])*
        pub struct $name:ident $(($($header:tt)*))? {$(
            $(#[$field_attribute:meta])*
            $field:ident: $ty:ty [$($spec:tt)*]
        ),* $(,)?}
    )*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {$(
            $(#[$field_attribute])*
            ///
            #[doc = concat!("Versions ", stringify!($($spec)*), ".")]
            pub $field: $ty,
        )*}

        #[allow(non_upper_case_globals)] // Each constant has its field's name.
        impl $name {$(
            const $field: $crate::codec::FieldSpec = $crate::field_spec!(
                concat!(stringify!($name), ".", stringify!($field)); $($spec)*
            );
        )*}

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self {$( $field: $crate::field_default!($($spec)*), )*}
            }
        }

        impl $crate::codec::Value for $name {
            fn write(
                &self,
                at: $crate::codec::At,
                out: &mut $crate::codec::Writer,
            ) -> ::core::result::Result<(), $crate::codec::EncodeError> {
                let default = Self::default();
                $( Self::$field.put(&self.$field, &default.$field, at, out)?; )*
                if at.flexible {
                    let mut tags = $crate::codec::TagWriter::default();
                    $( tags.put(&Self::$field, &self.$field, &default.$field, at)?; )*
                    tags.finish(out)?;
                }
                ::core::result::Result::Ok(())
            }

            fn read(
                at: $crate::codec::At,
                reader: &mut $crate::codec::Reader,
            ) -> ::core::result::Result<Self, $crate::codec::DecodeError> {
                let mut this = Self::default();
                $( Self::$field.get(&mut this.$field, at, reader)?; )*
                if at.flexible {
                    let mut tags = $crate::codec::TagReader::start(reader)?;
                    while tags.next(reader, |tag, body| {
                        ::core::result::Result::Ok(false $(
                            || $crate::codec::TagReader::get(
                                &Self::$field, tag, &mut this.$field, at, body,
                            )?
                        )*)
                    })? {}
                }
                ::core::result::Result::Ok(this)
            }
        }

        // Null in place of a structure is a byte before it.
        impl $crate::codec::Nullable for $name {
            fn write_nullable(
                value: ::core::option::Option<&Self>,
                at: $crate::codec::At,
                out: &mut $crate::codec::Writer,
            ) -> ::core::result::Result<(), $crate::codec::EncodeError> {
                match value {
                    ::core::option::Option::None => {
                        out.put(&[0xff]);
                        ::core::result::Result::Ok(())
                    }
                    ::core::option::Option::Some(value) => {
                        out.put(&[1]);
                        $crate::codec::Value::write(value, at, out)
                    }
                }
            }

            fn read_nullable(
                at: $crate::codec::At,
                reader: &mut $crate::codec::Reader,
            ) -> ::core::result::Result<::core::option::Option<Self>, $crate::codec::DecodeError> {
                if reader.i8()? < 0 {
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }
                <Self as $crate::codec::Value>::read(at, reader).map(::core::option::Option::Some)
            }
        }

        $crate::message_sample!($name { $($field: $ty,)* });

        $( $crate::message_versions!($name; $($header)*); )?
    )*};
}

/// The versions of a message, from its declaration.
#[doc(hidden)]
#[macro_export]
macro_rules! message_versions {
    ($name:ident; $first:literal-$last:literal) => {
        $crate::message_versions!(@ $name, $first, $last, i16::MAX);
    };
    ($name:ident; $first:literal-$last:literal, flexible $flexible:literal+) => {
        $crate::message_versions!(@ $name, $first, $last, $flexible);
    };
    (@ $name:ident, $first:expr, $last:expr, $flexible:expr) => {
        impl $crate::codec::Message for $name {
            const NAME: &'static str = stringify!($name);
            const VERSIONS: ::core::ops::RangeInclusive<i16> = $first..=$last;
            const FLEXIBLE_FROM: i16 = $flexible;
        }
    };
}

/// What a declaration says about a field, as a constant.
#[doc(hidden)]
#[macro_export]
macro_rules! field_spec {
    ($name:expr; $first:literal + $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $crate::codec::FieldSpec::new($name, $first, i16::MAX); $($($rest)*)?)
    };
    ($name:expr; $first:literal - $last:literal $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $crate::codec::FieldSpec::new($name, $first, $last); $($($rest)*)?)
    };
    ($name:expr; $only:literal $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $crate::codec::FieldSpec::new($name, $only, $only); $($($rest)*)?)
    };
    (@ $spec:expr; ) => { $spec };
    (@ $spec:expr; nullable($first:literal +) $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $spec.nullable($first, i16::MAX); $($($rest)*)?)
    };
    (@ $spec:expr; nullable($first:literal - $last:literal) $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $spec.nullable($first, $last); $($($rest)*)?)
    };
    (@ $spec:expr; tag($tag:literal) $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $spec.tag($tag); $($($rest)*)?)
    };
    (@ $spec:expr; default($default:expr) $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $spec; $($($rest)*)?)
    };
    (@ $spec:expr; ignorable $(, $($rest:tt)*)?) => {
        $crate::field_spec!(@ $spec.ignorable(); $($($rest)*)?)
    };
}

/// The default of a field, from its declaration.
#[doc(hidden)]
#[macro_export]
macro_rules! field_default {
    () => { ::core::default::Default::default() };
    (default($default:expr) $($rest:tt)*) => { $default };
    ($skipped:tt $($rest:tt)*) => { $crate::field_default!($($rest)*) };
}

/// Nothing: random messages are for tests.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "testing"))]
macro_rules! message_sample {
    ($($ignored:tt)*) => {};
}
