//! Who may talk to the API through a browser.
//!
//! There is no login yet and SQL can do anything, so a page of another site,
//! open in the same browser, must not reach it:
//! - `Host` must be a name the server is known by (DNS rebinding);
//! - `Origin`, where a browser sends it, must be our own: scheme, host and
//!   port (cross-site WebSockets and requests);
//! - `Sec-Fetch-Site`, where a browser sends it, must not name another site or
//!   port for a call of the API (an `<img>` of a search sends no `Origin`);
//! - a `POST` must be `application/json`, which no form can send.

use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// Names under which the server may be reached.
#[derive(Debug, Clone)]
pub struct Guard {
    hosts: Arc<Vec<String>>,
    any_address: bool,
}

impl Guard {
    /// The listen address, loopback names and `allowed` names. A listener on
    /// all addresses also takes any literal IP address: those cannot be
    /// rebound.
    pub fn new(listen: SocketAddr, allowed: &[String]) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
            .map(str::to_owned)
            .to_vec();
        hosts.push(match listen {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        });
        hosts.extend(allowed.iter().map(|h| h.to_ascii_lowercase()));
        Self {
            hosts: Arc::new(hosts),
            any_address: listen.ip().is_unspecified(),
        }
    }

    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
        let host = text(headers, header::HOST).unwrap_or_default();
        if !self.knows(&host) {
            return Err(Problem::new(StatusCode::FORBIDDEN, format!("host '{host}' is not known here"))
                .hint("open the console under the address it listens on, or add the name to http.allowed_hosts"));
        }
        match text(headers, header::ORIGIN) {
            Some(origin) if !is_own(&origin, &host) => {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    format!("requests from {origin} are not taken"),
                ));
            }
            Some(_) => {}
            None => check_site(path, headers)?,
        }
        let json = text(headers, header::CONTENT_TYPE).is_some_and(|t| {
            t.split(';')
                .next()
                .is_some_and(|t| t.trim() == "application/json")
        });
        if method != Method::GET && method != Method::HEAD && !json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send Content-Type: application/json",
            ));
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> bool {
        let name = host_and_port(host).0.to_ascii_lowercase();
        let address = name
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        self.hosts.contains(&name) || (self.any_address && address)
    }
}

/// Whether a page of this origin is one of ours: web pages come over HTTP or,
/// through a proxy, HTTPS, from the host and port that the request names.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let (from, from_port) = host_and_port(authority);
    let (to, to_port) = host_and_port(host);
    from.eq_ignore_ascii_case(to)
        && from_port.unwrap_or(default_port) == to_port.unwrap_or(default_port)
}

/// What a page of another site makes a browser ask for: it cannot read the
/// answer, but each call costs.
fn check_site(path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(|s| s.as_bytes());
    let foreign = matches!(site, Some(b"cross-site" | b"same-site"));
    if foreign && path.starts_with("/api/") {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "requests from pages of another site or port are not taken",
        )
        .hint("open the address in a tab of its own, or use the console"));
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn host_and_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (name, Some(port))
        }
        _ => (host, None),
    }
}

/// The middleware.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, pairs: &[(header::HeaderName, &str)]) -> Result<(), u16> {
        check_path(method, "/api/v1/topics", pairs)
    }

    fn check_path(
        method: Method,
        path: &str,
        pairs: &[(header::HeaderName, &str)],
    ) -> Result<(), u16> {
        let guard = Guard::new(
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            &["Console.Example".into()],
        );
        let headers = pairs
            .iter()
            .map(|(n, v)| (n.clone(), v.parse().unwrap()))
            .collect();
        guard.check(&method, path, &headers).map_err(|p| p.status)
    }

    #[test]
    fn its_own_names_are_taken() {
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "console.example",
        ] {
            assert_eq!(
                check(Method::GET, &[(header::HOST, host)]),
                Ok(()),
                "{host}"
            );
        }
    }

    #[test]
    fn a_rebound_name_is_refused() {
        assert_eq!(
            check(Method::GET, &[(header::HOST, "evil.example:8080")]),
            Err(403)
        );
        assert_eq!(check(Method::GET, &[]), Err(403));
    }

    #[test]
    fn another_sites_page_is_refused() {
        let host = (header::HOST, "localhost:8080");
        let own = (header::ORIGIN, "http://localhost:8080");
        assert_eq!(check(Method::GET, &[host.clone(), own]), Ok(()));
        let tls = (header::ORIGIN, "https://console.example");
        let proxied = (header::HOST, "console.example");
        assert_eq!(check(Method::GET, &[proxied, tls]), Ok(()), "a proxy's");
        for origin in [
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "chrome-extension://localhost:8080",
            "file://localhost:8080",
            "localhost:8080",
            "null",
        ] {
            assert_eq!(
                check(Method::GET, &[host.clone(), (header::ORIGIN, origin)]),
                Err(403)
            );
        }
    }

    #[test]
    fn a_picture_on_another_sites_page_costs_no_call_of_the_api() {
        let host = (header::HOST, "localhost:8080");
        let site = header::HeaderName::from_static("sec-fetch-site");
        for foreign in ["cross-site", "same-site"] {
            let pairs = [host.clone(), (site.clone(), foreign)];
            assert_eq!(check(Method::GET, &pairs), Err(403), "{foreign}");
            // A link to a page of the console is fine.
            assert_eq!(check_path(Method::GET, "/topics/orders", &pairs), Ok(()));
        }
        for own in ["same-origin", "none"] {
            let pairs = [host.clone(), (site.clone(), own)];
            assert_eq!(check(Method::GET, &pairs), Ok(()), "{own}");
        }
    }

    #[test]
    fn a_form_cannot_post() {
        let host = (header::HOST, "localhost:8080");
        assert_eq!(check(Method::POST, std::slice::from_ref(&host)), Err(415));
        assert_eq!(
            check(
                Method::POST,
                &[host.clone(), (header::CONTENT_TYPE, "text/plain")]
            ),
            Err(415)
        );
        assert_eq!(
            check(
                Method::POST,
                &[
                    host,
                    (header::CONTENT_TYPE, "application/json; charset=utf-8")
                ]
            ),
            Ok(())
        );
    }
}
