//! Tagged fields (KIP-482): optional fields at the end of every structure of
//! a flexible version, each with its tag and its size.

use super::{At, DecodeError, EncodeError, Field, FieldSpec, Reader, Writer};
use bytes::BytesMut;
use millstream_core::limits::TAGGED_FIELDS_MAX;

/// Collects the tagged fields of one structure.
#[derive(Debug, Default)]
pub struct TagWriter {
    fields: Vec<(u32, BytesMut)>,
}

impl TagWriter {
    /// Adds a field, if it is tagged in this version and not its default.
    pub fn put<F: Field>(
        &mut self,
        spec: &FieldSpec,
        field: &F,
        default: &F,
        at: At,
    ) -> Result<(), EncodeError> {
        let Some(tag) = spec.tag_in(at) else {
            return Ok(());
        };
        if field == default {
            return Ok(());
        }
        let mut body = Writer::contiguous(BytesMut::new());
        field.put(spec, at, &mut body)?;
        self.fields.push((tag, body.into_contiguous()));
        Ok(())
    }

    /// Writes the section, in the order of the tags.
    pub fn finish(mut self, out: &mut Writer) -> Result<(), EncodeError> {
        self.fields.sort_unstable_by_key(|(tag, _)| *tag);
        out.put_unsigned_varint(self.fields.len() as u32);
        for (tag, body) in &self.fields {
            let size = u32::try_from(body.len())
                .map_err(|_| EncodeError::TooLong { length: body.len() })?;
            out.put_unsigned_varint(*tag);
            out.put_unsigned_varint(size);
            out.put(body);
        }
        Ok(())
    }
}

/// Walks the tagged fields of one structure.
#[derive(Debug)]
pub struct TagReader {
    left: usize,
    previous: Option<u32>,
}

impl TagReader {
    /// Reads how many there are.
    pub fn start(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = reader.unsigned_varint()? as usize;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::TooManyTags {
                count,
                max: TAGGED_FIELDS_MAX,
            });
        }
        // A tagged field takes at least its tag and its size.
        let needed = count * 2;
        if needed > reader.remaining() {
            return Err(DecodeError::Truncated {
                needed,
                available: reader.remaining(),
            });
        }
        Ok(Self {
            left: count,
            previous: None,
        })
    }

    /// Reads the next field; `read` says whether it knew the tag. An unknown
    /// field is skipped.
    pub fn next(
        &mut self,
        reader: &mut Reader,
        read: impl FnOnce(u32, &mut Reader) -> Result<bool, DecodeError>,
    ) -> Result<bool, DecodeError> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let tag = reader.unsigned_varint()?;
        if let Some(previous) = self.previous.replace(tag)
            && previous >= tag
        {
            return Err(DecodeError::TagOrder { previous, tag });
        }
        let size = reader.unsigned_varint()? as usize;
        match reader.within(size, |body| read(tag, body))? {
            (true, left) if left > 0 => Err(DecodeError::TagSize { tag, left }),
            _ => Ok(true),
        }
    }

    /// Reads `field` from a tagged field's body, if that is its tag.
    pub fn get<F: Field>(
        spec: &FieldSpec,
        tag: u32,
        field: &mut F,
        at: At,
        body: &mut Reader,
    ) -> Result<bool, DecodeError> {
        if spec.tag_in(at) != Some(tag) {
            return Ok(false);
        }
        *field = F::get(spec, at, body)?;
        Ok(true)
    }

    /// Skips a whole section, as in headers whose tags are all unknown.
    pub fn skip_all(reader: &mut Reader) -> Result<(), DecodeError> {
        let mut tags = Self::start(reader)?;
        while tags.next(reader, |_, _| Ok(false))? {}
        Ok(())
    }
}
