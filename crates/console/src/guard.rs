//! Who may talk to the API through a browser.
//!
//! There is no login yet and SQL can do anything, so a page of another site,
//! open in the same browser, must not reach it:
//! - `Host` must be a name the server is known by (DNS rebinding);
//! - `Origin`, where a browser sends it, must be the same host (cross-site
//!   WebSockets and requests);
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

    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let host = text(headers, header::HOST).unwrap_or_default();
        if !self.knows(&host) {
            return Err(Problem::new(StatusCode::FORBIDDEN, format!("host '{host}' is not known here"))
                .hint("open the console under the address it listens on, or add the name to http.allowed_hosts"));
        }
        if let Some(origin) = text(headers, header::ORIGIN) {
            let same = origin
                .split_once("://")
                .is_some_and(|(_, o)| o.eq_ignore_ascii_case(&host));
            if !same {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    format!("requests from {origin} are not taken"),
                ));
            }
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
        let name = without_port(host).to_ascii_lowercase();
        let address = name
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        self.hosts.contains(&name) || (self.any_address && address)
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The middleware.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, pairs: &[(header::HeaderName, &str)]) -> Result<(), u16> {
        let guard = Guard::new(
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            &["Console.Example".into()],
        );
        let headers = pairs
            .iter()
            .map(|(n, v)| (n.clone(), v.parse().unwrap()))
            .collect();
        guard.check(&method, &headers).map_err(|p| p.status)
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
        for origin in ["http://evil.example", "http://localhost:3000", "null"] {
            assert_eq!(
                check(Method::GET, &[host.clone(), (header::ORIGIN, origin)]),
                Err(403)
            );
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
