//! The functions that SQL may call.

/// One function, for `SHOW FUNCTIONS` and the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Every function, by name.
pub fn list() -> Vec<FunctionInfo> {
    Vec::new()
}
