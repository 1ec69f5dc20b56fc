//! PROJECT: which members of a document are answered, written straight as JSON.
//!
//! MongoDB's rules: either the named paths are kept or they are left out, `_id` is kept unless it is left out by name, the
//! document's order of members stays, and a path goes into each element of an array.

use veddb_storage::document::json::{parse_value, put_string, render_value};
use veddb_storage::document::{RawObject, ValueRef};

use crate::context::Limits;
use crate::error::{CommandError, ErrorCode};
use crate::query::text_limits;

/// A parsed projection.
#[derive(Debug)]
pub struct Project {
    keep: bool,
    tree: Branch,
}

/// The named members of one level.
#[derive(Debug, Default)]
struct Branch(Vec<(String, Twig)>);

#[derive(Debug)]
enum Twig {
    /// The path ends here.
    End,
    /// It goes on.
    On(Branch),
}

impl Project {
    /// Reads a PROJECT argument; none when it asks for the whole document.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Option<Project>, CommandError> {
        let bad = |what: String| CommandError::new(ErrorCode::BadFilter, format!("PROJECT: {what}"));
        let packed = parse_value(text, text_limits(limits)).map_err(|e| bad(e.to_string()))?;
        let ValueRef::Object(object) = packed.get() else {
            return Err(bad(format!("needs an object, not {}", packed.get().kind().name())));
        };
        let mut named = Vec::new();
        flatten("", object, &mut named).map_err(bad)?;
        if named.len() > limits.max_query_nodes {
            return Err(bad(format!("more than {} paths", limits.max_query_nodes)));
        }
        let id = named.iter().find(|(path, _)| path == "_id").map(|(_, keep)| *keep);
        let mut others = named.iter().filter(|(path, _)| path != "_id");
        let keep = match others.next() {
            Some((_, keep)) => *keep,
            None => match id {
                Some(keep) => keep,
                None => return Ok(None),
            },
        };
        let mut tree = Branch::default();
        for (path, wanted) in &named {
            if path == "_id" {
                continue;
            }
            if *wanted != keep {
                return Err(bad(format!("{path}: paths to keep and paths to leave out cannot stand together")));
            }
            tree.add(path, path.split('.')).map_err(bad)?;
        }
        // In the tree `_id` is one of the named: kept unless it is left out by name.
        if id.unwrap_or(true) == keep {
            let below = tree.0.iter().any(|(name, _)| name == "_id");
            if !below {
                tree.0.push(("_id".to_owned(), Twig::End));
            }
        }
        Ok(Some(Project { keep, tree }))
    }

    /// The paths that are kept; none when it says what is left out.
    pub fn kept(&self) -> Option<Vec<String>> {
        let mut paths = Vec::new();
        self.tree.paths("", &mut paths);
        self.keep.then_some(paths)
    }

    /// Appends the document's projection as JSON.
    pub fn render(&self, out: &mut Vec<u8>, document: RawObject<'_>) {
        self.object(out, document, &self.tree);
    }

    // The document's depth bounds these.
    fn object(&self, out: &mut Vec<u8>, object: RawObject<'_>, branch: &Branch) {
        out.push(b'{');
        let start = out.len();
        for (name, value) in object.iter() {
            let twig = branch.get(name);
            if !self.shows(twig, value) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            put_string(out, name);
            out.push(b':');
            self.value(out, value, twig);
        }
        out.push(b'}');
    }

    fn value(&self, out: &mut Vec<u8>, value: ValueRef<'_>, twig: Option<&Twig>) {
        match (value, twig) {
            (ValueRef::Object(object), Some(Twig::On(branch))) => self.object(out, object, branch),
            (ValueRef::Array(array), Some(Twig::On(_))) => {
                out.push(b'[');
                let start = out.len();
                for element in array.iter().filter(|e| self.shows(twig, *e)) {
                    if out.len() > start {
                        out.push(b',');
                    }
                    self.value(out, element, twig);
                }
                out.push(b']');
            }
            (value, _) => render_value(out, value),
        }
    }

    /// Whether a value with this twig is there at all; what is inside of it may still be left out.
    fn shows(&self, twig: Option<&Twig>, value: ValueRef<'_>) -> bool {
        match twig {
            None => !self.keep,
            Some(Twig::End) => self.keep,
            // A kept path leads through containers only.
            Some(Twig::On(_)) => !self.keep || matches!(value, ValueRef::Object(_) | ValueRef::Array(_)),
        }
    }
}

impl Branch {
    // The projection's depth bounds it.
    fn paths(&self, before: &str, paths: &mut Vec<String>) {
        for (name, twig) in &self.0 {
            match twig {
                Twig::End => paths.push(format!("{before}{name}")),
                Twig::On(branch) => branch.paths(&format!("{before}{name}."), paths),
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Twig> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, twig)| twig)
    }

    fn add<'p>(&mut self, path: &str, mut segments: impl Iterator<Item = &'p str>) -> Result<(), String> {
        let mut branch = self;
        let mut name = segments.next().unwrap_or_default();
        for next in segments {
            let at = branch.0.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                branch.0.push((name.to_owned(), Twig::On(Branch::default())));
                branch.0.len() - 1
            });
            match branch.0.get_mut(at) {
                Some((_, Twig::On(inner))) => branch = inner,
                _ => return Err(format!("{path} collides with another path")),
            }
            name = next;
        }
        if branch.get(name).is_some() {
            return Err(format!("{path} collides with another path"));
        }
        branch.0.push((name.to_owned(), Twig::End));
        Ok(())
    }
}

/// Nested objects name paths too: `{"a": {"b": 1}}` is `{"a.b": 1}`.
fn flatten(prefix: &str, object: RawObject<'_>, named: &mut Vec<(String, bool)>) -> Result<(), String> {
    for (name, value) in object.iter() {
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        if path.split('.').any(|segment| segment.is_empty() || segment.starts_with('$')) {
            return Err(format!("{path} is not a path"));
        }
        match value {
            ValueRef::Bool(keep) => named.push((path, keep)),
            ValueRef::Int32(n) => named.push((path, n != 0)),
            ValueRef::Int64(n) => named.push((path, n != 0)),
            ValueRef::Double(n) => named.push((path, n != 0.0)),
            ValueRef::Decimal(n) => named.push((path, !n.is_zero())),
            ValueRef::Object(inner) if !inner.is_empty() => flatten(&path, inner, named)?,
            other => return Err(format!("{path} needs 1 or 0, not a value of type {}", other.kind().name())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(projection: &str, document: &str, expected: &str) {
        let limits = Limits::default();
        let packed = parse_value(document.as_bytes(), text_limits(&limits)).unwrap();
        let ValueRef::Object(root) = packed.get() else { panic!("not an object") };
        let mut out = Vec::new();
        match Project::parse(projection.as_bytes(), &limits).unwrap() {
            Some(project) => project.render(&mut out, root),
            None => render_value(&mut out, packed.get()),
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{projection} of {document}");
    }

    #[test]
    fn mongodb_rules() {
        let document = r#"{"_id":1,"a":{"b":1,"c":2},"d":[{"e":1,"f":2},3,[{"e":4}]],"g":5}"#;
        check("{}", document, document);
        check(r#"{"g":1}"#, document, r#"{"_id":1,"g":5}"#);
        check(r#"{"g":true,"_id":0}"#, document, r#"{"g":5}"#);
        check(r#"{"_id":1}"#, document, r#"{"_id":1}"#);
        check(r#"{"_id":0}"#, document, r#"{"a":{"b":1,"c":2},"d":[{"e":1,"f":2},3,[{"e":4}]],"g":5}"#);
        check(r#"{"a.b":1}"#, document, r#"{"_id":1,"a":{"b":1}}"#);
        check(r#"{"a":{"b":1}}"#, document, r#"{"_id":1,"a":{"b":1}}"#);
        check(r#"{"g.x":1}"#, document, r#"{"_id":1}"#);
        check(r#"{"d.e":1}"#, document, r#"{"_id":1,"d":[{"e":1},[{"e":4}]]}"#);
        check(r#"{"d.e":0}"#, document, r#"{"_id":1,"a":{"b":1,"c":2},"d":[{"f":2},3,[{}]],"g":5}"#);
        check(r#"{"a":0,"d":0}"#, document, r#"{"_id":1,"g":5}"#);
        check(r#"{"a":0,"d":0,"_id":1}"#, document, r#"{"_id":1,"g":5}"#);
        check(r#"{"a":0,"d":0,"_id":0}"#, document, r#"{"g":5}"#);
        check(r#"{"x":1}"#, document, r#"{"_id":1}"#);
    }

    #[test]
    fn bad_projections_are_refused() {
        for text in [
            "[]",
            r#"{"a":1,"b":0}"#,
            r#"{"a":1,"a.b":1}"#,
            r#"{"a.b":1,"a":1}"#,
            r#"{"a":"x"}"#,
            r#"{"a":{"$slice":1}}"#,
            r#"{"a.$":1}"#,
            r#"{"a..b":1}"#,
        ] {
            let error = Project::parse(text.as_bytes(), &Limits::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::BadFilter, "{text}");
        }
    }
}
