//! The page, as it was built and committed: part of the binary.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "../../explorer/dist"]
struct Built;

/// What a browser may do with the page: nothing but itself.
pub(crate) const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page; a path that is none is a place within the page.
pub(crate) fn serve(path: &str) -> Response<Body> {
    let path = path.trim_start_matches('/');
    let (name, file) = match Built::get(path).filter(|_| !path.is_empty()) {
        Some(file) => (path, Some(file)),
        // what looks like a file and is not there is not there
        None if path
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains('.')) =>
        {
            (path, None)
        }
        None => ("index.html", Built::get("index.html")),
    };
    let Some(file) = file else {
        return plain(StatusCode::NOT_FOUND, "no such file\n");
    };
    let caching = match is_hashed(name) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let etag = hex(&file.metadata.sha256_hash());
    Response::builder()
        .header(header::CONTENT_TYPE, kind(name))
        .header(header::CACHE_CONTROL, caching)
        .header(header::ETAG, format!("\"{etag}\""))
        .body(Body::from(file.data))
        .unwrap_or_else(|_| {
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page cannot be served\n",
            )
        })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Names like `app-0a1b2c3d.js` change with what is in them.
fn is_hashed(name: &str) -> bool {
    let stem = name.rsplit('/').next().unwrap_or_default();
    let mut parts = stem.split(['.', '-']).skip(1);
    parts.any(|part| {
        part.len() >= 8
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.bytes().any(|b| b.is_ascii_digit())
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_carry_a_hash_are_kept_for_ever() {
        assert!(is_hashed("assets/app-0a1b2c3d.js"));
        assert!(is_hashed("app.5f3e2d1c.css"));
        for name in [
            "index.html",
            "app.js",
            "favicon.svg",
            "verify.wasm",
            "manifest.webmanifest",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }

    #[test]
    fn places_within_the_page_are_the_page_and_files_are_not_made_up() {
        for path in ["/", "/disputes/1", "/tasks"] {
            let response = serve(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8"
            );
        }
        assert_eq!(serve("/missing.js").status(), StatusCode::NOT_FOUND);
        assert_eq!(serve("/../Cargo.toml").status(), StatusCode::NOT_FOUND);
    }
}
