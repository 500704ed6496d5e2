//! Why bytes could not be decoded, and why a value could not be encoded.

/// Why bytes from outside are not what they claim to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value needs more bytes than there are.
    #[error("{needed} bytes needed, {available} left")]
    Truncated {
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// A variable-length number that does not end within its type.
    #[error("variable-length number longer than its type allows")]
    VarintTooLong,
    /// A length or count below what the field allows.
    #[error("length {0} where none below zero is allowed")]
    NegativeLength(i64),
    /// An array that claims more elements than are allowed.
    #[error("array of {count} elements: at most {max} are allowed")]
    TooManyElements {
        /// Elements claimed.
        count: usize,
        /// Elements allowed.
        max: usize,
    },
    /// A message whose arrays would take more memory than is allowed.
    #[error("the arrays of one message would take more than {bytes_max} bytes of memory")]
    TooMuchMemory {
        /// Memory allowed.
        bytes_max: usize,
    },
    /// A structure with more tagged fields than are allowed.
    #[error("{count} tagged fields: at most {max} are allowed")]
    TooManyTags {
        /// Tagged fields claimed.
        count: usize,
        /// Tagged fields allowed.
        max: usize,
    },
    /// Tags must rise within a structure (KIP-482).
    #[error("tag {tag} after tag {previous}: tags must rise")]
    TagOrder {
        /// The tag before.
        previous: u32,
        /// The tag that came after it.
        tag: u32,
    },
    /// A known tagged field whose bytes are not all of its value.
    #[error("tagged field {tag} has {left} bytes more than its value")]
    TagSize {
        /// The tag.
        tag: u32,
        /// Bytes left in the field after its value.
        left: usize,
    },
    /// Null where the version does not allow null.
    #[error("null where a value is required")]
    UnexpectedNull,
    /// Bytes after the end of a message.
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    /// A version of the message that is not spoken here.
    #[error("{message} version {version} is not supported")]
    UnsupportedVersion {
        /// The message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}

/// Why a value cannot be written at a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The field is set, and the version has no place for it.
    #[error("{field} is set, which version {version} cannot carry")]
    FieldNotInVersion {
        /// Structure and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Null where the version does not allow null.
    #[error("{field} is null, which version {version} cannot carry")]
    NullNotInVersion {
        /// Structure and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Longer than the type's length prefix can say.
    #[error("{length} bytes or elements do not fit the length prefix")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A version of the message that is not spoken here.
    #[error("{message} version {version} is not supported")]
    UnsupportedVersion {
        /// The message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Bytes that are elsewhere could not be read.
    #[error("bytes of the message cannot be read: {0}")]
    Unreadable(String),
}
