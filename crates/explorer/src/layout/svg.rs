//! A drawing as a picture. Colours are attributes: a page that allows no styles of its own shows it too.

use std::fmt::Write as _;

use super::{Drawing, Kind};

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn picture(d: &Drawing) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" role="img"><title>{}</title>"##,
        d.width,
        d.height,
        escaped(&d.name)
    );
    for frame in &d.blocks {
        let _ = write!(
            out,
            r##"<rect x="{}" y="{}" width="{}" height="{}" rx="8" fill="none" stroke="#94a3b8" stroke-dasharray="4 3"/>"##,
            frame.x, frame.y, frame.w, frame.h
        );
    }
    for edge in &d.edges {
        let points: Vec<String> = edge
            .points
            .iter()
            .map(|[x, y]| format!("{x},{y}"))
            .collect();
        let dash = if edge.state {
            r##" stroke-dasharray="3 3""##
        } else {
            ""
        };
        let _ = write!(
            out,
            r##"<polyline points="{}" fill="none" stroke="#64748b"{dash}/>"##,
            points.join(" ")
        );
    }
    for node in &d.nodes {
        let fill = match node.kind {
            Kind::Input | Kind::Output => "#e2e8f0",
            Kind::Operator => "#ffffff",
            Kind::Block => "#dbeafe",
        };
        let stroke = if node.commit_point {
            "#b45309"
        } else {
            "#475569"
        };
        let _ = write!(
            out,
            r##"<g id="{}"><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" rx="5" fill="{fill}" stroke="{stroke}"/><text x="{}" y="{}" font-size="13" fill="#0f172a" text-anchor="middle">{}</text><text x="{}" y="{}" font-size="9" fill="#475569" text-anchor="middle">{}</text></g>"##,
            node.id,
            escaped(&node.name),
            node.x,
            node.y,
            node.w,
            node.h,
            node.x + node.w / 2,
            node.y + 18,
            escaped(&node.label),
            node.x + node.w / 2,
            node.y + 32,
            escaped(&node.shape),
        );
    }
    out.push_str("</svg>\n");
    out
}
