//! Addresses of the console's pages, as findings and the stream's nodes carry
//! them.

use std::fmt::Write as _;

/// `/topics/NAME` and the like. A group's or a job's name may hold `/`, `?`,
/// `#` or `%`: all but RFC 3986's unreserved characters are percent-encoded,
/// so that the name stays one segment.
pub(crate) fn page_link(page: &str, name: &str) -> String {
    let mut link = format!("/{page}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(link, "%{byte:02X}");
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_whatever_it_holds() {
        assert_eq!(
            page_link("groups", "a/b?c#d%e 订"),
            "/groups/a%2Fb%3Fc%23d%25e%20%E8%AE%A2"
        );
        assert_eq!(
            page_link("topics", "live_orders.v-1~"),
            "/topics/live_orders.v-1~"
        );
    }
}
