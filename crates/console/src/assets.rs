//! The web app inside the binary.
//!
//! A build without npm has no app; the server then says how to get it. The
//! app's build compresses its files once: the server sends them as they are.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct App;

/// Nothing is loaded from elsewhere, nothing inline runs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'; \
     base-uri 'none'; form-action 'none'";

/// A file of the app, or the app itself for a page's address.
pub async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = App::get(path) {
        let content = match App::get(&format!("{path}.gz")) {
            Some(small) if takes_gzip(&headers) => Content::Gzip(small.data),
            Some(_) => Content::PlainOrGzip(file.data),
            None => Content::Plain(file.data),
        };
        return respond(path, file.metadata.mimetype(), content);
    }
    // A page's address (`/topics/orders`) is the app's to resolve; a missing
    // file is not.
    if path.starts_with("assets/") || path.starts_with("api/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    match App::get("index.html") {
        Some(file) => respond(
            "index.html",
            file.metadata.mimetype(),
            Content::Plain(file.data),
        ),
        None => Html(WITHOUT_APP).into_response(),
    }
}

/// A file's bytes, and in which forms it is there.
enum Content {
    /// As it is; there is no other form.
    Plain(Cow<'static, [u8]>),
    /// As it is; compressed for those who take it.
    PlainOrGzip(Cow<'static, [u8]>),
    /// Compressed.
    Gzip(Cow<'static, [u8]>),
}

fn respond(path: &str, mime: &str, content: Content) -> Response {
    let (data, forms, coding) = match content {
        Content::Plain(data) => (data, 1, None),
        Content::PlainOrGzip(data) => (data, 2, None),
        Content::Gzip(data) => (data, 2, Some("gzip")),
    };
    // Names under assets/ carry a hash of their content.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = Body::from(data).into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(mime) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if forms > 1 {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// Whether the client takes gzip (RFC 9110, 12.5.3): named, or by `*`, and not
/// with a weight of 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings: Vec<(&str, bool)> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| {
            let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            (coding.trim(), weight.parse() != Ok(0.0_f32))
        })
        .collect();
    let named = |name: &str| {
        codings
            .iter()
            .find(|(coding, _)| coding.eq_ignore_ascii_case(name))
            .map(|(_, taken)| *taken)
    };
    named("gzip").or_else(|| named("*")).unwrap_or(false)
}

const WITHOUT_APP: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Millstream</title>\
<style>body{font:15px/1.6 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1.25rem}\
code{background:#eef1f1;padding:.1em .35em;border-radius:4px}</style>\
<h1>Millstream is running</h1>\
<p>This binary was built without the web console. Build it with <code>make build</code> \
(needs Node.js), then start the server again.</p>\
<p>Everything else is here: <code>POST /api/v1/sql</code>, <code>GET /api/v1/overview</code>, \
<code>GET /metrics</code>, and the Kafka listener.</p>\
<h2 lang=zh-CN>Millstream 正在运行</h2>\
<p lang=zh-CN>此程序构建时未包含网页控制台。请运行 <code>make build</code>（需要 Node.js）后重新启动。</p>";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pages_address_is_the_app_and_a_missing_file_is_not() {
        let page = serve(Uri::from_static("/topics/orders"), HeaderMap::new()).await;
        assert_eq!(page.status(), StatusCode::OK);
        let file = serve(Uri::from_static("/assets/none.js"), HeaderMap::new()).await;
        assert_eq!(file.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_gzip(&headers)
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, GZIP;q=0.8") && takes("*"));
        assert!(!takes("br") && !takes("gzip;q=0, *") && !takes("identity") && !takes(""));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_compressed_file_keeps_its_type_and_says_how_it_is_sent() {
        let answer = |content| {
            respond("assets/a.css", "text/css", content)
                .headers()
                .clone()
        };
        let small = answer(Content::Gzip(b"small".as_slice().into()));
        assert_eq!(small[header::CONTENT_TYPE], "text/css");
        assert_eq!(small[header::CONTENT_ENCODING], "gzip");
        assert_eq!(small[header::VARY], "Accept-Encoding");
        let plain = answer(Content::PlainOrGzip(b"plain".as_slice().into()));
        assert_eq!(plain[header::VARY], "Accept-Encoding");
        assert!(!plain.contains_key(header::CONTENT_ENCODING));
        assert!(!answer(Content::Plain(b"".as_slice().into())).contains_key(header::VARY));
    }
}
