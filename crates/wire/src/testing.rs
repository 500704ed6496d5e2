//! Random messages for tests, here and in crates above (feature `testing`).

use crate::codec::{At, EncodeError, FieldSpec, Message, Payload, Value};
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

/// Elements of a made-up array, bytes of a made-up string.
const LENGTH_MAX: u8 = 4;

/// Choices, read from bytes. When they are used up, every choice is the
/// simplest, so a test that shrinks its bytes shrinks its message.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    /// Choices from `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((&first, rest)) => {
                self.bytes = rest;
                first
            }
            None => 0,
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn length(&mut self) -> usize {
        (self.byte() % (LENGTH_MAX + 1)).into()
    }
}

/// A type of which a test can make a value.
pub trait Sample: Sized {
    /// A value that the version of `at` can carry.
    fn sample(at: At, source: &mut Source<'_>) -> Self;
}

/// A type of a field of which a test can make a value.
pub trait SampleField: Sized {
    /// A value that the version of `at` can carry.
    fn sample_field(nullable: bool, at: At, source: &mut Source<'_>) -> Self;
}

impl<T: Sample + Value> SampleField for T {
    fn sample_field(_nullable: bool, at: At, source: &mut Source<'_>) -> Self {
        T::sample(at, source)
    }
}

impl<T: Sample> SampleField for Option<T> {
    fn sample_field(nullable: bool, at: At, source: &mut Source<'_>) -> Self {
        if nullable && source.byte().is_multiple_of(3) {
            None
        } else {
            Some(T::sample(at, source))
        }
    }
}

impl FieldSpec {
    /// Sets `field` to something, if the version has it.
    pub fn sample<F: SampleField>(&self, field: &mut F, at: At, source: &mut Source<'_>) {
        if self.is_in(at) {
            *field = F::sample_field(self.is_nullable_in(at), at, source);
        }
    }
}

macro_rules! sample_number {
    ($($ty:ty),*) => {$(
        impl Sample for $ty {
            fn sample(_at: At, source: &mut Source<'_>) -> Self {
                // Small ones often: they are the ones with a meaning.
                match source.byte() {
                    small if small < 128 => small as i8 as Self,
                    small if small < 160 => 0 as Self - 1 as Self,
                    _ => Self::from_be_bytes(source.array()),
                }
            }
        }
    )*};
}

sample_number!(i8, i16, i32, i64);

impl Sample for u16 {
    fn sample(_at: At, source: &mut Source<'_>) -> Self {
        Self::from_be_bytes(source.array())
    }
}

impl Sample for bool {
    fn sample(_at: At, source: &mut Source<'_>) -> Self {
        source.byte() % 2 == 1
    }
}

impl Sample for Uuid {
    fn sample(_at: At, source: &mut Source<'_>) -> Self {
        Self::from_bytes(source.array())
    }
}

impl Sample for String {
    fn sample(_at: At, source: &mut Source<'_>) -> Self {
        (0..source.length())
            .map(|_| char::from(source.byte()))
            .collect()
    }
}

impl Sample for Bytes {
    fn sample(_at: At, source: &mut Source<'_>) -> Self {
        (0..source.length()).map(|_| source.byte()).collect()
    }
}

impl Sample for Payload {
    fn sample(at: At, source: &mut Source<'_>) -> Self {
        Self::Here(Bytes::sample(at, source))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(at: At, source: &mut Source<'_>) -> Self {
        (0..source.length())
            .map(|_| T::sample(at, source))
            .collect()
    }
}

/// Encodes a made-up message.
pub fn sample_encoded<M: Message + Sample>(
    version: i16,
    source: &mut Source<'_>,
) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    M::sample(M::at(version), source).encode(version, &mut out)?;
    Ok(out.freeze())
}

/// Makes random values of a declared structure.
#[doc(hidden)]
#[macro_export]
macro_rules! message_sample {
    ($name:ident { $($field:ident: $ty:ty,)* }) => {
        impl $crate::testing::Sample for $name {
            fn sample(
                at: $crate::codec::At,
                source: &mut $crate::testing::Source<'_>,
            ) -> Self {
                let mut this = Self::default();
                $( Self::$field.sample(&mut this.$field, at, source); )*
                this
            }
        }
    };
}
