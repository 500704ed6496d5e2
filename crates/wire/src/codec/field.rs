//! A field of a message: in which versions it is, and how.

use super::{DecodeError, EncodeError, Nullable, Reader, Value, Writer};

/// Where a value is written or read: the version of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Version of the message.
    pub version: i16,
    /// Whether that version is flexible (KIP-482): compact lengths and
    /// tagged fields.
    pub flexible: bool,
}

/// What a declaration says about one field.
#[derive(Clone, Debug)]
pub struct FieldSpec {
    name: &'static str,
    first: i16,
    last: i16,
    nullable_first: i16,
    nullable_last: i16,
    tag: Option<u32>,
    ignorable: bool,
}

impl FieldSpec {
    /// A field in the versions from `first` to `last`; `name` is the
    /// structure's and the field's.
    #[must_use]
    pub const fn new(name: &'static str, first: i16, last: i16) -> Self {
        Self {
            name,
            first,
            last,
            nullable_first: i16::MAX,
            nullable_last: i16::MIN,
            tag: None,
            ignorable: false,
        }
    }

    /// The field may be null in the versions from `first` to `last`.
    #[must_use]
    pub const fn nullable(mut self, first: i16, last: i16) -> Self {
        self.nullable_first = first;
        self.nullable_last = last;
        self
    }

    /// The field is sent with a tag, and only when it is not its default.
    #[must_use]
    pub const fn tag(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The field may be dropped by a version that does not have it.
    #[must_use]
    pub const fn ignorable(mut self) -> Self {
        self.ignorable = true;
        self
    }

    pub(crate) const fn is_in(&self, at: At) -> bool {
        self.first <= at.version && at.version <= self.last
    }

    pub(crate) const fn is_nullable_in(&self, at: At) -> bool {
        self.nullable_first <= at.version && at.version <= self.nullable_last
    }

    /// Its tag, if it travels as a tagged field in this version.
    pub(super) fn tag_in(&self, at: At) -> Option<u32> {
        self.tag.filter(|_| self.is_in(at))
    }

    /// Whether it is one of the ordered fields of this version.
    #[must_use]
    pub fn is_in_body(&self, at: At) -> bool {
        self.is_in(at) && self.tag.is_none()
    }

    /// Writes the field if it is one of the ordered fields of this version.
    pub fn put<F: Field>(
        &self,
        field: &F,
        default: &F,
        at: At,
        out: &mut Writer,
    ) -> Result<(), EncodeError> {
        if self.is_in_body(at) {
            return field.put(self, at, out);
        }
        // Dropping what the caller set would change what the message says.
        if !self.is_in(at) && !self.ignorable && field != default {
            return Err(EncodeError::FieldNotInVersion {
                field: self.name,
                version: at.version,
            });
        }
        Ok(())
    }

    /// Reads the field into `field` if it is one of the ordered fields of
    /// this version.
    pub fn get<F: Field>(
        &self,
        field: &mut F,
        at: At,
        reader: &mut Reader,
    ) -> Result<(), DecodeError> {
        if self.is_in_body(at) {
            *field = F::get(self, at, reader)?;
        }
        Ok(())
    }
}

/// A type that a field can have: a [`Value`], or an `Option` of a
/// [`Nullable`] one.
pub trait Field: Sized + PartialEq {
    /// Writes the field.
    fn put(&self, spec: &FieldSpec, at: At, out: &mut Writer) -> Result<(), EncodeError>;
    /// Reads the field.
    fn get(spec: &FieldSpec, at: At, reader: &mut Reader) -> Result<Self, DecodeError>;
}

impl<T: Value> Field for T {
    fn put(&self, _spec: &FieldSpec, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        self.write(at, out)
    }

    fn get(_spec: &FieldSpec, at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        T::read(at, reader)
    }
}

impl<T: Nullable> Field for Option<T> {
    fn put(&self, spec: &FieldSpec, at: At, out: &mut Writer) -> Result<(), EncodeError> {
        if spec.is_nullable_in(at) {
            return T::write_nullable(self.as_ref(), at, out);
        }
        match self {
            Some(value) => value.write(at, out),
            None => Err(EncodeError::NullNotInVersion {
                field: spec.name,
                version: at.version,
            }),
        }
    }

    fn get(spec: &FieldSpec, at: At, reader: &mut Reader) -> Result<Self, DecodeError> {
        if spec.is_nullable_in(at) {
            T::read_nullable(at, reader)
        } else {
            T::read(at, reader).map(Some)
        }
    }
}
