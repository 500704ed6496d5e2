//! The web app inside the binary.
//!
//! A build without npm has no app; the server then says how to get it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct App;

/// Nothing is loaded from elsewhere, nothing inline runs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'; \
     base-uri 'none'; form-action 'none'";

/// A file of the app, or the app itself for a page's address.
pub async fn serve(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = App::get(path) {
        return respond(path, file);
    }
    // A page's address (`/topics/orders`) is the app's to resolve; a missing
    // file is not.
    if path.starts_with("assets/") || path.starts_with("api/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    match App::get("index.html") {
        Some(file) => respond("index.html", file),
        None => Html(WITHOUT_APP).into_response(),
    }
}

fn respond(path: &str, file: rust_embed::EmbeddedFile) -> Response {
    // Names under assets/ carry a hash of their content.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = Body::from(file.data).into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
        headers.insert(header::CONTENT_TYPE, kind);
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
        let page = serve(Uri::from_static("/topics/orders")).await;
        assert_eq!(page.status(), StatusCode::OK);
        let file = serve(Uri::from_static("/assets/none.js")).await;
        assert_eq!(file.status(), StatusCode::NOT_FOUND);
    }
}
